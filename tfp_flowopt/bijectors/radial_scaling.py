"""RadialScaling bijector."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import radial_tangent
from tfp_flowopt.internal import soft_scaling
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import log_slopes as log_slopes_lib

__all__ = ['RadialScaling', 'initial_log_radii']

# Squares below this are lost in float32; the ratio is constant long before.
_TINY = 1e-30
# Of data with variances of about 1.
_RADIUS_RANGE = (0.03, 3.0)


class RadialScaling(base.JointBijector):
  """Scales each tile of an image by a function of its own energy.

  A tile is `T x T` positions of one of `G` groups of consecutive channels. With
  `r_0` the root mean square of its `n = T T C / G` values,

  ```none
  inverse(y) = y m_1(r_0) m_2(r_1) ... m_J(r_(J-1)),    r_j = r_(j-1) m_j
  m_j(r) = (e^(s_j) + r / B_j) / (1 + r / B_j)
  ```

  so quiet tiles are amplified by up to `e^(s_1 + ... + s_J)` and loud ones are
  left alone (or the other way round where `s_j < 0`). Natural images are close
  to Gaussian scale mixtures, locally white noise of a strength that varies from
  place to place; for a spherically symmetric density such a map of the radius
  is all that is needed to make it Gaussian, and it does so without a network
  ("radial Gaussianization": Lyu & Simoncelli 2009). With a group for each
  channel and `T = 1` it is a curve for each value, which makes marginals
  Gaussian; the groups act side by side, so many cost no more than one.

  The Jacobian of a tile is symmetric, with the eigenvalue `r_J / r_0` in the
  `n - 1` directions across the radius, and the slope of `r_0 -> r_J` along it:

  ```none
  log|det| = sum_tiles sum_j ((n - 1) log m_j + log d(r m_j)/dr)
  ```

  `forward` undoes one term after the other, each the root of a quadratic.

  **Lipschitz constants.** All slopes lie between 1 and `e^(s_j)`, so they are
  `exp(sum_j max(s_j, 0))` for `inverse`, attained by quiet tiles if no `s_j`
  is negative, and `exp(sum_j max(-s_j, 0))` for `forward`. There is no cross
  term, unlike in a coupling that scales by as much.

  #### Example

  ```python
  bijector = fo.bijectors.RadialScaling(tile_size=4)
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  ```
  """

  def __init__(
      self,
      tile_size=1,
      num_terms=4,
      slope_bound=4.0,
      radius_range=_RADIUS_RANGE,
      num_groups=1,
      log_slopes=None,
      log_radii=None,
      dtype=tf.float32,
      validate_args=False,
      name='radial_scaling',
  ):
    """Creates the bijector, as the identity.

    Args:
      tile_size: Side `T` of the square tiles, in positions; it must divide
        height and width. 1 scales each position by the energy of its channels.
      num_terms: Number of terms, the `J` above.
      slope_bound: Positive Python `float`, bound of each `|s_j|`.
      radius_range: The smallest and the largest of the initial `B_j`, which
        are geometrically spaced; root mean squares of the values.
      num_groups: Number of groups of channels, the `G` above; it must divide
        the number of channels. `None`: each channel is a group.
      log_slopes: `lipschitz.LogSlopes` to share; by default a new one.
      log_radii: `tf.Variable` `[J]` to share, the logarithms of the `B_j`; by
        default a new one.
      dtype: Type of the variables.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    if tile_size < 1:
      raise ValueError(
          f'Argument `tile_size` must be at least 1, got {tile_size}.'
      )
    if num_terms < 1:
      raise ValueError(
          f'Argument `num_terms` must be at least 1, got {num_terms}.'
      )
    if not 0 < radius_range[0] <= radius_range[1] < math.inf:
      raise ValueError(
          'Argument `radius_range` must be two positive numbers in ascending '
          f'order, got {radius_range}.'
      )
    if num_groups is not None and num_groups < 1:
      raise ValueError(
          f'Argument `num_groups` must be at least 1, got {num_groups}.'
      )
    with tf.name_scope(name) as name:
      if log_slopes is None:
        log_slopes = log_slopes_lib.LogSlopes(num_terms, slope_bound, dtype)
      if log_radii is None:
        log_radii = tf.Variable(
            initial_log_radii(num_terms, radius_range, dtype), name='log_radii'
        )
      # A copy shares the weights instead of making new ones.
      parameters.update(log_slopes=log_slopes, log_radii=log_radii)
      self._tile_size = tile_size
      self._num_groups = num_groups
      self._log_slopes = log_slopes
      self._log_radii = log_radii
      super().__init__(
          forward_min_event_ndims=3,
          dtype=dtype,
          validate_args=validate_args,
          parameters=parameters,
          name=name,
      )

  _fixed_in_copies = ('num_terms', 'slope_bound', 'radius_range', 'dtype')

  @property
  def tile_size(self):
    """Side of the tiles, in positions."""
    return self._tile_size

  @property
  def log_slopes(self):
    """The `LogSlopes` module of the `s_j`."""
    return self._log_slopes

  @property
  def num_groups(self):
    """Number of groups of channels; `None` if each channel is one."""
    return self._num_groups

  def _forward_and_log_det(self, x):
    return self._scale(_undo_terms, x)

  def _inverse_and_log_det(self, y):
    return self._scale(_apply_terms, y)

  def tangent(self, y):
    """The derivative of `inverse` at `y`, as a linear bijector.

    Args:
      y: Images `[N, H, W, C]`.

    Returns:
      Bijector of images of this shape, without log-determinants.
    """
    tiles = self._tiles(y)
    square = tf.maximum(self._mean(tiles**2), _TINY)
    # Of tiles of a single value, the log-determinant is the slope's.
    across, log_along = self._evaluate(_apply_terms, square, 1.0)
    return radial_tangent.RadialTangent(
        tiles,
        *(
            self._of_channels(values, y)
            for values in (square, across, tf.exp(log_along))
        ),
        lambda tiles: self._of_channels(self._mean(tiles), y),
    )

  def _scale(self, terms, x):
    """Scales each tile as `terms` says, given its radius."""
    x = base.check_event(x, [None, None, None], self.name)
    tiles = self._tiles(x)
    # The root has no gradient at 0, where none is needed.
    square = tf.maximum(self._mean(tf.square(tiles)), _TINY)
    ratio, log_det = self._evaluate(terms, square, self._tile_dimensions(x))
    log_det = tf.reduce_sum(log_det, axis=list(range(1, 6)))
    y = tf.reshape(tiles * self._of_channels(ratio, x), base.shape_of(x))
    log_det = tf.reshape(log_det, base.shape_of(x)[:-3])
    y.set_shape(x.shape)
    log_det.set_shape(x.shape[:-3])
    return y, log_det

  def _evaluate(self, terms, square, size):
    """What `terms` says of tiles of these mean squares, and of a size."""
    # A bound far beyond any data keeps training from leaving float32.
    log_radii = 20.0 * tf.tanh(self._log_radii / 20.0)
    return terms(
        tf.sqrt(square), tf.exp(self._log_slopes()), tf.exp(log_radii), size
    )

  def _mean(self, tiles):
    """The mean over each tile and group, `[batch, H/T, 1, W/T, 1, G]`."""
    if self._tile_size > 1:
      tiles = tf.reduce_mean(tiles, axis=[2, 4], keepdims=True)
    return self._mean_of_groups(tiles)

  def _of_channels(self, values, x):
    """Values of the groups, as they broadcast with the channels of `x`."""
    if self._num_groups is not None and 1 < self._num_groups < x.shape[-1]:
      # One value for each channel: TensorFlow broadcasts no more axes.
      return tf.repeat(values, x.shape[-1] // self._num_groups, axis=-1)
    return values

  def _tiles(self, x):
    """`x` as `[batch, H/T, T, W/T, T, C]`."""
    t, g = self._tile_size, self._num_groups
    height, width, channels = x.shape[-3:]
    if (height or 0) % t or (width or 0) % t:
      raise ValueError(
          f'{self.name} needs a height and width divisible by its `tile_size` '
          f'{t}, got shape {x.shape}.'
      )
    if g not in (None, 1) and (channels is None or channels % g):
      raise ValueError(
          f'{self.name} needs a known number of channels, divisible by its '
          f'`num_groups` {g}, got shape {x.shape}.'
      )
    # With -1 for the batch, tiles that do not divide an image of a size that is
    # not known yet would be made of parts of several images.
    batch = -1
    if height is None or width is None:
      batch = tf.reduce_prod(tf.shape(x)[:-3])
    height, width, channels = (
        tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
        for axis in (-3, -2, -1)
    )
    return tf.reshape(x, [batch, height // t, t, width // t, t, channels])

  def _tile_dimensions(self, x):
    """The number of values of a tile, in the type of `x`."""
    positions = tf.constant(self._tile_size**2, x.dtype)
    if self._num_groups is None:
      return positions
    if x.shape[-1] is None:
      return positions * tf.cast(tf.shape(x)[-1] // self._num_groups, x.dtype)
    return positions * (x.shape[-1] // self._num_groups)

  def _mean_of_groups(self, x):
    """The mean over the channels of each group, `[..., C]` to `[..., G]`."""
    if self._num_groups in (None, x.shape[-1]):
      return x
    if self._num_groups == 1:
      return tf.reduce_mean(x, axis=-1, keepdims=True)
    shape = tf.concat([tf.shape(x)[:-1], [self._num_groups, -1]], axis=0)
    return tf.reduce_mean(tf.reshape(x, shape), axis=-1)


def initial_log_radii(num_terms, radius_range=_RADIUS_RANGE, dtype=tf.float32):
  """Logarithms of radii `[num_terms]`, geometrically spaced over a range."""
  return tf.cast(np.log(np.geomspace(*radius_range, num_terms)), dtype)


def _apply_terms(r, scales, radii, size):
  """All terms, in the order of `inverse`.

  Its gradient shares what autodiff would compute, and sum over all tiles, for
  each operation with a scalar. With `u = r / B`, `t = 1 / (1 + u)` and
  `q = u (2 + u)`,

  ```none
  dm / ds = t,    dm / du = (1 - s) t^2
  dL / ds = 1 / (s + q),    dL / du = 2 (1 - s) t / (s + q)
  ```

  for the ratio `m` of a term, the logarithm `L` of its slope, and `s` its
  scale.

  Args:
    r: Radii of tiles.
    scales: The `e^(s_j)`, `[J]`.
    radii: The `B_j`, `[J]`.
    size: Number of values of a tile.

  Returns:
    The ratios to scale the tiles by, and the log-determinants.
  """

  @tf.custom_gradient
  def apply(r, scales, radii):
    terms, total, log_det = [], 1.0, 0.0
    for scale, radius in zip(
        tf.unstack(scales), tf.unstack(radii), strict=True
    ):
      u = soft_scaling.distance(r, radius)
      ratio = soft_scaling.ratio(u, scale)
      terms.append((r, scale, radius, u, ratio))
      log_det += _log_det(u, ratio, scale, size)
      r *= ratio
      total *= ratio

    def gradient(d_total, d_log_det):
      d_log_ratio = d_total * total + (size - 1.0) * d_log_det
      dr, d_scales, d_radii = 0.0, [], []
      for r, scale, radius, u, ratio in reversed(terms):
        t = 1.0 / (1.0 + u)
        of_ratio = t * (d_log_ratio / ratio + dr * r)
        of_slope = d_log_det / (scale + u * (2.0 + u))
        du = (1.0 - scale) * t * (of_ratio + 2.0 * of_slope)
        d_scales.append(tf.reduce_sum(of_ratio + of_slope))
        d_radii.append(-tf.reduce_sum(du * u) / radius)
        dr = dr * ratio + du / radius
      return dr, tf.stack(d_scales[::-1]), tf.stack(d_radii[::-1])

    return (total, log_det), gradient

  return apply(r, scales, radii)


def _undo_terms(r, scales, radii, size):
  """The same for `forward`: the inverses of all terms, the last one first."""
  total, log_det = 1.0, 0.0
  for scale, radius in zip(
      reversed(tf.unstack(scales)), reversed(tf.unstack(radii)), strict=True
  ):
    u = soft_scaling.distance(r, radius)
    inverse_ratio = soft_scaling.inverse_ratio(u, scale)
    r *= inverse_ratio
    total *= inverse_ratio
    u = soft_scaling.distance(r, radius)
    log_det -= _log_det(u, soft_scaling.ratio(u, scale), scale, size)
  return total, log_det


def _log_det(u, ratio, scale, size):
  """Log-determinant of one term, for tiles of `size` values."""
  across = (size - 1.0) * tf.math.log(ratio)
  return across + soft_scaling.log_slope(u, scale)


@bounds.lipschitz_bounds.register
def _(bijector: RadialScaling):
  log_slopes = tf.cast(bijector.log_slopes(), tf.float64).numpy()
  return bounds.LipschitzBounds(
      forward=math.exp(np.maximum(-log_slopes, 0.0).sum()),
      inverse=math.exp(np.maximum(log_slopes, 0.0).sum()),
  ).inflated(bijector.dtype)
