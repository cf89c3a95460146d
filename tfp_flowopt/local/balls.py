"""Balls that arrive at a bijector, and what becomes of them."""

from typing import Any
from typing import NamedTuple

import tensorflow as tf

__all__ = ['Change', 'Reach']


class Reach(NamedTuple):
  """The ball that arrives at a bijector.

  Attributes:
    center: `[..., event]`.
    radius: `[...]`.
    conditioning: What the bijector depends on, or `None`.
    errors: List to which each bijector adds what it adds to a linear map: pairs
      of a `Tensor` `[..., part]` and a bound `[...]` of the norm of its error.
    spread: `skeleton.Spread` of the ball, or `None`.
  """

  center: tf.Tensor
  radius: tf.Tensor
  conditioning: tf.Tensor | None = None
  errors: list | None = None
  spread: Any = None

  @property
  def event_ndims(self):
    """Number of dimensions of an event."""
    return self.center.shape.rank - self.radius.shape.rank

  def each(self, values):
    """Values `[...]` as they broadcast with events."""
    ones = [1] * self.event_ndims
    return tf.reshape(values, tf.concat([tf.shape(values), ones], axis=0))

  @property
  def radii(self):
    """The radius as it broadcasts with events."""
    return self.each(self.radius)

  def axes(self, values):
    """All axes of `[..., event]` but those of the batch."""
    return list(range(self.radius.shape.rank, values.shape.rank))

  def largest(self, values):
    """The largest number of each event, `[...]`."""
    return tf.reduce_max(values, axis=self.axes(values))

  def smallest(self, values):
    """The smallest one."""
    return tf.reduce_min(values, axis=self.axes(values))

  def norm(self, values):
    """The Euclidean norm of each event, `[...]`."""
    return tf.sqrt(tf.reduce_sum(tf.square(values), axis=self.axes(values)))

  def note(self, tensor, error):
    """Adds an error of at most `error` `[...]`, in `tensor`."""
    if self.errors is not None:
      self.errors.append((tensor, error))

  def grown(self, slope):
    """The radius times a constant; 0 stays 0."""
    return tf.math.multiply_no_nan(slope, self.radius)


class Change(NamedTuple):
  """What becomes of a ball; see `maps`.

  Attributes:
    value: `f(y)`, `[..., event]`.
    log_det: `log|det f'(y)|`, `[...]`.
    slope: `[...]`, the constant.
    low: `[...]`, not positive.
    high: `[...]`, not negative.
    given_bend: `[...]`, with `|f(y + d) - f(y) - d| <= bend |d|`.
    given_rest: Pair as `low` and `high`, of what the log-determinant changes
      beyond the linear part that its gradient gives; or `None` if it has no
      gradient.
  """

  value: tf.Tensor
  log_det: tf.Tensor
  slope: tf.Tensor
  low: tf.Tensor
  high: tf.Tensor
  given_bend: tf.Tensor | None = None
  given_rest: tuple[tf.Tensor, tf.Tensor] | None = None

  @property
  def rest(self):
    """`given_rest`, or how much the log-determinant changes at all."""
    return self.given_rest or (self.low, self.high)

  @property
  def bend(self):
    """How far the bijector is from the identity, `[...]`."""
    bend = self.slope + 1.0
    if self.given_bend is not None:
      bend = tf.minimum(bend, self.given_bend)
    return bend

  def checked(self, reach):
    """This, with a number for each event of a `Reach`, and no less."""
    numbers = [*self[1:5], self.given_bend, *(self.given_rest or [])]
    for values in numbers:
      if values is not None and not values.shape.is_compatible_with(
          reach.radius.shape
      ):
        raise AssertionError(
            f'Bounds of shape {values.shape} for events {reach.radius.shape}.'
        )
    return self
