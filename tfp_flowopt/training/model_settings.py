"""What a model is made of, so that a run is not continued with another."""

import collections
import hashlib
import numbers

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors

__all__ = ['model_settings']

# Arguments that change no number: names, checks, and how they are passed on.
_NO_SETTINGS = (
    'allow_nan_stats',
    'kwargs_split_fn',
    'name',
    'parameters',
    'validate_args',
    'validate_event_size',
)
# Numbers of a constant that are shown; larger ones are there by a hash.
_SHOWN = 16
# Parts that an `ImageFlow` makes of its other arguments.
_PARTS = ('top_level', 'initialized', 'monitor', 'marginals')


def model_settings(distribution):
  """The constructor arguments of a flow and of its base, as flat settings.

  `model.class`, that of the bijector, and its arguments as `model.num_levels`
  and so on, those of a bijector inside of it as `model.bijectors.0.shift`; the
  same of the base distribution, as `base`; and `model.variables`, how many
  there are of each type and shape. Large constants are there by a hash,
  functions by their names, weights by type and shape.
  """
  settings = {}
  for name, part in (
      ('model', distribution.bijector),
      ('base', distribution.distribution),
  ):
    _describe(name, part, settings)
    settings[f'{name}.class'] = settings.pop(name)
  kinds = collections.Counter(map(_kind, distribution.variables))
  settings['model.variables'] = dict(sorted(kinds.items()))
  return settings


def _describe(name, value, settings):
  """Adds what a value is, and under longer names what is inside of it."""
  settings[name] = _summary(value)
  for key, part in _inside(value).items():
    longer = f'{name}.{key}'
    _describe(longer, part, settings)
    if isinstance(value, (list, tuple)):
      del settings[longer]  # what the parts are is in the list


def _inside(value):
  """The parts of a value that say more than its summary, by their names."""
  if isinstance(value, dict):
    return value
  if isinstance(value, (list, tuple)):
    return {i: part for i, part in enumerate(value) if not _is_plain(part)}
  return _arguments(value)


def _arguments(value):
  """What a bijector or distribution was made with; nothing of other objects."""
  arguments = getattr(value, 'parameters', None)
  if not isinstance(value, tf.Module) or not isinstance(
      arguments, collections.abc.Mapping
  ):
    return {}
  left_out = set(_NO_SETTINGS)
  if isinstance(value, bijectors.ImageFlow):
    left_out.update(_PARTS)
  return {k: v for k, v in arguments.items() if k not in left_out}


def _is_plain(value):
  return value is None or isinstance(value, (bool, str, numbers.Real))


def _summary(value):
  """A value that JSON holds, the same in each process."""
  if isinstance(value, np.generic):
    value = value.item()
  if _is_plain(value):
    return value
  if isinstance(value, (list, tuple)):
    return [_summary(part) for part in value]
  if isinstance(value, dict):
    return sorted(map(str, value))
  if isinstance(value, tf.TensorShape):
    return None if value.rank is None else value.as_list()
  if isinstance(value, (tf.DType, np.dtype)):
    return value.name
  if isinstance(value, tf.Variable):
    return _kind(value)
  if isinstance(value, np.ndarray) or (
      tf.is_tensor(value) and not isinstance(value, tf.Module)
  ):
    array = np.asarray(value)
    if array.size <= _SHOWN and array.dtype.kind in 'biuf':
      return array.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16]
    return f'{_kind(array)} {digest}'
  if callable(value) and hasattr(value, '__name__'):
    return value.__name__
  return type(value).__name__


def _kind(array):
  """Type and shape, of a `Tensor`, variable or array."""
  return f'{tf.as_dtype(array.dtype).name} {list(array.shape)}'
