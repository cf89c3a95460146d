"""A bijector in a ball: how far it moves what, beyond a linear map.

Of a bijector `f` in one direction, at the centre `y` of a ball of radius `r`,

```none
f(y + d) = f(y) + M d + e(d),   |e(d)| <= error,   |M d + e(d)| <= slope |d|
log|det f'(y + d)| - log|det f'(y)| in [low, high]
```

for all `|d| <= r`. The linear map `M` is what automatic differentiation of the
value gives: a rule chooses it by what it stops gradients of. So the errors of
all layers of a flow can be weighed by one gradient (`certified_log_prob`). A
log-determinant may have a linear part, too.
"""

import abc
from collections.abc import Mapping
import functools
import math
import types

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import sequential
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import balls
from tfp_flowopt.parameters import freezing
from tfp_flowopt.parameters import parametrization

__all__ = [
    'Bounded',
    'Layer',
    'Linear',
    'LocalMap',
    'constant',
    'evaluated',
    'evaluated_with_gradients',
    'linearized',
    'local_map',
    'log_det_range',
    'register',
    'widened',
]


class LocalMap(abc.ABC):
  """A bijector, as its weights are when this is made.

  It is made eagerly, as certificates are; the methods work in graphs, too.
  """

  # Whether channels stay channels, near the identity.
  keeps_channels = False
  # Whether its values have other channels, at other positions.
  changes_channels = False
  # Whether it is a function of the norm of a vector, times the vector.
  is_radial = False
  # What the weights of a single layer give.
  _weights: Mapping[tf.Module, tf.Tensor] = types.MappingProxyType({})

  def inverse(self, reach):
    """The `Change` of direction `inverse` in a `Reach`."""
    with parametrization.using_frozen(self._weights):
      return self._inverse(reach).checked(reach)

  def forward(self, reach):
    """The `Change` of direction `forward` in a `Reach`."""
    with parametrization.using_frozen(self._weights):
      return self._forward(reach).checked(reach)

  @abc.abstractmethod
  def _inverse(self, reach):
    """See `inverse`."""

  @abc.abstractmethod
  def _forward(self, reach):
    """See `forward`."""

  @abc.abstractmethod
  def global_slope(self, direction):
    """The constant of a direction for all events, a Python `float`."""

  def without_last_radial(self):
    """What comes before a last radial part of `inverse`, and that or `None`."""
    return self, None


class Layer(LocalMap):
  """A single bijector, with its global constants."""

  def __init__(self, bijector):
    """Notes the bijector, its constants and what its weights give."""
    self.bijector = bijector
    self._weights = freezing.computed(bijector)
    self.bounds = bounds.lipschitz_bounds(bijector)

  def global_slope(self, direction):
    """The constant of a direction for all events, a Python `float`."""
    return getattr(self.bounds, direction)

  def _forward_slope(self, reach):
    """`forward` of the centre, its constant, and its bend or `None`."""
    y, _ = evaluated(self.bijector, 'forward', reach)
    slope = tf.zeros_like(reach.radius) + constant(
        self.bounds.forward, y.dtype
    )
    return y, slope, None

  def _forward(self, reach):
    """See `forward`.

    In general, nothing of it is taken for linear, and its log-determinant is
    that of `inverse` where the ball comes from.
    """
    y, slope, bend = self._forward_slope(reach)
    y, radius = tf.stop_gradient(y), reach.grown(slope)
    there = self.inverse(balls.Reach(y, radius, reach.conditioning))
    reach.note(y, radius)
    return balls.Change(
        y, -there.log_det, slope, -there.high, -there.low, bend
    )


@functools.singledispatch
def _rules(bijector):
  """Classes of `LocalMap` by exact classes of bijectors."""


register = _rules.register


def local_map(bijector):
  """The `LocalMap` of a bijector.

  A `TypeError` if it has no constants, or events of several parts.

  A class joins with `register(cls, function)`; others are taken by their global
  constants.
  """
  ends = bijector.forward_min_event_ndims, bijector.inverse_min_event_ndims
  if any(map(tf.nest.is_nested, ends)):
    raise TypeError(
        f'There are no regions for {bijector}, whose events have several parts.'
    )
  make = _rules.registry.get(type(bijector))
  return Bounded(bijector) if make is None else make(bijector)


def evaluated(bijector, direction, reach):
  """Value and log-determinant `[...]` at the centre of a `Reach`.

  The log-determinant has no gradient.
  """
  value, log_det = evaluated_with_gradients(bijector, direction, reach)
  return value, tf.stop_gradient(log_det)


def evaluated_with_gradients(bijector, direction, reach):
  """The same, but for the gradient of the log-determinant."""
  evaluate = getattr(base, f'{direction}_and_log_det')
  value, log_det = evaluate(bijector, reach.center, reach.conditioning)
  ndims = getattr(bijector, f'{direction}_event_ndims')(reach.event_ndims)
  batch_ndims = reach.radius.shape.rank
  if value.shape.rank != batch_ndims + ndims or not (
      value.shape[:batch_ndims].is_compatible_with(reach.radius.shape)
  ):
    raise ValueError(
        f'Argument `region`: the batch of parameters of {bijector.name} makes '
        f'values of shape {value.shape} of {reach.center.shape}; give centres '
        'that have all dimensions of that batch.'
    )
  ndims = getattr(bijector, f'{direction}_min_event_ndims')
  log_det = sequential.summed(
      log_det, reach.center, ndims, reach.event_ndims - ndims
  )
  return value, tf.zeros_like(reach.radius) + log_det


def constant(value, dtype):
  """A constant that is not negative, as a `Tensor`; infinite if it is large."""
  return tf.constant(value if value <= float(dtype.max) else math.inf, dtype)


def widened(least, most):
  """An interval of positive numbers, and what rounding may have taken of it."""
  slack = 64.0 * rounding.properties(least.dtype).unit
  tiny = np.finfo(least.dtype.as_numpy_dtype).tiny  # less may have become 0
  return least * (1.0 - slack), tf.maximum(most * (1.0 + slack), tiny)


def linearized(value, y, factor):
  """`value`, whose gradient by `y` is `factor`, number by number."""
  linear = tf.stop_gradient(factor) * y
  return linear + tf.stop_gradient(value - linear)


class Bounded(Layer):
  """A bijector of which nothing is known but its constants."""

  def _inverse(self, reach):
    return self._change(reach, 'inverse')

  def _forward(self, reach):
    return self._change(reach, 'forward')

  def _change(self, reach, direction):
    value, log_det = evaluated(self.bijector, direction, reach)
    value = tf.stop_gradient(value)
    there, back = self.bounds
    if direction == 'inverse':
      there, back = back, there
    slope = tf.zeros_like(reach.radius) + constant(there, value.dtype)
    reach.note(value, reach.grown(slope))
    return balls.Change(
        value, log_det, slope, *log_det_range(reach, log_det, there, back)
    )


def log_det_range(reach, log_det, there, back, is_exact=True):
  """How far a log-determinant can change, by constants of both directions.

  All singular values lie in `[1 / back, there]`. One that is not exact, but an
  estimate, may be off where nothing moves.
  """
  size = reach.center.shape[-reach.event_ndims :].num_elements()
  zero = tf.zeros([], log_det.dtype)
  lowest, highest = (
      tf.cast(size * bounds.log_constant(constant), log_det.dtype)
      for constant in (back, there)
  )
  moves = (reach.radius > 0) | (not is_exact)
  return (
      tf.where(moves, tf.minimum(-lowest - log_det, zero), zero),
      tf.where(moves, tf.maximum(highest - log_det, zero), zero),
  )


class Linear(Layer):
  """An affine bijector, for each condition: its constants hold anywhere."""

  def __init__(self, bijector, bend=None):
    """Notes how far it is from the identity in both directions, if known."""
    super().__init__(bijector)
    self._bend = bend
    self.keeps_channels = bend is not None

  def _inverse(self, reach):
    return self._change(reach, 'inverse')

  def _forward(self, reach):
    return self._change(reach, 'forward')

  def _change(self, reach, direction):
    value, log_det = evaluated(self.bijector, direction, reach)
    zeros = tf.zeros_like(log_det)
    slope = zeros + constant(getattr(self.bounds, direction), zeros.dtype)
    bend = None
    if self._bend is not None:
      bend = zeros + constant(self._bend, zeros.dtype)
    return balls.Change(value, log_det, slope, zeros, zeros, bend)
