"""Flows of large photographs, beside the best linear flow and the peers.

Crops of the photographs of a folder; the last ones of the folder are held out.
The best circulant linear flow, in closed form, is fitted to the same crops as
the flows are trained on. The peers try each size as long as they run.

  python benchmarks/high_resolution.py --photos=FOLDER --image_size=256 \
      --output=high_resolution_256.json
  python benchmarks/high_resolution.py --photos=FOLDER --image_size=1024 \
      --num_levels=6 --num_steps=8 --batch_size=1 --num_crops=48 \
      --num_held_out=8 --arms=ours=3e-4 --output=high_resolution_1024.json

Runs that the output holds already are not made again.
"""

import pathlib
import tempfile

from absl import app
from absl import flags
import arm_runs
import machine
import numpy as np
import photograph_crops
import short_run

import tfp_flowopt as fo

_PHOTOS = flags.DEFINE_string('photos', None, 'Folder of photographs.')
_OUTPUT = flags.DEFINE_string('output', None, 'JSON to write.')
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of normflows.'
)
_ARMS = flags.DEFINE_list(
    'arms',
    [
        f'{name}={rate}'
        for rate in ('3e-4', '1e-3', '3e-3')
        for name in ('ours', 'tfb.Glow', 'normflows exp')
    ],
    'Arms and their learning rates.',
)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 256, 'Side of the crops.')
_NUM_LEVELS = flags.DEFINE_integer('num_levels', 5, 'Number of resolutions.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 4, 'Flow steps at each.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 4, 'Crops in a step.')
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 100, 'Training steps.')
_EVAL_EVERY = flags.DEFINE_integer('eval_every', 25, 'Steps.')
_NUM_CROPS = flags.DEFINE_integer('num_crops', 256, 'Crops to train on.')
_NUM_HELD_OUT = flags.DEFINE_integer('num_held_out', 32, 'Crops held out.')
_HELD_OUT_PHOTOS = flags.DEFINE_integer(
    'held_out_photos', 3, 'Photographs held out.'
)

flags.mark_flags_as_required(['photos', 'output'])


def _write_crops(path):
  """Writes crops to train on, and of other photographs."""
  photographs, _ = fo.training.load_images(_PHOTOS.value, skip_bad=True)
  photographs = [
      p for p in photographs if min(p.shape[:2]) >= _IMAGE_SIZE.value
  ]
  if len(photographs) <= _HELD_OUT_PHOTOS.value:
    raise app.UsageError(
        f'--photos: {len(photographs)} photographs are large enough; '
        f'--held_out_photos={_HELD_OUT_PHOTOS.value} are to be held out.'
    )
  rng, split = np.random.default_rng(0), -_HELD_OUT_PHOTOS.value

  def crops(photographs, count):
    return photograph_crops.random_crops(
        photographs, _IMAGE_SIZE.value, count, rng
    )

  np.savez(
      path,
      train=crops(photographs[:split], _NUM_CROPS.value),
      held_out=crops(photographs[split:], _NUM_HELD_OUT.value),
  )


def _circulant_optimum(crops):
  """Bits/dim of the best circulant linear flow, of both sets of crops."""
  shape = [_IMAGE_SIZE.value, _IMAGE_SIZE.value, 3]
  moments = fo.AutoCorrelation('circulant', shape)
  train = crops.first(_NUM_CROPS.value)
  for i in range(0, len(train), _BATCH_SIZE.value):
    moments.update(train[i : i + _BATCH_SIZE.value])
  flow = moments.linear_flow()
  held_out = np.concatenate([flow.log_prob(x) for x in crops.held_out()])
  return {
      name: round(float(fo.bits_per_dim(np.mean(value), np.prod(shape))), 4)
      for name, value in (
          ('train', moments.optimum().log_likelihood),
          ('held_out', held_out),
      )
  }


def main(argv):
  """Measures and writes what is missing."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with tempfile.TemporaryDirectory() as folder:
    path = str(pathlib.Path(folder) / 'crops.npz')
    _write_crops(path)
    optimum = _circulant_optimum(short_run.Crops(path, _BATCH_SIZE.value, 0))
    print(f'Best circulant linear flow: {optimum}', flush=True)
    arm_runs.add_runs(
        _OUTPUT.value,
        {
            'machine': machine.description(),
            'image_size': _IMAGE_SIZE.value,
            'num_levels': _NUM_LEVELS.value,
            'num_steps': _NUM_STEPS.value,
            'batch_size': _BATCH_SIZE.value,
            'train_steps': _TRAIN_STEPS.value,
            'num_crops': _NUM_CROPS.value,
            'circulant_optimum': optimum,
        },
        _ARMS.value,
        {
            'image_size': _IMAGE_SIZE.value,
            'batch_size': _BATCH_SIZE.value,
            'crops': path,
            'init_images': _NUM_CROPS.value,
            'seed': 0,
        },
        _NUM_LEVELS.value,
        _NUM_STEPS.value,
        _PEERS.value,
        lambda _: {
            'num_steps': _TRAIN_STEPS.value,
            'eval_every': _EVAL_EVERY.value,
        },
    )


if __name__ == '__main__':
  app.run(main)
