"""Monotone splines whose slopes lie in a stated range."""

import dataclasses
import math

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import half_precision
from tfp_flowopt.lipschitz import rounding

__all__ = ['BoundedSplines', 'slope_gradient']


@dataclasses.dataclass(frozen=True)
class BoundedSplines:
  """The `f` of `SplineCoupling`, each number of an array along its own.

  The parameters of `[..., C]` are `[..., K C]`: `r_1` of all, `r_2` and so on,
  and the shift `t`.
  """

  num_bins: int
  min_slope: float
  max_slope: float
  bound: float

  @classmethod
  def checked(cls, num_bins, min_slope, max_slope, bound):
    """Those of a user's arguments; a `ValueError` for a wrong one."""
    return cls(
        arguments.check_int('num_bins', num_bins, 2),
        arguments.check_number(
            'min_slope', min_slope, lambda v: 1e-3 <= v < 1, 'in [1e-3, 1)'
        ),
        arguments.check_number(
            'max_slope', max_slope, lambda v: 1 < v <= 1e3, 'in (1, 1e3]'
        ),
        arguments.check_positive('bound', bound),
    )

  @property
  def bin_width(self):
    """The `w` of the formula."""
    return 2.0 * self.bound / self.num_bins

  def cross_constant(self, lipschitz):
    """Constant of `f(y; net(x)) + t` in `x`, for a constant of the network."""
    gradient = slope_gradient(self.max_slope, self.bin_width, self.num_bins)
    return lipschitz and rounding.product(lipschitz, gradient)

  def _bins(self, params, second):
    """`q` and `h` of the formula, `[..., K, channels]`, and the shift."""
    shape = [self.num_bins, second.shape[-1]]
    shape = tf.concat([base.shape_of(second)[:-1], shape], axis=0)
    params = tf.reshape(half_precision.widened(params), shape)
    raw, shift = params[..., :-1, :], params[..., -1, :]
    above, below = math.log(self.max_slope), -math.log(self.min_slope)
    if above != below:
      above = tf.where(
          raw > 0, tf.constant(above, raw.dtype), tf.constant(below, raw.dtype)
      )
    half = (0.5 * above) * tf.tanh(raw / above)
    padding = [[0, 0]] * (raw.shape.rank - 2)
    left = tf.pad(half, [*padding, [1, 0], [0, 0]])
    right = tf.pad(half, [*padding, [0, 1], [0, 0]])
    return tf.exp(left - right), self.bin_width * tf.exp(left + right), shift

  def _column(self, values, dtype):
    """Numbers for each bin, as `[K, 1]`."""
    return tf.constant(values, dtype, [self.num_bins, 1])

  # Below, each bin holds a number that is 0 before it is reached and constant
  # after: sums over bins need no search for the right one. Of two arguments
  # `minimum` and `maximum` take the gradient to the first if they are equal:
  # so just one bin has it at a knot.

  def normalize(self, y, params):
    """`f(y) + t` and `log f'(y)`, each `[..., C]`."""
    q, height, shift = self._bins(params, y)
    dtype, y = y.dtype, half_precision.widened(y)
    bins = (y + self.bound) / self.bin_width
    place = bins[..., tf.newaxis, :] - self._column(
        [float(k) for k in range(self.num_bins)], y.dtype
    )
    one = tf.ones([], y.dtype)
    place = tf.minimum(one, tf.maximum(place, 0.0))
    scaled = q * place
    divisor = (1.0 - place) + scaled
    # From the middle knot on.
    passed = self._column(
        [float(k < self.num_bins // 2) for k in range(self.num_bins)], y.dtype
    )
    x = tf.reduce_sum(height * (scaled / divisor - passed), axis=-2)
    x += self._middle + self.bin_width * _beyond(bins, 0.0, self.num_bins)
    log_slope = -2.0 * tf.reduce_sum(tf.math.log(divisor), axis=-2)
    return tf.cast(x + shift, dtype), log_slope

  def generate(self, x, params):
    """The inverse, and its log-slopes."""
    q, height, shift = self._bins(params, x)
    dtype, x = x.dtype, half_precision.widened(x) - shift
    middle = self.num_bins // 2
    ends = tf.cumsum(height, axis=-2)
    ends += self._middle - ends[..., middle - 1 : middle, :]
    first = self._middle - tf.reduce_sum(height[..., :middle, :], -2)
    starts = tf.concat([first[..., tf.newaxis, :], ends[..., :-1, :]], axis=-2)
    last = ends[..., -1, :]
    inside = tf.minimum(last, tf.maximum(x, first))[..., tf.newaxis, :]
    share = (inside - starts) / height
    # Just below the end of a bin, rounding must not take the gradient.
    share -= tf.stop_gradient(tf.maximum(share - 1.0, 0.0))
    share = tf.where(
        inside < ends, tf.maximum(share, 0.0), tf.ones_like(share)
    )
    place = share / (q * (1.0 - share) + share)
    y = self.bin_width * tf.reduce_sum(place, axis=-2) - self.bound
    y += _beyond(x, first, last)
    divisor = (1.0 - place) + q * place
    log_slope = 2.0 * tf.reduce_sum(tf.math.log(divisor), axis=-2)
    return tf.cast(y, dtype), log_slope

  @property
  def _middle(self):
    """Where the knot is that stays."""
    return self.num_bins // 2 * self.bin_width - self.bound


def _beyond(x, low, high):
  """How far `x` is below `low`, negative, or above `high`."""
  zero = tf.zeros([], x.dtype)
  return tf.minimum(zero, x - low) + tf.maximum(x - high, zero)


def slope_gradient(max_slope, bin_width, num_bins):
  """The `G` of `SplineCoupling`: how far parameters move a value."""
  a = math.log(max_slope)
  p = math.sqrt(4.0 + a**2) - 2.0
  k = math.exp(0.5 * (a + p)) * (1.0 - (p / a) ** 2)
  num_knots = num_bins - num_bins // 2 - 0.75
  return math.hypot(1.0, bin_width * k * math.sqrt(num_knots))
