"""Regions of events, within which constants are asked for."""

from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import types

__all__ = ['Ball', 'Box', 'as_ball']


class Ball(NamedTuple):
  """All events within a Euclidean distance of others.

  Attributes:
    center: Events, `[..., event]`.
    radius: Not negative: a number, or `[...]`, one for each event.
  """

  center: types.TensorLike
  radius: types.TensorLike


class Box(NamedTuple):
  """All events between two others, number by number.

  Attributes:
    low: `[..., event]`.
    high: Like `low`, and nowhere below it.
  """

  low: types.TensorLike
  high: types.TensorLike


def as_ball(region, event_ndims, dtype):
  """A `Ball` with a radius `[...]` that holds a region.

  Args:
    region: `Ball` or `Box`. Of a box it is the ball through its corners.
    event_ndims: Number of dimensions of an event. `None` of what acts on each
      number: there an event is what has a radius of its own, for a single
      radius each number.
    dtype: Type of the events, or `None` for theirs.

  Raises:
    ValueError: If it is neither, or numbers or shapes do not fit.
    InvalidArgumentError: If a radius or a side is negative or not finite, as it
      runs.
  """
  arguments.check_instance('region', region, (Ball, Box), 'a Ball or a Box')
  if isinstance(region, Box):
    return _around(*region, event_ndims or 0, dtype)
  center = floats.as_floats(region.center, dtype, 'region')
  radius = arguments.check_real('radius', region.radius, center.dtype)
  batch_ndims = center.shape.rank
  if batch_ndims is None:
    raise ValueError('Argument `region` must be of events of a known rank.')
  if event_ndims is not None:
    batch_ndims = max(batch_ndims - event_ndims, 0)
  elif radius.shape.rank:
    batch_ndims = radius.shape.rank
  batch_shape = center.shape[:batch_ndims]
  if radius.shape.rank and not radius.shape.is_compatible_with(batch_shape):
    raise ValueError(
        'Argument `radius` must be a number, or one for each event, got shape '
        f'{radius.shape} for events of shape {center.shape}, a batch of '
        f'{batch_shape}.'
    )
  radius = arguments.not_negative('radius', radius)
  radius = tf.broadcast_to(radius, tf.shape(center)[:batch_ndims])
  return Ball(center, tf.ensure_shape(radius, batch_shape))


def _around(low, high, event_ndims, dtype):
  """The ball through the corners of a box."""
  low, high = (floats.as_floats(side, dtype, 'region') for side in (low, high))
  try:
    tf.broadcast_static_shape(low.shape, high.shape)
  except ValueError as e:
    raise ValueError(
        'Argument `region`: a Box must have two sides of one shape, got '
        f'{low.shape} and {high.shape}.'
    ) from e
  half = 0.5 * (high - low)
  rank = half.shape.rank
  if rank is not None and rank < event_ndims:
    raise ValueError(
        f'Argument `region`: a Box must hold events of {event_ndims} '
        f'dimensions or more, got sides of shape {half.shape}.'
    )
  axes = list(range(-event_ndims, 0))
  # A side that is the wrong way round makes the radius wrong.
  wrong = tf.reduce_any(~(half >= 0), axis=axes)
  radius = tf.sqrt(tf.reduce_sum(half**2, axes))
  radius = tf.where(wrong, tf.constant(-1.0, radius.dtype), radius)
  return Ball(low + half, arguments.not_negative('region', radius))
