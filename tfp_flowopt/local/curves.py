"""Elementwise bijectors: the slopes that occur within a ball."""

import abc

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps

__all__ = ['Elementwise', 'largest_sum']

tfb = tfp.bijectors


class Elementwise(maps.Layer):
  """An increasing curve for each number."""

  keeps_channels = True

  @abc.abstractmethod
  def log_slopes(self, reach, direction):
    """The least and the largest log-slope of each number in a `Reach`.

    And how far each must go for its slope to change, as a `Tensor` of the shape
    of the event, or `None` for not far.
    """

  def _inverse(self, reach):
    return self._change(reach, 'inverse')

  def _forward(self, reach):
    return self._change(reach, 'forward')

  def _change(self, reach, direction):
    value, log_det = maps.evaluated(self.bijector, direction, reach)
    low, high, distance = self.log_slopes(reach, direction)
    least, most = maps.widened(tf.exp(low), tf.exp(high))
    # Nothing is linear where a ball leaves the range of the curve.
    known = tf.math.is_finite(most)
    slope = tf.where(known, 0.5 * (least + most), tf.zeros_like(most))
    middle = maps.linearized(value, reach.center, slope)
    bent = reach.largest(tf.where(known, 0.5 * (most - least), most))
    reach.note(middle, reach.grown(bent))
    change = largest_sum(reach, high - low, distance)
    return balls.Change(
        middle, log_det, reach.largest(most), -change, change
    )


def largest_sum(reach, gains, distances=None):
  """Bound of `sum gains` over numbers that go their distance, `[...]`.

  A number gains what it does after a distance, and the squares of all distances
  add up to the radius's at most. For each price `p` of a square, at most
  `p r^2 + sum max(gain - p distance^2, 0)` (weak duality); the best of some.
  """
  total = tf.reduce_sum(gains, axis=reach.axes(gains))
  if distances is None:
    return total
  moves = tf.where(reach.radius > 0, reach.radius, tf.ones_like(reach.radius))
  share = tf.square(distances / reach.each(moves))
  largest = reach.largest(gains)
  best = total
  for exponent in range(-14, 2):
    price = largest * 2.0**exponent
    rest = tf.nn.relu(gains - reach.each(price) * share)
    best = tf.minimum(
        best, price + tf.reduce_sum(rest, axis=reach.axes(gains))
    )
  return tf.where(reach.radius > 0, best, tf.zeros_like(best))


class _Smooth(Elementwise):
  """A curve whose slope rises, or falls, on either side of a place."""

  def log_slopes(self, reach, direction):
    vertex = self._vertex(direction, reach.center.dtype)
    low, high = _ends(reach.center, reach.radii)
    points = [low, high, tf.clip_by_value(vertex + 0.0 * low, low, high)]
    found = [self._log_slope(p, direction) for p in points]
    return (
        tf.reduce_min(found, axis=0), tf.reduce_max(found, axis=0), None
    )

  def _log_slope(self, x, direction):
    x = tf.identity(x)
    value = getattr(self.bijector, f'{direction}_log_det_jacobian')(
        x, event_ndims=0
    )
    # Beyond the range there is no slope to speak of; nor has TFP one for a
    # `Sigmoid` that falls.
    return tf.where(
        tf.math.is_nan(value), tf.constant(np.inf, value.dtype), value
    )

  def _vertex(self, direction, dtype):
    """Where slopes turn; any place for a curve that bends one way."""
    zero = tf.zeros([], dtype)
    if direction == 'forward' or type(self.bijector) in (tfb.Exp, tfb.Softplus,
                                                         tfb.Log):
      return zero
    return self.bijector.forward(zero)


class _Pieces(Elementwise):
  """`MarginalGaussianization`: slopes of the pieces that a number can reach."""

  def __init__(self, bijector):
    super().__init__(bijector)
    inputs, outputs = (
        np.asarray(knots, np.float64)
        for knots in (bijector.inputs, bijector.outputs)
    )

    def widths(knots):
      whole = knots[:, -1:] - knots[:, :1]
      return np.concatenate([whole, np.diff(knots), whole], axis=1)

    log_slopes = np.log(widths(outputs)) - np.log(widths(inputs))
    self._pieces = {
        'inverse': _Ranges(inputs, log_slopes, bijector.dtype),
        'forward': _Ranges(outputs, -log_slopes, bijector.dtype),
    }

  def log_slopes(self, reach, direction):
    shape = tf.shape(reach.center)
    channels = reach.center.shape[-1]

    def rows(x):
      return tf.transpose(tf.reshape(x, [-1, channels]))

    x = rows(reach.center)
    radii = rows(tf.zeros_like(reach.center) + reach.radii)
    return [
        tf.reshape(tf.transpose(values), shape)
        for values in self._pieces[direction](x, radii)
    ]


class _Ranges:
  """The least and largest of neighbouring numbers of rows."""

  def __init__(self, knots, values, dtype):
    self._knots = tf.constant(knots, dtype)
    self._num_values = values.shape[1]
    tables = [(values, values)]
    # Of 1, 2, 4, ... neighbours, from each one on.
    while 2 ** len(tables) <= self._num_values:
      low, high = tables[-1]
      step = 2 ** (len(tables) - 1)
      tables.append((
          np.minimum(low, np.pad(low, [(0, 0), (0, step)], 'edge')[:, step:]),
          np.maximum(high, np.pad(high, [(0, 0), (0, step)], 'edge')[:, step:]),
      ))
    self._low, self._high = (
        tf.constant(np.concatenate(part, axis=1), dtype)
        for part in zip(*tables, strict=True)
    )

  def __call__(self, x, radii):
    """For rows of numbers, `[rows, N]` each: ranges, and distances of knots."""
    low, high = _ends(x, radii)
    first = tf.searchsorted(self._knots, low, side='left')
    last = tf.searchsorted(self._knots, high, side='right')
    at = tf.searchsorted(self._knots, x, side='right')
    still = radii == 0
    first, last = tf.where(still, at, first), tf.where(still, at, last)
    length = tf.cast(last - first + 1, tf.float64)
    level = tf.cast(
        tf.math.floor(tf.math.log(length) / np.log(2.0) + 1e-9), tf.int32
    )
    offset = level * self._num_values
    pair = offset + first, offset + last + 1 - tf.bitwise.left_shift(
        tf.ones_like(level), level
    )

    def of_both(table, reduce):
      return reduce(*(tf.gather(table, i, axis=1, batch_dims=1) for i in pair))

    infinity = tf.fill([self._knots.shape[0], 1], tf.constant(np.inf, x.dtype))
    padded = tf.concat([-infinity, self._knots, infinity], axis=1)
    before, after = (
        tf.gather(padded, at + k, axis=1, batch_dims=1) for k in (0, 1)
    )
    return (
        of_both(self._low, tf.minimum),
        of_both(self._high, tf.maximum),
        tf.minimum(tf.abs(x - before), tf.abs(after - x)),
    )


def _ends(x, radii):
  """Numbers between which all within the radii of `x` are; for 0, `x`.

  Rounding must not take what is at the ends: near an asymptote, slopes there
  are the largest.
  """
  slack = 4.0 * rounding.properties(x.dtype).unit
  reach = radii + tf.where(
      radii > 0, slack * (tf.abs(x) + radii), tf.zeros_like(radii)
  )
  return x - reach, x + reach


for _cls in (
    tfb.Exp, tfb.Log, tfb.Sigmoid, tfb.Softplus, tfb.Softsign, tfb.Tanh
):
  maps.register(_cls, _Smooth)
maps.register(bijectors.MarginalGaussianization, _Pieces)
