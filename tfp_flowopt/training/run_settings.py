"""What makes a run what it is, so that it is not continued as another."""

import collections
import dataclasses
import hashlib
import json
import numbers

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.data import examples

__all__ = [
    'OtherRunError',
    'check_same_everywhere',
    'check_same_run',
    'is_start',
    'model_settings',
    'run_settings',
]

# What may differ when a run goes on: none of it changes how weights move, but
# for rounding errors (`model.memory`). Initial weights are in checkpoints.
_MAY_CHANGE = (
    'train_steps',
    'eval_every',
    'checkpoint_every',
    'checkpoints_to_keep',
    'max_rollbacks',
    'tensorboard',
    'local_constants',
    'model.memory',
    'model.seed',
)
# Settings that runs of older versions have not written down.
_NEW = ('model', 'base')
# What they were, of those that have had one value.
_EARLIER = {
    'optimizer': 'adam',
    'dequantization': 'uniform',
    'model.squeeze': 'blocks',
}
_VARIABLES = 'model.variables'
_IMAGES = ('train_images', 'held_out_images')
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
_PARTS = ('top_level', 'initialized', 'monitor', 'marginals', 'before_levels')


class OtherRunError(ValueError):
  """The working directory holds a run with other settings or images."""


def run_settings(
    config, description, train_images, held_out_images, model=None
):
  """All settings of a run, as JSON gives them back.

  `description` are further ones, `model` is of `model_settings`; both may be
  `None`.
  """
  settings = {
      **dataclasses.asdict(config),
      **_image_settings('train_images', train_images),
      **_image_settings('held_out_images', held_out_images),
      **(model or {}),
  }
  description = {} if description is None else description
  if not isinstance(description, collections.abc.Mapping):
    raise ValueError(
        'Argument `description` must be a dictionary, got '
        f'{type(description).__name__}.'
    )
  taken = sorted(set(settings) & set(description))
  if taken:
    raise ValueError(
        f'Argument `description`: {taken} are settings of the trainer.'
    )
  for key, value in description.items():
    try:
      _json({key: value})
    except (TypeError, ValueError) as e:
      raise ValueError(
          'Argument `description` must hold numbers and strings (JSON), got '
          f'{key!r}: {value!r} ({e}).'
      ) from e
  return json.loads(_json({**settings, **description}))


def _json(value):
  return json.dumps(value, sort_keys=True, default=_number)


def _number(value):
  """NumPy's numbers as Python's; JSON knows no other object."""
  if isinstance(value, np.generic):
    return value.item()
  raise TypeError(f'JSON has no {type(value).__name__}')


def _image_settings(name, images):
  settings = dict(examples.optional(images, 'settings'))
  classes = examples.optional(images, 'class_names')
  if classes is not None:
    settings['class_names'] = [str(class_) for class_ in classes]
  return {
      name: images.fingerprint,
      **{f'{name}.{key}': value for key, value in settings.items()},
  }


def is_start(value):
  """Whether `value` is what `start.json` holds, and whole."""
  return (
      isinstance(value, dict)
      and isinstance(value.get('settings'), dict)
      and {'predicted', 'measured'} <= value.keys()
  )


def check_same_run(before, now, workdir):
  """Raises an `OtherRunError` that names what is not as it was before."""
  before = {k: v for k, v in _EARLIER.items() if k in now} | before
  different = _different(before, now)
  if different:
    raise OtherRunError(
        f'Argument `workdir`: {workdir} holds a run with other settings; use '
        'another directory, or these as they were:\n  '
        + '\n  '.join(
            f'{key}: was {before.get(key)}, is {now.get(key)}'
            for key in different
        )
        + (
            "\nOnly schedule='constant' can go on after `train_steps`: of a "
            'cosine the learning rate is 0 there.'
            if different == ['train_steps']
            else ''
        )
    )


# What workers may have of their own: weights are those of the chief.
_OF_ONE_WORKER = ('model.memory', 'model.seed')


def check_same_everywhere(settings, replicas):
  """Raises a `ValueError`, in all processes, unless all have the same settings.

  Or each would train on data, or by rates, of its own.
  """
  if replicas.num_processes == 1:
    return
  own = np.frombuffer(_json(settings).encode(), np.uint8)
  (size,) = replicas.broadcast([own.size])
  padded = np.zeros(int(size))
  padded[: own.size] = own[: int(size)]
  text = replicas.broadcast(padded).astype(np.uint8).tobytes().decode()
  chief = json.loads(text)
  different = sorted(
      key
      for key in chief.keys() | settings.keys()
      if key not in _OF_ONE_WORKER
      and not _same(chief.get(key), settings.get(key))
  )
  (number,) = replicas.host_sum([bool(different)])
  if number:
    raise ValueError(
        'Arguments of a `Trainer` must be the same in all workers, '
        + (
            'and the chief has others:\n  '
            + '\n  '.join(
                f'{key}: has {chief.get(key)}, is {settings.get(key)}'
                for key in different
            )
            if different
            else f'and {number:.0f} of them have others, which they name.'
        )
    )


def _different(before, now):
  """Names of the settings that differ and must not, sorted."""
  may_change = set(_MAY_CHANGE)
  if now.get('schedule') == 'cosine':
    may_change.remove('train_steps')  # the cosine ends there

  def differs(key):
    return not _same(before.get(key), now.get(key))

  def matters(key):
    of, _, what = key.partition('.')
    if (of in _NEW and what) or what == 'class_names':
      # Arguments come and go with versions; what others mean stays.
      return key in before and key in now
    if of in _IMAGES and what:
      # How images are made explains why they are others, and no more.
      return differs(of)
    # A run may have described by hand what its model says itself now.
    model = f'model.{key}'
    described = key not in now and model in now
    return not (described and _same(before[key], now[model]))

  keys = (before.keys() | now.keys()) - may_change
  different = {key for key in keys if differs(key) and matters(key)}
  # What a model is made with explains its variables.
  if any(key.startswith('model.') for key in different - {_VARIABLES}):
    different.discard(_VARIABLES)
  return sorted(different)


def _same(a, b):
  # NaN is not equal to itself, but its text is.
  return a == b or _json(a) == _json(b)


def model_settings(distribution):
  """The constructor arguments of a distribution, as flat settings.

  `model.class`, that of the bijector, and its arguments as `model.num_levels`
  and so on, those of a bijector inside of it as `model.bijectors.0.shift`; the
  same of the base distribution, as `base`; and `model.variables`, how many
  there are of each type and shape. Large constants are there by a hash,
  functions by their names, weights by type and shape. Of a distribution that is
  not transformed, `model` is the distribution.
  """
  settings, parts = {}, {'model': distribution}
  # TFP makes instances of a private base class of `TransformedDistribution`.
  if getattr(distribution, 'bijector', None) is not None:
    parts = {'model': distribution.bijector, 'base': distribution.distribution}
  for name, part in parts.items():
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
  # What a bijector or distribution was made with.
  parameters = getattr(value, 'parameters', None)
  if not isinstance(value, tf.Module) or not isinstance(
      parameters, collections.abc.Mapping
  ):
    return {}
  parts = _PARTS if isinstance(value, bijectors.ImageFlow) else ()
  return {
      k: v for k, v in parameters.items() if k not in (*_NO_SETTINGS, *parts)
  }


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
