"""Splines in a ball: by the bins that values can reach."""

import math

import tensorflow as tf

from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import maps

__all__ = ['SplineBounds']


class SplineBounds:
  """Bounds of the `f` of `SplineCoupling`, each number along its own.

  With the place `u` in a bin, and the log-slopes `p` and `p'` at its ends,

  ```none
  f'^(-1/2) = (1 - u) e^(-p / 2) + u e^(-p' / 2),
  ```

  which falls as `p` and `p'` grow, and is linear in `u`: so its extremes are at
  the ends of what these can be. And of the bins on one side of the middle,
  `|df / dp_k|` is at most the mean of the two beside knot `k`, and there is
  none for knots farther out than the bin of the value.

  Attributes:
    least: The least slope that each number can meet, `[..., C]`.
    most: The largest one.
    cross: Bound of the norm of the gradient of `f + t` by parameters.
    by_params: Bound of the norm of the gradient of `log f'` by parameters.
    by_value: Bound of the derivative of `log f'`.
  """

  def __init__(self, splines, y, params, moved, radius, direction='inverse'):
    """Computes them.

    Args:
      splines: `BoundedSplines`.
      y: Values on the data's side, `[..., C]`.
      params: Their parameters, `[..., K C]`.
      moved: How far each parameter can move, as it broadcasts with `y`.
      radius: How far what the spline is applied to can move: `y`, or `f(y)`
        with direction `'forward'`.
      direction: The one that is applied.
    """
    self._splines = splines
    self._low, self._high, self._steepness = self._knots(y, params, moved)
    self._heights = splines.bin_width * tf.exp(
        0.5 * (self._high[..., 1:, :] + self._high[..., :-1, :])
    )
    if direction == 'forward':
      # Slopes are at least the least one at a knot.
      radius = tf.sqrt(tf.square(radius) + tf.square(self._cross() * moved))
      radius /= tf.exp(tf.reduce_min(self._low, axis=-2))
    # Rounding of places.
    unit = rounding.properties(y.dtype).unit
    radius += 16.0 * unit * (tf.abs(y) + splines.bound)
    places = [self._places(v) for v in (y - radius, y + radius)]
    self._is_met = (places[0] <= 1.0) & (places[1] >= 0.0)
    places = [tf.clip_by_value(place, 0.0, 1.0) for place in places]
    largest, smallest = (
        extreme(*_roots(log_slopes, places))
        for log_slopes, extreme in (
            (self._low, tf.maximum), (self._high, tf.minimum)
        )
    )
    in_tails = tf.abs(y) + radius >= splines.bound
    self.least, self.most = self._slopes(largest, smallest, in_tails)
    self.cross = tf.minimum(
        self._cross(places), tf.cast(splines.cross_constant(1.0), y.dtype)
    )
    self.by_params = self._largest_met(tf.maximum(
        self._steepness[..., :-1, :], self._steepness[..., 1:, :]
    ))
    self.by_value = self._bends(smallest)

  def _largest_met(self, values):
    """The largest of values of bins, of those that are met; 0 for none."""
    nothing = tf.zeros_like(values)
    return tf.reduce_max(tf.where(self._is_met, values, nothing), axis=-2)

  def _slopes(self, largest, smallest, in_tails):
    """The least and the largest slope, of roots of bins; 1 in the tails."""
    largest = self._largest_met(largest)
    smallest = 1.0 / self._largest_met(1.0 / smallest)
    one = tf.ones_like(largest)
    return maps.widened(
        tf.where(in_tails, tf.maximum(largest, one), largest) ** -2,
        tf.where(in_tails, tf.minimum(smallest, one), smallest) ** -2,
    )

  def _bends(self, smallest):
    """`|d log f' / dy| = 2 |d f'^(-1/2) / dy| f'^(1/2)`, at most."""
    low, high = self._low, self._high
    ends = [tf.exp(-0.5 * v) for v in (low, high)]
    bends = tf.maximum(
        ends[0][..., 1:, :] - ends[1][..., :-1, :],
        ends[0][..., :-1, :] - ends[1][..., 1:, :],
    )
    # Which may be the less where both ends can be anything.
    differences = tf.maximum(
        high[..., 1:, :] - low[..., :-1, :], high[..., :-1, :] - low[..., 1:, :]
    )
    bends = tf.minimum(bends / smallest, tf.math.expm1(0.5 * differences))
    return (2.0 / self._splines.bin_width) * self._largest_met(bends)

  def _knots(self, y, params, moved):
    """Log-slopes at the knots, at least and at most, and their derivatives.

    By the parameters, at most; each `[..., K + 1, C]`.
    """
    splines = self._splines
    shape = [splines.num_bins, y.shape[-1]]
    raw = tf.reshape(params, tf.concat([tf.shape(y)[:-1], shape], axis=0))
    raw = raw[..., :-1, :]
    moved = tf.expand_dims(tf.zeros_like(y) + moved, -2)
    above, below = (
        tf.constant(v, raw.dtype)
        for v in (math.log(splines.max_slope), -math.log(splines.min_slope))
    )
    ends = [*[[0, 0]] * (raw.shape.rank - 2), [1, 1], [0, 0]]

    def log_slopes(raw):
      scale = tf.where(raw > 0, above, below)
      return tf.pad(scale * tf.tanh(raw / scale), ends)

    scale = tf.where(raw > 0, above, below)
    nearest = tf.nn.relu(tf.abs(raw) - moved)
    steepness = tf.pad(1.0 - tf.square(tf.tanh(nearest / scale)), ends)
    return log_slopes(raw - moved), log_slopes(raw + moved), steepness

  def _places(self, y):
    """In each bin, `[..., K, C]`, not clipped."""
    splines = self._splines
    bins = (y + splines.bound) / splines.bin_width
    starts = tf.range(splines.num_bins, dtype=y.dtype)
    return bins[..., tf.newaxis, :] - starts[:, tf.newaxis]

  def _cross(self, places=None):
    """See `cross`; without places, for all values."""
    heights, steepness = self._heights, self._steepness
    middle = self._splines.num_bins // 2
    # Of knots 1, ..., K - 1, which have a bin on either side.
    means = 0.5 * (heights[..., :-1, :] + heights[..., 1:, :])
    squares = tf.square(means * steepness[..., 1:-1, :])
    left, right = squares[..., : middle - 1, :], squares[..., middle:, :]
    if places is not None:
      # A knot is felt beyond the one before it, on the way from the middle.
      low, high = places
      left = tf.where(low[..., 1:middle, :] < 1.0, left, 0.0 * left)
      right = tf.where(high[..., middle:-1, :] > 0.0, right, 0.0 * right)
    farther = [tf.reduce_sum(side, axis=-2) for side in (left, right)]
    # Of the middle one counts half of the bin on the same side.
    beside = [heights[..., k, :] for k in (middle - 1, middle)]
    own = tf.square(0.5 * steepness[..., middle, :])
    sums = (
        more + own * tf.square(height)
        for more, height in zip(farther, beside, strict=True)
    )
    return tf.sqrt(1.0 + tf.maximum(*sums))


def _roots(log_slopes, places):
  """`f'^(-1/2)` at both ends of what is met of each bin."""
  ends = tf.exp(-0.5 * log_slopes)
  left, right = ends[..., :-1, :], ends[..., 1:, :]
  return [left + place * (right - left) for place in places]
