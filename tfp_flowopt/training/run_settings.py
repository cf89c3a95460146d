"""What makes a run what it is, so that it is not continued as another."""

import collections
import dataclasses
import json

import numpy as np

from tfp_flowopt.data import examples

__all__ = ['OtherRunError', 'check_same_run', 'is_start', 'run_settings']

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
_VARIABLES = 'model.variables'
_IMAGES = ('train_images', 'held_out_images')


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
  different = _different(before, now)
  if different:
    raise OtherRunError(
        f'Argument `workdir`: {workdir} holds a run with other settings; use '
        'another directory, or these as they were:\n  '
        + '\n  '.join(
            f'{key}: was {before.get(key)}, is {now.get(key)}'
            for key in different
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
