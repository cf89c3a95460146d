"""Whole flows in a ball."""

import abc
import math

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.local import balls
from tfp_flowopt.local import compositions
from tfp_flowopt.local import maps

__all__ = []


class _FactorOut(maps.LocalMap):
  """What travels on and what does not, side by side.

  Each is in a ball of its own, as the `Spread` of what arrives says.
  """

  # So that it is told of the run of layers before it.
  keeps_channels = True

  def __init__(self, bijector):
    self.bijector = bijector
    self._scaling, self._next = (
        compositions.sequence([] if part is None else [part])
        for part in (bijector.scaling, bijector.next_level)
    )

  def global_slope(self, direction):
    """See `LocalMap`."""
    sides = self._scaling, self._next
    return max(side.global_slope(direction) for side in sides)

  def _inverse(self, reach):
    travelling, factored = self.bijector.split(reach.center)
    gains = self._gains(reach, travelling.shape[-1])
    radii = [gain * reach.radius for gain in gains]
    own = self._scaling.inverse(reach._replace(
        center=factored, conditioning=None, radius=radii[1], spread=None
    ))
    size = factored.shape[-3:].num_elements()
    own = own._replace(value=_reshaped(own.value, 3, [size]))
    if self.bijector.next_level is None:
      return own
    others = self._next.inverse(
        reach._replace(center=travelling, radius=radii[0], spread=None)
    )
    change = _beside(others, own, -1)
    if reach.spread is None:
      return change
    # Both are balls of their own.
    slope = tf.sqrt(
        (gains[0] * others.slope) ** 2 + (gains[1] * own.slope) ** 2
    )
    return change._replace(slope=tf.minimum(change.slope, slope))

  def _gains(self, reach, num_travelling):
    """Radii of what travels on, and of what does not, per unit of the whole."""
    ones = tf.ones_like(reach.radius)
    if reach.spread is None:
      return [ones, ones]
    return [
        tf.minimum(ones, reach.spread.gain(*part))
        for part in ((None, num_travelling), (num_travelling, None))
    ]

  def _forward(self, reach):
    image = [*self.bijector.event_shape[:2], self.bijector.num_factored]
    size = math.prod(image)
    x = reach.center
    factored = _reshaped(x[..., -size:], 1, image)
    own = self._scaling.forward(
        reach._replace(center=factored, conditioning=None, spread=None)
    )
    if self.bijector.next_level is None:
      return own
    return _beside(
        self._next.forward(
            reach._replace(center=x[..., :-size], spread=None)
        ),
        own,
        -1,
    )


def _beside(first, second, axis):
  """The `Change` of two parts of an event."""
  return balls.Change(
      tf.concat([first.value, second.value], axis=axis),
      first.log_det + second.log_det,
      tf.maximum(first.slope, second.slope),
      first.low + second.low,
      first.high + second.high,
      given_rest=tuple(map(sum, zip(first.rest, second.rest, strict=True))),
  )


def _reshaped(x, ndims, event):
  """`x` with another shape in the place of its last dimensions."""
  rank = x.shape.rank - ndims
  x = tf.reshape(x, tf.concat([tf.shape(x)[:rank], event], axis=0))
  return tf.ensure_shape(x, [*[None] * rank, *event])


class _Parts(compositions.Wrapped):
  """Parts in turn, which see what the bijector makes of a condition."""

  def __init__(self, bijector):
    self.bijector = bijector
    super().__init__(compositions.sequence(self._parts_of(bijector)))

  def _parts_of(self, bijector):
    return bijector.parts

  @abc.abstractmethod
  def _condition(self, conditioning, batch_shape):
    """What the parts see."""

  def _inverse(self, reach):
    return self.local.inverse(self._with_condition(reach))

  def _forward(self, reach):
    return self.local.forward(self._with_condition(reach))

  def _with_condition(self, reach):
    condition = self._condition(reach.conditioning, reach.radius.shape)
    return reach._replace(conditioning=condition)


class _Level(_Parts):

  def _parts_of(self, bijector):
    return [
        *bijector.parts_before_steps,
        bijector.repeated_steps,
        bijector.restore,
        bijector.factor_out,
    ]

  def _condition(self, conditioning, batch_shape):
    return self.bijector.halved(conditioning)


class _VectorFlow(_Parts):

  def _condition(self, conditioning, batch_shape):
    return self.bijector.features(conditioning, batch_shape)


class _ImageFlow(_Parts):

  def _condition(self, conditioning, batch_shape):
    return self.bijector.conditioning_maps(conditioning, batch_shape)


maps.register(bijectors.FactorOut, _FactorOut)
maps.register(bijectors.FlowLevel, _Level)
maps.register(bijectors.ImageFlow, _ImageFlow)
maps.register(bijectors.VectorFlow, _VectorFlow)
