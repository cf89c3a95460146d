"""Flags of train_image_flow.py, and the files they can be read from."""

import argparse
import math
import os
import pathlib

from absl import flags
import config_flags
import onednn  # noqa: F401
import programs

import tfp_flowopt as fo
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import checkpoints

__all__ = ['parse', 'save']

MODES = ('train', 'evaluate', 'sample', 'interpolate', 'export', 'report')
# Flags that say what to do with a run, and are no part of it.
_NOT_SAVED = (
    'workdir',
    'config',
    'mode',
    'checkpoint',
    'output',
    'num_images',
    'temperature',
    'eval_draws',
    'label',
    'profile',
    'strategy',
    'cpu_devices',
)

# Fields of `ImageFlowConfig` and of `TrainConfig` that are flags.
MODEL = (
    'num_levels',
    'num_steps',
    'hidden_channels',
    'gaussianize_marginals',
    'squeeze',
    'whitening',
    'memory',
)
TRAINING = (
    'train_steps',
    'batch_size',
    'accumulation',
    'learning_rate',
    'optimizer',
    'dequantization',
    'warmup_steps',
    'schedule',
    'clip_norm',
    'ema_decay',
    'eval_every',
    'eval_images',
    'checkpoint_every',
    'checkpoints_to_keep',
    'init_images',
    'bits',
    'jit_compile',
    'local_constants',
    'seed',
)

_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Directory of the run; created if missing.', required=True
)
flags.DEFINE_enum(
    'mode',
    'train',
    MODES,
    'train: start or resume training, then export; evaluate: bits/dim of all '
    'held-out images; sample, interpolate: pictures; export: a SavedModel; '
    'report: how far the flow is from the optimum. All but train need a run '
    'in --workdir, and use its settings.',
)
_CONFIG = flags.DEFINE_string(
    'config',
    None,
    'JSON file of flags and their values; the command line overrides it.',
)

# Data.
_DATA = flags.DEFINE_string(
    'data',
    None,
    'Images to train on: a folder (PNG, JPEG, ...), TFRecord files, a '
    '.npy or an idx file, or tfds:NAME or tfds:NAME:SPLIT of TensorFlow '
    'Datasets. Images must not be smaller than --image_size. By default, the '
    'photographs of scikit-learn.',
)
_HELD_OUT = flags.DEFINE_string(
    'held_out',
    None,
    'Held-out images; by default every tenth of --data.',
)
_LABELS = flags.DEFINE_string(
    'labels',
    None,
    "Classes to condition the flow on: 'folders', one for each subfolder of "
    "--data; 'tfds', those of the data set; or a .npy or idx file with one "
    'integer per image.',
)
_HELD_OUT_LABELS = flags.DEFINE_string(
    'held_out_labels', None, 'Labels of --held_out, if --labels is a file.'
)
programs.define_bad_images()
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size', 32, 'Side of the images, in pixels.', lower_bound=2
)
flags.DEFINE_enum(
    'crop',
    'random',
    ['random', 'center', 'tile'],
    'How to crop larger images of --data.',
)
flags.DEFINE_bool('flip', False, 'Whether to mirror half of the images.')
flags.DEFINE_enum('channels', '3', ['1', '3'], '3 for colour, 1 for grey.')

# Model.
flags.DEFINE_float(
    'lipschitz_budget',
    7.0,
    'Bound on the logarithm of the Lipschitz constants of the non-linear part '
    'and of its inverse; 0 for no budget.',
    lower_bound=0.0,
)
flags.DEFINE_enum(
    'compute_dtype',
    'float32',
    ['float32', 'bfloat16'],
    'Type in which the networks compute; bfloat16 is faster where the '
    'processor supports it.',
)
_model = config_flags.define(
    fo.bijectors.ImageFlowConfig, MODEL, num_steps=4, hidden_channels=64
)

# Training.
_training = config_flags.define(
    fo.training.TrainConfig, TRAINING, eval_images=None, init_images=None
)
flags.DEFINE_bool(
    'deterministic',
    True,
    'Whether a resumed run has the same bits as an uninterrupted one; slower '
    'on GPUs.',
)

# Devices.
_STRATEGY = flags.DEFINE_enum(
    'strategy',
    'default',
    ['default', 'mirrored', 'multi_worker'],
    'default: one device; mirrored: all GPUs of this machine; multi_worker: '
    'those of several, named in TF_CONFIG.',
)
_CPU_DEVICES = flags.DEFINE_integer(
    'cpu_devices',
    None,
    'Split the CPU into this many devices, for --strategy=mirrored without '
    'GPUs.',
    lower_bound=1,
)

# What to do with a run.
flags.DEFINE_enum(
    'checkpoint',
    'latest',
    ['latest', 'best'],
    'Checkpoint that modes other than train use.',
)
programs.check_folder(
    flags.DEFINE_string(
        'output', None, 'Path that modes other than train write to.'
    )
)
flags.DEFINE_integer(
    'num_images',
    None,
    'Number of images of --mode=sample (default 16) or --mode=evaluate '
    '(default: all that are held out, or 1024 if they are random crops).',
    lower_bound=1,
)
_TEMPERATURE = flags.DEFINE_float(
    'temperature', 1.0, 'For --mode=sample; below 1: quieter images.'
)
_LABEL = flags.DEFINE_integer(
    'label',
    None,
    'Class to draw with --mode=sample; by default all in turn.',
    lower_bound=0,
)
flags.DEFINE_integer(
    'eval_draws',
    1,
    'Draws of noise that --mode=evaluate averages over.',
    lower_bound=1,
)
flags.DEFINE_integer(
    'profile',
    0,
    'Number of steps to profile; the trace is for TensorBoard.',
    lower_bound=0,
)

config_flags.check(fo.bijectors.ImageFlowConfig, _model)
config_flags.check(fo.training.TrainConfig, _training)
flags.register_validator(
    _training['train_steps'],
    lambda value: value > 0,
    message='--train_steps must be positive',
)
flags.register_validator(
    _TEMPERATURE,
    lambda value: 0 <= value < math.inf,
    message='--temperature must be finite and not negative',
)
flags.register_validator(
    _WORKDIR,
    lambda value: value
    and not pathlib.Path(value).is_file()
    and not set(value) & set('*?['),
    message='--workdir must be the name of a directory, without * ? [',
)
for _flag in (_DATA, _HELD_OUT):
  flags.register_validator(
      _flag,
      lambda value: value is None
      or pathlib.Path(value).exists()
      or '*' in value
      or value.startswith('tfds:'),
      message=f'--{_flag.name} must be a file or folder that exists, or '
      'tfds:NAME',
  )
for _flag in (_LABELS, _HELD_OUT_LABELS):
  flags.register_validator(
      _flag,
      lambda value: value in (None, 'folders', 'tfds')
      or pathlib.Path(value).is_file(),
      message=f'--{_flag.name} must be a file that exists, folders or tfds',
  )
flags.register_validator(
    _STRATEGY,
    lambda value: value != 'multi_worker' or os.environ.get('TF_CONFIG'),
    message='--strategy=multi_worker needs the variable TF_CONFIG',
)
for _flag in (_DATA, _HELD_OUT):
  flags.register_multi_flags_validator(
      [_WORKDIR, _flag],
      lambda values, name=_flag.name: not _inside(
          values['workdir'], values[name]
      ),
      message=f'--workdir must not be inside --{_flag.name}: its pictures '
      'would become data',
  )
flags.register_multi_flags_validator(
    [_DATA, _HELD_OUT],
    lambda values: values['held_out'] is None or values['data'] is not None,
    message='--held_out needs --data',
)
flags.register_multi_flags_validator(
    [_DATA, _LABELS],
    lambda values: values['labels'] is None or values['data'] is not None,
    message='--labels needs --data',
)
flags.register_multi_flags_validator(
    [_HELD_OUT, _LABELS, _HELD_OUT_LABELS],
    lambda values: (values['held_out_labels'] is not None)
    == (
        values['held_out'] is not None
        and values['labels'] not in (None, 'folders', 'tfds')
    ),
    message='--held_out_labels belongs to --held_out and a file of --labels',
)
flags.register_multi_flags_validator(
    [_LABELS, _LABEL],
    lambda values: values['label'] is None or values['labels'] is not None,
    message='--label needs --labels',
)
flags.register_multi_flags_validator(
    [_IMAGE_SIZE, _model['num_levels']],
    lambda values: values['image_size'] % 2 ** values['num_levels'] == 0,
    message='--image_size must be divisible by 2**num_levels',
)
flags.register_multi_flags_validator(
    [_training['batch_size'], _training['accumulation']],
    lambda values: values['batch_size'] % values['accumulation'] == 0,
    message='--batch_size must be a multiple of --accumulation',
)
flags.register_multi_flags_validator(
    [_STRATEGY, _CPU_DEVICES],
    lambda values: values['cpu_devices'] is None
    or values['strategy'] == 'mirrored',
    message='--cpu_devices needs --strategy=mirrored',
)


def _inside(workdir, data):
  if data is None or not pathlib.Path(data).is_dir():
    return False
  workdir, data = pathlib.Path(workdir).resolve(), pathlib.Path(data).resolve()
  return data == workdir or data in workdir.parents


def parse(arguments):
  """Parses flags: those given, before --config, before those of the run.

  Args:
    arguments: Of the command line, the program first.

  Returns:
    What is left of them.

  Raises:
    flags.Error: If a value is bad, wherever it comes from.
  """
  first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  for name in ('workdir', 'config'):
    first.add_argument(f'--{name}', f'-{name}')
  given, _ = first.parse_known_args(arguments[1:])
  from_files = []
  if given.workdir:
    path = pathlib.Path(given.workdir) / 'config.json'
    if path.is_file():
      from_files += config_flags.arguments_in(path)
  if given.config:
    from_files += config_flags.arguments_in(pathlib.Path(given.config))
  return flags.FLAGS([arguments[0], *from_files, *arguments[1:]])


def save(workdir):
  """Writes the flags of the run to `config.json` in its directory."""
  module_flags = flags.FLAGS.flags_by_module_dict()[__name__]
  values = {
      flag.name: flag.value
      for flag in module_flags
      if flag.name not in _NOT_SAVED
  }
  workdir = pathlib.Path(workdir)
  with checkpoints.writing(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    atomic_files.write_json(workdir / 'config.json', values)
