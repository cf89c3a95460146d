"""What an image flow is conditioned on."""

import tensorflow as tf

from tfp_flowopt.internal import conditions

__all__ = ['Conditioning', 'of_each_event', 'of_some_events', 'rows']


class Conditioning(conditions.Condition):
  """Class labels, vectors or feature maps, as the networks of a flow see them.

  All become maps `[..., h, w, F]` that can be added to hidden layers: labels
  one-hot and vectors `[..., 1, 1, F]`, feature maps as they are.
  """

  def __init__(self, spec, event_shape):
    """Takes the `conditioning` of `ImageFlowConfig`, or is a `ValueError`."""
    self._sides = tuple(event_shape[:2])
    height, width = self._sides
    self._wanted = (
        'a number of classes, or a shape [F] or '
        f'[{height}, {width}, F] of features'
    )
    super().__init__(spec)

  def _accepts(self, shape):
    return len(shape) == 1 or (
        len(shape) == 3 and tuple(shape[:-1]) == self._sides
    )

  def __call__(self, value, dtype, batch_shape=None):
    """Maps `[..., h, w, F]` of labels, vectors or feature maps.

    Their batch must broadcast to `batch_shape`, if it is given. Errors are
    those of `features`.
    """
    maps = self.features(value, dtype, conditions.WITH_DISTRIBUTION)
    if len(self.shape) == 1:
      maps = maps[..., tf.newaxis, tf.newaxis, :]
    if batch_shape is not None:
      self.check_batch(maps.shape[:-3], batch_shape)
    return maps


def of_each_event(bijector, kwargs, num_events):
  """Keyword arguments with conditioning for each event of a batch.

  Whatever `log_prob` broadcasts, one for all events or one for each, has an
  axis of `num_events` then, and can be divided as they are. For a `tfb.Chain`,
  `kwargs` are a dictionary of dictionaries.
  """
  parts = getattr(bijector, 'bijectors', None)  # of a chain, ...
  if parts is not None:
    named = {part.name: part for part in tf.nest.flatten(parts)}
    return {
        name: of_each_event(named[name], value, num_events)
        if name in named
        else value
        for name, value in (kwargs or {}).items()
    }
  inner = getattr(bijector, 'bijector', None)  # ... or inverted
  if inner is not None:
    return of_each_event(inner, kwargs, num_events)
  result = dict(kwargs or {})
  if result.get('conditioning') is not None:
    ndims = getattr(bijector, '_conditioning_ndims', None)
    result['conditioning'] = rows(result['conditioning'], ndims, num_events)
  return result


def rows(value, event_ndims, num_events):
  """One row of conditioning for each event: `[N] + shape of a single one`.

  `event_ndims` are the dimensions of a single one; with `None` the first
  dimension counts events if it fits. A `ValueError` unless there are one or
  `num_events` of them.
  """
  value = tf.convert_to_tensor(value, name='conditioning')
  shape = value.shape
  if shape.rank is None:
    raise ValueError('Argument `conditioning` must have a known rank.')
  if event_ndims is None:
    fits = shape.rank and shape[0] in (None, 1, tf.get_static_value(num_events))
    event_ndims = shape.rank - 1 if fits else shape.rank
  missing = event_ndims - shape.rank
  if missing > 0:  # the first dimensions of a single one broadcast, too
    value = tf.reshape(value, tf.concat([[1] * missing, tf.shape(value)], 0))
  batch = value.shape[: value.shape.rank - event_ndims]
  wanted = tf.TensorShape([tf.get_static_value(num_events)])
  if batch.rank > 1 or not (
      batch.num_elements() == 1 or batch.is_compatible_with(wanted)
  ):
    raise ValueError(
        'Argument `conditioning` must be one for each event or for all, got '
        f'{batch} of them for {wanted} events.'
    )
  single = tf.shape(value)[batch.rank :]
  value = tf.broadcast_to(value, tf.concat([[num_events], single], 0))
  return tf.ensure_shape(value, wanted.concatenate(value.shape[1:]))


def of_some_events(kwargs, index):
  """Arguments of `of_each_event` for some of the events.

  `index` is integers `[M]`, or a `slice`. What is no conditioning is for all.
  """
  result = {}
  for key, value in kwargs.items():
    if isinstance(value, dict):
      value = of_some_events(value, index)
    elif key == 'conditioning' and value is not None:
      value = (
          value[index] if isinstance(index, slice) else tf.gather(value, index)
      )
    result[key] = value
  return result
