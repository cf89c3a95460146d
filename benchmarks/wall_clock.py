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

import json
import os
import pathlib
import tempfile

from absl import app
from absl import flags
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
_WARMUP_STEPS, _NUM_HELD_OUT = 50, 1024


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
  output = pathlib.Path(_OUTPUT.value)
  report = {'cores': os.cpu_count(), 'seconds': _SECONDS.value, 'arms': {}}
  if output.exists():
    before = json.loads(output.read_text(encoding='utf-8'))
    if before['seconds'] != _SECONDS.value:
      raise app.UsageError(
          f'--output: {output} has arms of {before["seconds"]:g} seconds.'
      )
    report['arms'] = before['arms']
  with tempfile.TemporaryDirectory() as folder:
    images = str(pathlib.Path(folder) / 'images.npz')
    size, channels = _write_images(images)
    for item in _ARMS.value:
      name, rate = item.rsplit('=', 1)
      if name in report['arms']:
        continue
      arm = stability_arms.start(
          name,
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
      )
      answer = arm.ask('setup_seconds')
      setup = answer['value']
      answer = arm.ask(
          'run',
          learning_rate=float(rate),
          warmup_steps=_WARMUP_STEPS,
          seconds=_SECONDS.value - setup,
          eval_every=_EVAL_EVERY.value,
      )
      if answer['error']:
        raise RuntimeError(f'{name}: {answer["error"]}')
      report['arms'][name] = {
          'learning_rate': float(rate),
          'setup_seconds': setup,
          'parameters': arm.ask('num_parameters')['value'],
          'peak_mib': answer['peak_mib'],
          **answer['value'],
      }
      arm.close()
      output.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
      print(
          f'{name}: {answer["value"]["start"]:.3f} -> '
          f'{answer["value"]["end"]} bits/dim, '
          f'{answer["value"]["num_steps"]} steps',
          flush=True,
      )


if __name__ == '__main__':
  app.run(main)
