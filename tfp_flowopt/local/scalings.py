"""`RadialScaling` in a ball: by the energies that its tiles can have."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import radial_terms
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps

__all__ = []


class _Bounds(NamedTuple):
  """What holds for radii in an interval, for each tile.

  Attributes:
    low: The least eigenvalue.
    high: The largest one.
    rate: How fast the log-determinant changes with the values.
    curvature: How fast the Jacobian does.
    log_det_curvature: How fast the gradient of the log-determinant does.
  """

  low: tf.Tensor
  high: tf.Tensor
  rate: tf.Tensor
  curvature: tf.Tensor
  log_det_curvature: tf.Tensor


class _Radial(maps.Layer):
  """The Jacobian of a tile is symmetric, with two eigenvalues.

  `A = r_J / r_0` across the radius and `F = d r_J / d r_0` along it. With `u`
  the radius that enters a term over its `B`, and `E = e^s`, its factors of both
  are

  ```none
  m = (E + u) / (1 + u),   f = (E + 2 u + u^2) / (1 + u)^2,
  d log m / du = (1 - E) / ((E + u) (1 + u)),
  d log f / du = 2 (1 - E) / ((E + 2 u + u^2) (1 + u)),
  ```

  all of them monotone in `u`. So the ends of an interval of radii bound them.

  Of second order: with `n` values in a tile, `r` the root of their mean square,
  a unit step turns the radius by at most `1 / (sqrt(n) r)` or changes it by
  `1 / sqrt(n)`. As `F - A = r A'`, the Jacobian then changes by at most
  `(A'^2 + max(|A'|, |F'|)^2)^(1/2) / sqrt(n)`; and the gradient of the
  log-determinant `L = (n - 1) log A + log F` by `max(|L''|, |L'| / r) / n`. Of
  a single value it changes by `|L''|`, but from `-L'` to `L'` where it is 0.
  """

  keeps_channels = True

  def __init__(self, bijector):
    super().__init__(bijector)
    dtype = bijector.dtype
    if dtype.size < 4:
      dtype = tf.float32
    self._near, self._radii = (
        tf.constant(t.numpy())
        for t in bijector._near_and_far_radii(dtype)  # pylint: disable=protected-access
    )

  @property
  def is_radial(self):
    """See `LocalMap`."""
    bijector = self.bijector
    return bijector.forward_min_event_ndims == 1 and bijector.num_groups == 1

  def density_changes(self, norms, size):
    """How far the log-density of a standard normal latent can change.

    Args:
      norms: The least norm of a vector that comes, the one of the centre, and
        the largest, each `[...]`.
      size: Number of components of the vector.

    Returns:
      Bounds of `-|x|^2 / 2 + log|det|`, less what it is at the centre, `[...]`.
      The terms of the sum are monotone in the norm; if all slopes are at least
      1, all fall, and the bounds are reached.
    """
    least, center, largest = (
        self._log_densities(tf.cast(norm, tf.float64), size) for norm in norms
    )
    low, high = (
        tf.reduce_sum(bound(least, largest) - center, axis=0)
        for bound in (tf.minimum, tf.maximum)
    )
    return tuple(tf.cast(v, norms[0].dtype) for v in (low, high))

  def _log_densities(self, norm, size):
    """Terms `[1 + 2 J, ...]` of the sum, float64."""
    radius = norm / math.sqrt(size)
    terms = []
    pairs = (
        tf.unstack(tf.cast(v, tf.float64)) for v in (self._near, self._radii)
    )
    for near, far in zip(*pairs, strict=True):
      (across,), (along,) = _factors(near / far, [radius / far])
      terms += [(size - 1.0) * tf.math.log(across), tf.math.log(along)]
      radius *= across
    return tf.stack([-0.5 * size * tf.square(radius), *terms])

  def _inverse(self, reach):
    images, tiles, r, step = self._tiles(reach)
    within = self._bounds(tf.nn.relu(r - step), r + step, tiles)
    low, high = within.low, within.high
    radii = self._of_tiles(reach, reach.radius)

    def on_events(values):
      values = self._of_channels(values, images) + tf.zeros_like(tiles)
      return tf.reshape(values, tf.shape(reach.center))

    # The linear part of a tile is the Jacobian of the centre, or, where that
    # changes too much, the middle of all eigenvalues.
    exact, _ = maps.evaluated(self.bijector, 'inverse', reach)
    middle = maps.linearized(exact, reach.center, on_events(0.5 * (low + high)))
    bent, curved = 0.5 * (high - low), 0.5 * radii * within.curvature
    is_curved = tf.cast(curved < bent, bent.dtype)
    value = tf.where(on_events(is_curved) > 0.0, exact, middle)
    bent = self._largest(reach, tf.minimum(curved, bent))
    reach.note(value, reach.grown(bent))
    change, rest, is_linear = self._log_det_changes(reach, within, radii)
    # Other tiles add no gradient.
    fixed = on_events(is_linear) * reach.center
    fixed += tf.stop_gradient(reach.center - fixed)
    _, log_det = maps.evaluated_with_gradients(
        self.bijector, 'inverse', reach._replace(center=fixed)
    )
    slope = tf.minimum(
        self._largest(reach, high),
        maps.constant(self.bounds.inverse, value.dtype),
    )
    bend = self._largest(reach, tf.maximum(high - 1.0, 1.0 - low))
    return balls.Change(
        value, log_det, slope, -change, change, bend, (-rest, rest)
    )

  def _log_det_changes(self, reach, within, radii):
    """How far the log-determinant goes, `[...]`, and beyond its linear part.

    And which tiles have one, 1 or 0.
    """
    change = reach.radius * self._norm(reach, within.rate)
    curved = 0.5 * radii * within.log_det_curvature
    zeros = tf.zeros_like(curved)
    is_linear = curved < within.rate
    rest = reach.radius * (
        self._largest(reach, tf.where(is_linear, curved, zeros))
        + self._norm(reach, tf.where(is_linear, zeros, within.rate))
    )
    pays = rest < change
    is_linear &= self._of_tiles(reach, pays)
    return change, tf.where(pays, rest, change), tf.cast(is_linear, zeros.dtype)

  def _forward_slope(self, reach):
    y, _ = maps.evaluated(self.bijector, 'forward', reach)
    _, tiles, r, step = self._tiles(reach)
    ends = []
    for radius in (tf.nn.relu(r - step), r + step):
      # A ratio of 0 over 0 is that of a very quiet tile.
      radius = tf.maximum(radius, 1e-15)
      ratio, _, _ = radial_terms.undo_terms(radius, self._near, self._radii)
      ends.append(radius * ratio)
    within = self._bounds(*ends, tiles)
    low, high = within.low, within.high
    slope = self._largest(reach, 1.0 / low)
    bend = self._largest(
        reach, tf.maximum(1.0 / low - 1.0, 1.0 - 1.0 / high)
    )
    slope = tf.minimum(slope, maps.constant(self.bounds.forward, y.dtype))
    return y, slope, bend

  # pylint: disable=protected-access

  def _tiles(self, reach):
    """Images, their tiles, radii, and how far those can move."""
    images = x = reach.center
    if self.bijector.forward_min_event_ndims == 1:
      images = x[..., tf.newaxis, tf.newaxis, :]
    tiles = self.bijector._tiling.of(images, self.bijector.name)
    size = self.bijector._tiling.num_values(images)
    step = self._of_tiles(reach, reach.radius) / size**0.5
    return images, tiles, self.bijector._radii(tiles), step

  def _of_tiles(self, reach, values):
    """Values `[...]` as they broadcast with tiles, of all parts of an event."""
    ndims = self.bijector.forward_min_event_ndims
    shape = tf.shape(reach.center)[: reach.center.shape.rank - ndims]
    ones = [1] * (reach.event_ndims - ndims)
    values = tf.reshape(values, tf.concat([tf.shape(values), ones], axis=0))
    return tf.reshape(tf.broadcast_to(values, shape), [-1, 1, 1, 1, 1, 1])

  def _of_channels(self, values, images):
    return self.bijector._tiling.of_channels(values, images)

  def _bounds(self, low, high, tiles):
    """`_Bounds` of radii in an interval."""
    values, radii = (tf.reduce_prod(tf.shape(x)[1:]) for x in (tiles, low))
    size = tf.cast(values // radii, tiles.dtype)
    many = size > 1.5
    across, along = ([tf.ones_like(low)] * 2 for _ in range(2))
    start, ends = low, [low, high]
    # First and second derivatives of `log A` and `log F`, at most.
    zero = tf.zeros_like(low)
    first, second = [zero, zero], [zero, zero]
    for near, radius in zip(
        tf.unstack(self._near), tf.unstack(self._radii), strict=True
    ):
      factors = _factors(near / radius, [end / radius for end in ends])
      # How fast the radius that enters changes, and how fast that does.
      grown, turned = along[1] / radius, first[1]
      derivatives = _derivatives(near / radius, ends[0] / radius)
      for k, (slope, bend) in enumerate(derivatives):
        second[k] += grown * (bend * grown + slope * turned)
        first[k] += grown * slope
      ends = [end * m for end, m in zip(ends, factors[0], strict=True)]
      across, along = (
          [bounds[0] * tf.minimum(*pair), bounds[1] * tf.maximum(*pair)]
          for bounds, pair in zip((across, along), factors, strict=True)
      )
    low, high = along
    low = tf.where(many, tf.minimum(low, across[0]), low)
    high = tf.where(many, tf.maximum(high, across[1]), high)
    of_across = tf.where(many, across[1] * first[0], zero)
    of_along = along[1] * first[1]
    rate, turn = (
        (size - 1.0) * values[0] + values[1] for values in (first, second)
    )
    # A single value turns where it changes its sign.
    turning = tf.where(many | (start <= 0.0), rate / start, zero)
    # The radius is a root mean square: its gradient has the norm 1 / sqrt(n).
    return _Bounds(
        *maps.widened(low, high),
        rate / tf.sqrt(size),
        tf.sqrt(
            tf.square(tf.maximum(of_across, of_along)) + tf.square(of_across)
        ) / tf.sqrt(size),
        tf.maximum(turn, turning) / size,
    )

  def _largest(self, reach, values):
    values = tf.reshape(values, tf.concat([tf.shape(reach.radius), [-1]], 0))
    return tf.reduce_max(values, axis=-1)

  def _norm(self, reach, values):
    values = tf.reshape(values, tf.concat([tf.shape(reach.radius), [-1]], 0))
    return tf.norm(values, axis=-1)


def _factors(scale, u):
  """`m` and `f` at both ends of an interval of `u`."""
  return (
      [(scale + v) / (1.0 + v) for v in u],
      [(scale + 2.0 * v + v * v) / tf.square(1.0 + v) for v in u],
  )


def _derivatives(scale, u):
  """`|first|` and `|second|` derivatives of `log m` and `log f`; all fall."""
  change, w = tf.abs(1.0 - scale), 1.0 + u
  near, square = scale + u, scale - 1.0 + w * w
  of_across, of_along = change / (near * w), 2.0 * change / (square * w)
  return (
      (of_across, of_across * (1.0 / near + 1.0 / w)),
      (of_along, of_along * (2.0 * w / square + 1.0 / w)),
  )


maps.register(bijectors.RadialScaling, _Radial)
