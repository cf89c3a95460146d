"""The images that train_image_flow.py trains on and holds out."""

import atexit
import contextlib
import functools
import pathlib
import shutil
import tempfile

from absl import flags
import onednn  # noqa: F401
import photographs
import programs

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import mean_error
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import checkpoints

__all__ = ['keep_scans', 'load']

FLAGS = flags.FLAGS
# Beside a run: what was found by decoding all images.
_SCANS = {'data': 'scan.json', 'held_out': 'scan_held_out.json'}
# Fewer images than these are not held out, but parts of them.
_FEW = 10


def load(say):
  """The images that the flags name.

  Args:
    say: Function that prints a line.

  Returns:
    Images to train on and held out, with `event_shape` and so on.

  Raises:
    SystemExit: If there are none, or a bad one; the message says which.
  """
  try:
    if FLAGS.data is None:
      return _crops(photographs.load_photographs(), say)
    train = _dataset('data', FLAGS.flip, FLAGS.labels)
    _tell_bad(train, FLAGS.data, say)
    if FLAGS.held_out is not None:
      held_out = _dataset(
          'held_out',
          False,
          FLAGS.held_out_labels or FLAGS.labels,
          # A class may be missing there, and the others keep their numbers.
          train.class_names,
      )
      _tell_bad(held_out, FLAGS.held_out, say)
      _warn_of_few(held_out.num_independent, say)
      return train, held_out
    few = len(train) < _FEW and pathlib.Path(FLAGS.data).is_dir()
    if few and FLAGS.labels is None:
      images, _ = fo.training.load_images(
          FLAGS.data, FLAGS.image_size, skip_bad=FLAGS.bad_images == 'skip'
      )
      return _crops(images, say)
    if len(train) < _FEW:
      raise SystemExit(
          f'--data={FLAGS.data} has {len(train)} images, too few to hold out '
          'every tenth: give others as --held_out.'
      )
    # The files are known by now. What is held out is not mirrored.
    _, held_out = _dataset('data', False, FLAGS.labels).split()
    items = 'squares' if FLAGS.crop == 'tile' else 'images'
    say(f'{len(held_out)} of {len(train)} {items} are held out, every tenth.')
    _warn_of_few(held_out.num_independent, say)
    return train.split()[0], held_out
  except ImportError as e:  # of tfds:NAME
    raise SystemExit(str(e)) from e
  except ValueError as e:
    raise SystemExit(programs.explained(e)) from e


def _warn_of_few(number, say):
  """Says so if held-out numbers will say little."""
  if number < mean_error.FEW_IMAGES:
    say(
        f'Held out: only {number} independent image{"s" * (number > 1)}; '
        'others may give very different numbers. Give '
        f'{mean_error.FEW_IMAGES} or more, with --held_out or more images in '
        '--data.'
    )


@functools.cache
def _scans(workdir):
  """Folder of the scans of this process, those of the run to begin with.

  Not the directory of the run: modes that look at one do not write there, and
  none is made before the data are known to be good.
  """
  folder = pathlib.Path(tempfile.mkdtemp(prefix='tfp_flowopt_'))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  for name in _SCANS.values():
    with contextlib.suppress(OSError):
      shutil.copy(pathlib.Path(workdir) / name, folder)
  return folder


def keep_scans(workdir):
  """Keeps what is known of the images, so that none is decoded again."""
  for path in _scans(FLAGS.workdir).iterdir():
    kept = workdir / path.name
    if not kept.exists() or kept.read_bytes() != path.read_bytes():
      with (
          checkpoints.writing(workdir),
          atomic_files.atomic_path(kept) as temporary,
      ):
        shutil.copy(path, temporary)


def _dataset(flag, flip, labels, class_names=None):
  """The images that a flag names."""
  return fo.training.ImageDataset(
      FLAGS[flag].value,
      FLAGS.image_size,
      crop=FLAGS.crop,
      flip=flip,
      channels=int(FLAGS.channels),
      bad_images=FLAGS.bad_images,
      cache=_scans(FLAGS.workdir) / _SCANS[flag],
      labels=labels,
      class_names=class_names,
  )


def _tell_bad(dataset, path, say):
  classes = dataset.class_names
  say(
      f'{len(dataset)} images in {path}'
      + (f', {len(classes)} classes' if classes else '')
  )
  if dataset.bad:
    say('\n  '.join([f'{len(dataset.bad)} bad images skipped:', *dataset.bad]))


def _crops(images, say):
  """Random crops of few images."""
  size = FLAGS.image_size
  if FLAGS.flip or FLAGS.crop != 'random' or FLAGS.channels != '3':
    raise SystemExit(
        f'--flip, --crop and --channels need {_FEW} images or more in --data.'
    )
  if min(x.shape[1] for x in images) // 4 >= size:
    say('The right-hand quarter of each image is held out.')
    parts = fo.training.split_columns(images)
  elif len(images) > 1 and FLAGS.data:
    say('The last image is held out; held-out numbers are only about it.')
    parts = images[:-1], images[-1:]
  else:
    raise SystemExit(
        f'--image_size={size} leaves nothing to hold out: give images at least '
        f'{4 * size} pixels wide, or more than one image in --data.'
    )
  train, held_out = (fo.training.ImageCrops(part, size) for part in parts)
  _warn_of_few(held_out.num_independent, say)
  return train, held_out
