"""RadialScaling bijector."""

from collections.abc import Callable
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import radial_tangent
from tfp_flowopt.bijectors import radial_terms
from tfp_flowopt.bijectors import tiling as tiling_lib
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import custom_gradients
from tfp_flowopt.internal import half_precision
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import log_slopes as log_slopes_lib

__all__ = ['RadialScaling']

# Roundings of each term, the exponential of its slope among them.
_OPERATIONS = 8
# Squares below the first are lost in float32, and those above the second
# overflow; the ratio is constant long before.
_TINY, _HUGE = 1e-30, 1e36
# All axes of tiles `[N, H/T, T, W/T, T, C]` but the batch.
_TILES = [1, 2, 3, 4, 5]
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
  left alone (or the other way round where `s_j < 0`): radial Gaussianization
  (Lyu & Simoncelli 2009), all that a Gaussian scale mixture needs. With a group
  for each channel and `T = 1` it is a curve for each value. The Jacobian of a
  tile is symmetric, with the eigenvalue `r_J / r_0` in the `n - 1` directions
  across the radius, and the slope of `r_0 -> r_J` along it:

  ```none
  log|det| = sum_tiles sum_j ((n - 1) log m_j + log d(r m_j)/dr)
  ```

  `forward` undoes one term after the other, each the root of a quadratic.

  **Lipschitz constants.** All slopes lie between 1 and `e^(s_j)`, so they are
  `exp(sum_j max(s_j, 0))` for `inverse`, attained by quiet tiles if no `s_j`
  is negative, and `exp(sum_j max(-s_j, 0))` for `forward`.

  #### Example

  ```python
  bijector = fo.bijectors.RadialScaling(tile_size=4)
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  ```
  """

  def __init__(
      self,
      tile_size: int = 1,
      num_terms: int = 4,
      slope_bound: float = 4.0,
      radius_range: tuple[float, float] = _RADIUS_RANGE,
      num_groups: int | None = 1,
      dtype: types.DType = tf.float32,
      event_ndims: int = 3,
      validate_args: bool = False,
      name: str = 'radial_scaling',
  ) -> None:
    """Creates the bijector, as the identity.

    Args:
      tile_size: Side `T` of the square tiles, in positions; it must divide
        height and width. 1 scales each position by the energy of its channels.
      num_terms: Number of terms, the `J` above.
      slope_bound: Positive Python `float`, bound of each `|s_j|`.
      radius_range: The smallest and the largest of the initial `B_j`, which
        are geometrically spaced, a single one in the middle; root mean squares
        of the values.
      num_groups: Number of groups of channels, the `G` above; it must divide
        the number of channels. `None`: each channel is a group.
      dtype: Type of the variables.
      event_ndims: 3, or 1 for vectors `[C]`, which are one tile.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    num_terms = arguments.check_int('num_terms', num_terms)
    slope_bound = arguments.check_positive('slope_bound', slope_bound)
    arguments.check_range('radius_range', radius_range)
    dtype = arguments.check_dtype('dtype', dtype)
    arguments.check_choice('event_ndims', event_ndims, (1, 3))
    self._is_of_vectors = event_ndims == 1
    self._configure(tile_size, num_groups)
    with tf.name_scope(name) as name:
      self._log_slopes = log_slopes_lib.LogSlopes(num_terms, slope_bound, dtype)
      self._log_radii = tf.Variable(
          radial_terms.initial_log_radii(num_terms, radius_range, dtype),
          name='log_radii',
      )
      super().__init__(event_ndims, dtype, parameters, name)

  def _configure(self, tile_size, num_groups):
    tile_size = arguments.check_int('tile_size', tile_size)
    if self._is_of_vectors and tile_size > 1:
      raise ValueError(
          f'Argument `tile_size` must be 1 for vectors, got {tile_size}.'
      )
    if num_groups is not None:
      num_groups = arguments.check_int('num_groups', num_groups)
    self._tiling = tiling_lib.Tiling(tile_size, num_groups)

  @property
  def tile_size(self) -> int:
    """Side of the tiles, in positions."""
    return self._tiling.size

  @property
  def log_slopes(self) -> log_slopes_lib.LogSlopes:
    """The `LogSlopes` module of the `s_j`."""
    return self._log_slopes

  @property
  def num_groups(self) -> int | None:
    """Number of groups of channels; `None` if each channel is one."""
    return self._tiling.num_groups

  def initialize(
      self, log_slopes: types.TensorLike, radii: types.TensorLike
  ) -> None:
    """Sets the `s_j` and `B_j`, arrays `[J]`.

    Raises:
      ValueError: If a slope is not within the bound, or a radius not positive.
    """
    self._log_slopes.initialize(log_slopes)
    log_radii = radial_terms.unbounded_log_radii(radii)
    self._log_radii.assign(tf.cast(log_radii, self.dtype))

  def _forward_and_log_det(self, x):
    return self._scale(radial_terms.undo_terms, x)

  def _inverse_and_log_det(self, y):
    return self._scale(radial_terms.apply_terms, y)

  def tangent(self, y: types.TensorLike) -> types.Bijector:
    """The derivative of `inverse` at images `y` `[N, H, W, C]`.

    Returns:
      Linear bijector of images of this shape, without log-determinants.
    """
    tiles = self._tiling.of(y, self.name)
    radii = self._radii(tiles)
    across, log_along, _ = radial_terms.apply_terms(
        radii, *self._near_and_far_radii(radii.dtype)
    )
    square, across, along = (
        self._tiling.of_channels(values, y)
        for values in (tf.square(radii), across, tf.exp(log_along))
    )

    def mean(tiles):
      means = self._tiling.reduced(tf.reduce_mean, tiles)
      return self._tiling.of_channels(means, y)

    return radial_tangent.RadialTangent(tiles, square, across, along, mean)

  def _scale(self, terms, x):
    """Scales each tile as `terms` says, given its radius."""
    ndims = self.forward_min_event_ndims
    x = base.check_event(x, [None] * ndims, self.name)
    dtype, x = x.dtype, half_precision.widened(x)
    images = x if ndims == 3 else x[..., tf.newaxis, tf.newaxis, :]
    scale = custom_gradients.custom_gradient(
        lambda *arguments: self.scaled_with_gradient(terms, *arguments)
    )
    y, log_det = scale(images, *self._near_and_far_radii(x.dtype))
    y = tf.reshape(y, base.shape_of(x))
    log_det = tf.reshape(log_det, base.shape_of(x)[:-ndims])
    y.set_shape(x.shape)
    log_det.set_shape(x.shape[:-ndims])
    return tf.cast(y, dtype), tf.cast(log_det, dtype)

  def scaled_with_gradient(
      self,
      terms: Callable[..., Any],
      x: tf.Tensor,
      near_radii: tf.Tensor,
      radii: tf.Tensor,
  ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., Any]]:
    """Images scaled with the given weights, and the gradient, written out.

    Args:
      terms: `apply_terms` or `undo_terms`.
      x: Images `[..., H, W, C]`.
      near_radii: The `e^(s_j) B_j`, `[J]`.
      radii: The `B_j`, `[J]`.

    Returns:
      The images and the log-determinants, `[N]`; and a function of the
      gradients by them, which returns those by `x`, `near_radii` and `radii`.
    """
    tiling = self._tiling
    size, tiles = tiling.num_values(x), tiling.of(x, self.name)
    alone = tiling.is_elementwise(tiles)
    r = self._radii(tiles)
    ratio, log_slope, gradient_of_terms = terms(r, near_radii, radii)
    ratios = tiling.of_channels(ratio, x)
    if not alone:
      log_slope += (size - 1.0) * tf.math.log(ratio)
    log_det = tf.reduce_sum(log_slope, axis=_TILES)

    def gradient(dy, d_log_det):
      dy = tf.reshape(dy, tf.shape(tiles))
      d_log_det = d_log_det[(..., *[tf.newaxis] * 5)]
      d_log_ratio = tiling.reduced(tf.reduce_sum, dy * tiles) * ratio
      if not alone:
        d_log_ratio += (size - 1.0) * d_log_det
      d_radius, *of_weights = gradient_of_terms(d_log_ratio, d_log_det)
      # A radius that is clipped does not change.
      rate = tf.where(r < 0.99 * _HUGE**0.5, d_radius / (size * r), 0.0 * r)
      more = tiling.of_channels(rate, x)
      dx = dy * tiling.of_rows(ratios) + tiles * tiling.of_rows(more)
      return tf.reshape(dx, base.shape_of(x)), *of_weights

    return (tf.reshape(tiles * ratios, base.shape_of(x)), log_det), gradient

  def _radii(self, tiles):
    """The root mean squares, where they have gradients."""
    if self._tiling.is_elementwise(tiles):
      return _clipped(tf.abs(tiles), _TINY**0.5, _HUGE**0.5)
    square = self._tiling.reduced(tf.reduce_mean, tf.square(tiles))
    return tf.sqrt(_clipped(square, _TINY, _HUGE))

  def _near_and_far_radii(self, dtype):
    return radial_terms.near_and_far_radii(
        self._log_slopes(), self._log_radii, dtype
    )


def _clipped(x, low, high):
  """`tf.clip_by_value`, in one operation in place of two."""
  return tf.raw_ops.ClipByValue(
      t=x,
      clip_value_min=tf.constant(low, x.dtype),
      clip_value_max=tf.constant(high, x.dtype),
  )


@bounds.lipschitz_bounds.register
def _(bijector: RadialScaling):
  log_slopes = tf.cast(bijector.log_slopes(), tf.float64).numpy()
  forward, inverse = (
      rounding.exponential(float(np.maximum(sign * log_slopes, 0.0).sum()))
      for sign in (-1.0, 1.0)
  )
  return bounds.LipschitzBounds(forward, inverse).inflated(
      bijector.dtype, operations=_OPERATIONS * len(log_slopes)
  )


@flow_bounds.bounds_by_part.register
def _(bijector: RadialScaling):
  constants = bounds.lipschitz_bounds(bijector)
  if math.inf in constants:
    return flow_bounds.nonlinear(bijector)
  # Of roots: their product may be out of range.
  forward, inverse = map(math.sqrt, constants)
  scalar, stretch = forward / inverse, forward * inverse
  return flow_bounds.FlowBounds(
      bounds.LipschitzBounds(scalar, 1.0 / scalar),
      bounds.LipschitzBounds(stretch, stretch),
  )
