"""Trains an image flow from the closed-form optimum on, and exports it.

Without `--data_dir` it trains on random crops of the two photographs that
scikit-learn ships. A run that was stopped, however, goes on where it was when
it is started again with the same flags.

  python examples/train_image_flow.py --workdir=/tmp/flow
"""

import math
import pathlib

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

import tfp_flowopt as fo

_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Directory of the run; made if missing.', required=True
)
_DATA_DIR = flags.DEFINE_string(
    'data_dir',
    None,
    'Folder of images (PNG, JPEG, BMP, GIF), of any sizes not below '
    '--image_size; by default the photographs of scikit-learn.',
)
_BAD_IMAGES = flags.DEFINE_enum(
    'bad_images',
    'strict',
    ['strict', 'skip'],
    'What to do with a file in --data_dir that is no image, or too small: name '
    'it and stop, or count it and go on.',
)
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size', 32, 'Side of the crops, in pixels.', lower_bound=2
)
_NUM_LEVELS = flags.DEFINE_integer(
    'num_levels', 3, 'Number of resolutions.', lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 4, 'Number of flow steps at each resolution.', lower_bound=1
)
_HIDDEN_CHANNELS = flags.DEFINE_integer(
    'hidden_channels', 64, 'Width of the networks, even.', lower_bound=2
)
_LIPSCHITZ_BUDGET = flags.DEFINE_float(
    'lipschitz_budget',
    7.0,
    'Bound of the logarithm of the Lipschitz constants of the non-linear part '
    'and of its inverse; 0 for no budget.',
    lower_bound=0.0,
)
_MEMORY = flags.DEFINE_enum(
    'memory',
    'reversible',
    ['reversible', 'stored'],
    'Whether gradients recompute the inputs of flow steps, in memory that does '
    'not grow with --num_steps, or keep them, which is faster.',
)
_COMPUTE_DTYPE = flags.DEFINE_enum(
    'compute_dtype',
    'float32',
    ['float32', 'bfloat16'],
    'Type of what the networks compute; bfloat16 is faster where the processor '
    'has it.',
)
_JIT_COMPILE = flags.DEFINE_bool(
    'jit_compile',
    False,
    'Whether XLA compiles the training step; it starts later.',
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 32, 'Images in a step.', lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    'learning_rate', 3e-3, "Adam's learning rate after the warm-up."
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 2000, 'Number of optimiser steps.', lower_bound=1
)
_EVAL_EVERY = flags.DEFINE_integer(
    'eval_every', 250, 'Steps between evaluations.', lower_bound=1
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
    'checkpoint_every', 250, 'Steps between checkpoints.', lower_bound=1
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Of weights, order of images and noise.', lower_bound=0
)

flags.register_validator(
    _WORKDIR,
    lambda value: value and not pathlib.Path(value).is_file(),
    message='--workdir must be the name of a directory',
)
flags.register_validator(
    _LEARNING_RATE,
    lambda value: 0 < value < float('inf'),
    message='--learning_rate must be a positive number',
)
flags.register_validator(
    _HIDDEN_CHANNELS,
    lambda value: value % 2 == 0,
    message='--hidden_channels must be even',
)
flags.register_validator(
    _DATA_DIR,
    lambda value: value is None or pathlib.Path(value).is_dir(),
    message='--data_dir must be a folder that exists',
)
flags.register_multi_flags_validator(
    [_WORKDIR, _DATA_DIR],
    lambda values: values['data_dir'] is None
    or pathlib.Path(values['data_dir']).resolve()
    not in [
        pathlib.Path(values['workdir']).resolve(),
        *pathlib.Path(values['workdir']).resolve().parents,
    ],
    message='--workdir must not be inside --data_dir: its pictures would '
    'become data',
)
flags.register_multi_flags_validator(
    [_IMAGE_SIZE, _NUM_LEVELS],
    lambda values: values['image_size'] % 2 ** values['num_levels'] == 0,
    message='--image_size must be divisible by 2**num_levels',
)


def _load_photographs():
  """The two photographs of scikit-learn (the `[examples]` extra)."""
  try:
    from sklearn import datasets
  except ImportError as e:
    raise SystemExit(
        'The default photographs need scikit-learn and Pillow: '
        "pip install 'tfp-flowopt[examples]', or give --data_dir."
    ) from e
  return datasets.load_sample_images().images


def _load_folder():
  """The images of --data_dir."""
  try:
    images, bad = fo.training.load_images(
        _DATA_DIR.value,
        smallest_side=_IMAGE_SIZE.value,
        skip_bad=_BAD_IMAGES.value == 'skip',
    )
  except ValueError as e:
    raise SystemExit(f'{e}\n(--bad_images=skip passes over bad files)') from e
  print(f'{len(images)} images in {_DATA_DIR.value}')
  if bad:
    print(f'{len(bad)} bad files skipped:', *bad, sep='\n  ')
  return images


def _split(images):
  """Images to train on and held out; says which."""
  size = _IMAGE_SIZE.value
  if len(images) >= 10:
    print('Every tenth image is held out.')
    held_out = images[9::10]
    return [x for i, x in enumerate(images) if i % 10 != 9], held_out
  if min(x.shape[1] for x in images) // 4 >= size:
    print('The right-hand quarter of each image is held out.')
    return fo.training.split_columns(images)
  if len(images) > 1 and _DATA_DIR.value:
    print('The last image is held out.')
    return images[:-1], images[-1:]
  raise SystemExit(
      f'--image_size={size} leaves nothing to hold out: give images at least '
      f'{4 * size} pixels wide, or more than one image in --data_dir.'
  )


def _print_results(summary, workdir, model_path):
  """The numbers and the paths, as a table."""
  print(
      f'\nAfter {summary["steps"]} steps: held-out images '
      f'{summary["held_out_bits_per_dim"]:.3f} bits/dim\n'
      f'At step 0: predicted {summary["predicted"]:.3f}, measured '
      f'{summary["measured"]:.3f} (training images)\n'
  )
  print((workdir / 'report.txt').read_text(encoding='utf-8'), end='')
  if summary['skipped_steps']:
    print(f'Skipped steps (not finite): {summary["skipped_steps"]}')
  print()
  for name, path in (
      ('curve', workdir / 'curve.png'),
      ('samples', workdir / 'samples.png'),
      ('log', workdir / 'training_log.csv'),
      ('report', workdir / 'report.txt'),
      ('SavedModel', pathlib.Path(model_path)),
  ):
    if path.exists():
      print(f'  {name:<11}{path}')


def _print_constants(flow):
  """The certified constants of the trained flow, as logarithms."""
  linear, nonlinear = flow.bounds_by_part()
  print('\nCertified Lipschitz constants, logarithms:')
  for name, bounds in (
      ('non-linear part', nonlinear),
      ('linear part', linear),
      ('whole flow', fo.lipschitz.lipschitz_bounds(flow)),
  ):
    print(
        f'  {name:<16} to images {math.log(bounds.forward):6.2f}, '
        f'to latents {math.log(bounds.inverse):6.2f}'
    )


def main(argv):
  """Trains, evaluates and exports."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  logging.set_verbosity(logging.WARNING)  # TensorFlow's notes on saving
  # Bit for bit the same numbers at every run, also after a crash.
  tf.config.experimental.enable_op_determinism()
  images = _load_folder() if _DATA_DIR.value else _load_photographs()
  train_images, held_out_images = (
      fo.training.ImageCrops(part, _IMAGE_SIZE.value) for part in _split(images)
  )
  config = fo.training.TrainConfig(
      train_steps=_TRAIN_STEPS.value,
      batch_size=_BATCH_SIZE.value,
      learning_rate=_LEARNING_RATE.value,
      eval_every=_EVAL_EVERY.value,
      checkpoint_every=_CHECKPOINT_EVERY.value,
      jit_compile=_JIT_COMPILE.value,
      seed=_SEED.value,
  )
  model = {
      'num_levels': _NUM_LEVELS.value,
      'num_steps': _NUM_STEPS.value,
      'hidden_channels': _HIDDEN_CHANNELS.value,
      'lipschitz_budget': _LIPSCHITZ_BUDGET.value or None,
      'compute_dtype': _COMPUTE_DTYPE.value,
  }
  workdir = pathlib.Path(_WORKDIR.value)
  distribution = fo.image_flow(
      train_images.event_shape,
      seed=_SEED.value,
      memory=_MEMORY.value,
      **model,
  )
  try:
    trainer = fo.training.Trainer(
        distribution, train_images, held_out_images, workdir, config, model
    )
  except fo.training.OtherRunError as e:
    raise SystemExit(str(e)) from e
  if trainer.step:
    print(f'Resumed at step {trainer.step}.')
  else:
    print(
        'Initialised at the optimum: predicted '
        f'{trainer.start["predicted"]:.3f} bits/dim, measured '
        f'{trainer.start["measured"]:.3f}.'
    )
  try:
    summary = trainer.train()
  except fo.training.TrainingInterrupted as e:
    print(e)
    return
  trainer.use_averaged_weights()
  model_path = workdir / 'saved_model' / str(summary['steps'])
  if not model_path.exists():
    model_path.parent.mkdir(exist_ok=True)
    fo.export.save(distribution, model_path, bits=config.bits)
  _print_results(summary, workdir, model_path)
  _print_constants(distribution.bijector)


if __name__ == '__main__':
  app.run(main)
