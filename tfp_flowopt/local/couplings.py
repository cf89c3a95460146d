"""Couplings in a ball: by the slopes and cross terms that occur there.

What passes unchanged is moved by at most the radius `r`, so parameters are by
`L r`, `L` the constant of the network. Elementwise bounds over the values that
parameters and the transformed half can take then stand in the place of those
for all inputs.
"""

import abc
import math

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import coupling as coupling_lib
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import statements
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps
from tfp_flowopt.local import spline_bounds

__all__ = []


class _Coupling(maps.Layer):
  """What all couplings share."""

  keeps_channels = True

  def __init__(self, bijector):
    super().__init__(bijector)
    self._lipschitz = statements.current_lipschitz(bijector.conditioner)

  def _parts(self, reach):
    """Both halves, and what the network makes of the first."""
    first, second = tf.split(
        reach.center, [reach.center.shape[-1] // 2, -1], axis=-1
    )
    conditioner = self.bijector.conditioner
    params = tf.stop_gradient(
        coupling_lib.given(conditioner, first, reach.conditioning)
    )
    return first, second, params

  def _constant(self, values):
    return tf.cast(self._lipschitz, values.dtype)

  def _inverse(self, reach):
    first, second, params = self._parts(reach)
    value, log_slopes = self._transformed(second, params, 'inverse')
    least, most, cross, by_params, by_value = self._bounds(
        reach, second, params, 'inverse'
    )
    # The transformed half is taken for a straight line, the network for
    # constant.
    value = maps.linearized(value, second, 0.5 * (least + most))
    bent = reach.largest(0.5 * (most - least))
    lipschitz = self._constant(value)
    cross = lipschitz * reach.largest(cross)
    reach.note(value, tf.sqrt(cross**2 + bent**2) * reach.radius)
    change = reach.radius * tf.sqrt(
        (lipschitz * reach.norm(by_params)) ** 2 + reach.norm(by_value) ** 2
    )
    log_det = tf.stop_gradient(
        tf.reduce_sum(log_slopes, axis=reach.axes(log_slopes))
    )
    slope = self._at_most(
        _coupling_norm(cross, reach.largest(most)), self.bounds.inverse
    )
    bend = tf.maximum(reach.largest(most) - 1.0, 1.0 - reach.smallest(least))
    return balls.Change(
        tf.concat([first, value], axis=-1),
        log_det,
        slope,
        -change,
        change,
        tf.sqrt(cross**2 + bend**2),
    )

  def _forward_slope(self, reach):
    first, second, params = self._parts(reach)
    value, _ = self._transformed(second, params, 'forward')
    least, most, cross, _, _ = self._bounds(reach, value, params, 'forward')
    cross = self._constant(value) * reach.largest(cross)
    largest = reach.largest(1.0 / least)
    bend = tf.maximum(largest - 1.0, 1.0 - reach.smallest(1.0 / most))
    return (
        tf.concat([first, value], axis=-1),
        self._at_most(_coupling_norm(cross, largest), self.bounds.forward),
        tf.sqrt(cross**2 + bend**2),
    )

  def _at_most(self, slope, constant):
    return tf.minimum(slope, maps.constant(constant, slope.dtype))

  def _transformed(self, second, params, direction):
    bijector = self.bijector
    params = bijector._prepared(params)  # pylint: disable=protected-access
    if direction == 'inverse':
      return bijector._normalize(second, params)  # pylint: disable=protected-access
    return bijector._generate(second, params)  # pylint: disable=protected-access

  @abc.abstractmethod
  def _bounds(self, reach, y, params, direction):
    """Bounds for each number of the transformed half, on the data's side.

    Returns:
      The least and the largest slope of `inverse`; how much the parameters of a
      number move it in that direction, at most, a norm; and so its log-slope,
      by parameters and by `y` itself.
    """


class _Additive(_Coupling):

  def _bounds(self, reach, y, params, direction):
    one, zero = tf.ones_like(y), tf.zeros_like(y)
    return one, one, one, zero, zero


class _Affine(_Coupling):

  def _bounds(self, reach, y, params, direction):
    a, b = self.bijector.scale_bound, self.bijector.tail_bound
    raw, _ = tf.split(params, 2, axis=-1)
    moved = self._constant(raw) * reach.radii
    log_scales = [a * tf.tanh((raw + k * moved) / a) for k in (-1.0, 1.0)]
    # Where `e^s (1 - (s / a)^2)` is largest.
    peak = tf.clip_by_value(
        tf.constant(math.sqrt(1.0 + a**2) - 1.0, raw.dtype) + 0.0 * raw,
        *log_scales,
    )
    steepest = tf.exp(peak) * (1.0 - tf.square(peak / a))
    if math.isinf(b):
      # `phi` is the identity: no constant holds everywhere, but one here.
      near = far = tf.ones_like(y)
      _, phi = self._range(reach, y, raw, log_scales, direction)
      second = tf.zeros_like(y)
    else:
      nearest, reached = (
          v / b for v in self._range(reach, y, raw, log_scales, direction)
      )
      near, far = (1.0 + nearest) ** -2, (1.0 + reached) ** -2
      phi = b * (1.0 - 1.0 / (1.0 + reached))
      second = (2.0 / b) * (1.0 + nearest) ** -3
    low, high = (tf.math.expm1(s) for s in log_scales)
    # `1 + (e^s - 1) phi'`, which grows with `s`, and with `phi'` for `s > 0`.
    least = 1.0 + tf.minimum(low * near, low * far)
    most = 1.0 + tf.maximum(high * near, high * far)
    least, most = maps.widened(least, most)
    by_scale = steepest * phi
    by_shift = tf.ones_like(y)
    if direction == 'forward':
      by_scale, by_shift = by_scale / least, by_shift / least
    return (
        least,
        most,
        tf.sqrt(tf.square(by_scale) + tf.square(by_shift)),
        steepest * near / least,
        tf.maximum(tf.abs(low), tf.abs(high)) * second / least,
    )

  def _range(self, reach, y, raw, log_scales, direction):
    """The smallest and the largest `|y|`, given the radius where it is."""
    if direction == 'inverse':
      size, radius = tf.abs(y), reach.radii
      return tf.nn.relu(size - radius), size + radius
    # Of `x - t`, which the curve has between `min(1, e^s) |y|` and
    # `max(1, e^s) |y|`.
    a, b = self.bijector.scale_bound, self.bijector.tail_bound
    near = tf.abs(y)
    u = near / b
    size = near * (tf.exp(a * tf.tanh(raw / a)) + u) / (1.0 + u)
    radius = (1.0 + self._constant(raw)) * reach.radii
    low, high = (tf.exp(s) for s in log_scales)
    # And it stays near: the curve at `y` moves by so much, the argument by the
    # radius, and slopes are at least `min(1, e^s)`.
    level = near / (1.0 + u)
    least = tf.minimum(low, 1.0)
    moved = (radius + (high - low) * level) / least
    return (
        tf.nn.relu(
            tf.maximum(near - moved, (size - radius) / tf.maximum(high, 1.0))
        ),
        tf.minimum(near + moved, (size + radius) / least),
    )


class _Spline(_Coupling):

  def _bounds(self, reach, y, params, direction):
    within = spline_bounds.SplineBounds(
        self.bijector.splines,
        y,
        params,
        self._constant(params) * reach.radii,
        reach.radii,
        direction,
    )
    cross = within.cross
    if direction == 'forward':
      cross /= within.least
    return within.least, within.most, cross, within.by_params, within.by_value


class _Autoregressive(maps.Layer):
  """`MaskedAutoregressive`, of which each number is moved by those before."""

  keeps_channels = True

  def __init__(self, bijector):
    super().__init__(bijector)
    self._lipschitz = statements.current_lipschitz(bijector.network)

  def _parts(self, reach, y):
    splines = self.bijector.splines
    params = tf.stop_gradient(
        coupling_lib.given(self.bijector.network, y, reach.conditioning)
    )
    lipschitz = tf.cast(self._lipschitz, y.dtype)
    within = spline_bounds.SplineBounds(
        splines, y, params, lipschitz * reach.radii, reach.radii
    )
    return params, within, lipschitz * reach.largest(within.cross)

  def _inverse(self, reach):
    y = reach.center
    params, within, cross = self._parts(reach, y)
    least, most = within.least, within.most
    value, log_slopes = self.bijector.splines.normalize(y, params)
    value = maps.linearized(value, y, 0.5 * (least + most))
    bent = reach.largest(0.5 * (most - least))
    reach.note(value, (cross + bent) * reach.radius)
    # Of all rows: each moves by a part of the radius.
    size = tf.cast(y.shape[-reach.event_ndims :].num_elements(), y.dtype)
    change = reach.radius * (
        tf.sqrt(size) * tf.cast(self._lipschitz, y.dtype)
        + reach.norm(within.by_value)
    )
    slope = tf.minimum(
        reach.largest(most) + cross, maps.constant(self.bounds.inverse, y.dtype)
    )
    return balls.Change(
        value,
        tf.stop_gradient(
            tf.reduce_sum(log_slopes, axis=reach.axes(log_slopes))
        ),
        slope,
        -change,
        change,
        cross + tf.maximum(
            reach.largest(most) - 1.0, 1.0 - reach.smallest(least)
        ),
    )


def _coupling_norm(c, d):
  """`bounds.coupling_norm` of `Tensor`s."""
  return 0.5 * (
      tf.sqrt(c**2 + (1.0 + d) ** 2) + tf.sqrt(c**2 + (1.0 - d) ** 2)
  )


def _additive(bijector):
  # Exact classes: a subclass may compute something else.
  is_linear = type(bijector.conditioner) in (
      layers.LipschitzConv2D,
      layers.LipschitzDense,
  )
  if not is_linear:
    return _Additive(bijector)
  return maps.Linear(
      bijector, statements.current_lipschitz(bijector.conditioner)
  )


def _certified(rule):
  """A rule for networks that have a constant; others have no local one."""

  def make(bijector):
    lipschitz = statements.current_lipschitz(bijector.conditioner)
    return (rule if math.isfinite(lipschitz) else maps.Bounded)(bijector)

  return make


maps.register(bijectors.AdditiveCoupling, _certified(_additive))
maps.register(bijectors.AffineCoupling, _certified(_Affine))
maps.register(bijectors.SplineCoupling, _certified(_Spline))
maps.register(bijectors.MaskedAutoregressive, _Autoregressive)
