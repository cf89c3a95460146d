"""What makes a run what it is, so that it is not continued as another."""

import dataclasses
import json

__all__ = ['OtherRunError', 'check_same_run', 'run_settings']

# What may differ when a run goes on: none of it changes how weights move.
_MAY_CHANGE = (
    'train_steps',
    'eval_every',
    'checkpoint_every',
    'checkpoints_to_keep',
    'max_rollbacks',
    'tensorboard',
    'local_constants',
)


class OtherRunError(ValueError):
  """The working directory holds a run with other settings or images."""


def run_settings(config, description, train_images, held_out_images):
  """All settings of a run, as JSON gives them back.

  Args:
    config: `TrainConfig`.
    description: Dictionary of further settings, or `None`.
    train_images: Images with a `fingerprint`, and, to name what differs,
      `settings`, a dictionary, if they have any.
    held_out_images: The same.

  Returns:
    Dictionary.

  Raises:
    ValueError: If `description` repeats a setting or is not JSON.
  """
  settings = {
      **dataclasses.asdict(config),
      **_image_settings('train_images', train_images),
      **_image_settings('held_out_images', held_out_images),
  }
  description = description or {}
  taken = sorted(set(settings) & set(description))
  if taken:
    raise ValueError(
        f'Argument `description`: {taken} are settings of the trainer.'
    )
  try:
    return json.loads(json.dumps({**settings, **description}))
  except TypeError as e:
    raise ValueError(
        'Argument `description` must hold numbers and strings (JSON), got '
        f'{description}.'
    ) from e


def _image_settings(name, images):
  settings = getattr(images, 'settings', {})
  return {
      name: images.fingerprint,
      **{f'{name}.{key}': value for key, value in settings.items()},
  }


def check_same_run(before, now, workdir):
  """Refuses to go on with a run that was something else.

  Args:
    before: Settings that the run was started with.
    now: Settings given now.
    workdir: For the message.

  Raises:
    OtherRunError: If they differ; the message names each difference.
  """
  may_change = set(_MAY_CHANGE)
  if now.get('schedule') == 'cosine':
    may_change.remove('train_steps')  # the cosine ends there

  def differs(key):
    return before.get(key) != now.get(key)

  different = [
      f'{key}: was {before.get(key)}, is {now.get(key)}'
      for key in sorted(set(before) | set(now))
      if differs(key)
      and key not in may_change
      # How images are made explains why they are others, and no more.
      and differs(key.partition('.')[0])
  ]
  if different:
    raise OtherRunError(
        f'Argument `workdir`: {workdir} holds a run with other settings; use '
        'another directory, or these as they were:\n  '
        + '\n  '.join(different)
    )
