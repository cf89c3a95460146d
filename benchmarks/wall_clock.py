"""Held-out bits/dim against seconds of training, beside the peers.

One arm at a time has the whole machine for some minutes, at a learning rate of
its own: the best one of `stability.py` for flows of this size. What it does
before its first step, and what that compiles, counts; imports and evaluations
do not.

  python benchmarks/wall_clock.py --output=wall_clock.json
  python benchmarks/wall_clock.py --output=wall_clock_fashion.json \
      --fashion_mnist=FOLDER

Arms that the output holds already are not measured again.
"""

import pathlib
import tempfile

from absl import app
from absl import flags
import arm_runs
import machine
import numpy as np
import photograph_crops
import stability_arms

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string('output', 'wall_clock.json', 'JSON to write.')
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of normflows.'
)
_ARMS = flags.DEFINE_list(
    'arms',
    ['ours=3e-3', 'tfb.Glow=3e-3', 'normflows=1e-2', 'normflows exp=3e-3'],
    'Arms and their learning rates.',
)
_SECONDS = flags.DEFINE_float('seconds', 600.0, 'Of training, for each arm.')
_EVAL_EVERY = flags.DEFINE_float('eval_every', 30.0, 'Seconds.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 32, 'Side of the crops.')
_FASHION_MNIST = flags.DEFINE_string(
    'fashion_mnist', None, 'Folder of its idx files, in place of photographs.'
)
_NUM_LEVELS = flags.DEFINE_integer('num_levels', 3, 'Number of resolutions.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 4, 'Flow steps of a level.')
_NUM_HELD_OUT = 1024


def _write_images(path):
  """Writes images to train on and others; returns side and channels."""
  if not _FASHION_MNIST.value:
    photograph_crops.write_split_crops(
        path, _IMAGE_SIZE.value, 16384, _NUM_HELD_OUT
    )
    return _IMAGE_SIZE.value, 3
  folder = pathlib.Path(_FASHION_MNIST.value)
  arrays = {}
  for name, part in (('train', 'train'), ('held_out', 't10k')):
    (file,) = folder.glob(f'{part}-images*ubyte*')
    images = fo.training.ImageDataset(str(file), 28, channels=1)
    count = len(images) if name == 'train' else _NUM_HELD_OUT
    examples = images.examples(count, [0, 0]).batch(count)
    arrays[name] = examples.get_single_element().numpy()
  np.savez(path, **arrays)
  return 28, 1


def main(argv):
  """Measures and writes what is missing."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with tempfile.TemporaryDirectory() as folder:
    images = str(pathlib.Path(folder) / 'images.npz')
    size, channels = _write_images(images)
    arm_runs.add_runs(
        _OUTPUT.value,
        {'machine': machine.description(), 'seconds': _SECONDS.value},
        _ARMS.value,
        {
            'image_size': size,
            'channels': channels,
            'batch_size': stability_arms.BATCH_SIZE,
            'crops': images,
            'seed': 0,
        },
        _NUM_LEVELS.value,
        _NUM_STEPS.value,
        _PEERS.value,
        lambda setup: {
            'seconds': _SECONDS.value - setup,
            'eval_every': _EVAL_EVERY.value,
        },
    )


if __name__ == '__main__':
  app.run(main)
