"""Trains at 1024x1024 on one machine, and says what it took.

Photographs of a folder are cropped to squares; the flow starts at the optimum
of their second moments and takes training steps, one image each; the first crop
is kept apart. Crops differ by more than a step improves, so look at the means
of whole passes over all of them. Then tfb.Glow of the same size tries one step,
for the record.

  python benchmarks/high_resolution.py --photos=real_data/photos
"""

import json
import pathlib
import statistics
import sys
import tempfile

from absl import app
from absl import flags
import numpy as np
import serving

import tfp_flowopt as fo

_PHOTOS = flags.DEFINE_string('photos', None, 'Folder of photographs.')
_OUTPUT = flags.DEFINE_string('output', 'high_resolution.json', 'JSON.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 1024, 'Side of the crops.')
_NUM_LEVELS = flags.DEFINE_integer('num_levels', 6, 'Number of resolutions.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 8, 'Flow steps at each.')
_HIDDEN_CHANNELS = flags.DEFINE_integer('hidden_channels', 64, 'Even.')
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 30, 'Training steps.')
_LEARNING_RATE = flags.DEFINE_float('learning_rate', 1e-4, "Adam's.")
_NUM_CROPS = flags.DEFINE_integer('num_crops', 16, 'Number of crops.')
_GLOW = flags.DEFINE_bool('glow', True, 'Whether tfb.Glow tries, too.')

flags.mark_flag_as_required('photos')


def _write_crops(path):
  """Writes one crop of each photograph, in turn."""
  size, rng, crops = _IMAGE_SIZE.value, np.random.default_rng(0), []
  photographs, _ = fo.training.load_images(_PHOTOS.value, skip_bad=True)
  photographs = [p for p in photographs if min(p.shape[:2]) >= size]
  if not photographs:
    raise app.UsageError(f'--photos: none has {size}x{size} pixels.')
  for i in range(_NUM_CROPS.value):
    photograph = photographs[i % len(photographs)]
    row, column = (
        rng.integers(0, n - size + 1) for n in photograph.shape[:2]
    )
    crops.append(photograph[row : row + size, column : column + size])
  np.save(path, np.stack(crops))


def _means_of_passes(values, size):
  """Means of complete passes over `size` crops."""
  return [
      statistics.mean(values[i : i + size])
      for i in range(0, len(values) - size + 1, size)
  ]


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  architecture = {
      'num_levels': _NUM_LEVELS.value,
      'num_steps': _NUM_STEPS.value,
      'hidden_channels': _HIDDEN_CHANNELS.value,
  }
  report = {'architecture': architecture}
  with tempfile.TemporaryDirectory() as folder:
    images = str(pathlib.Path(folder) / 'images.npy')
    _write_crops(images)
    settings = {
        'image_size': _IMAGE_SIZE.value,
        'batch_size': 1,
        'learning_rate': _LEARNING_RATE.value,
        'images': images,
    }
    arm = serving.Arm(
        sys.executable, 'flowopt.py', {**settings, 'flow': architecture}
    )
    first = arm.ask('train_step')
    print(f'step 0: {first}', flush=True)
    steps = [first]
    for step in range(1, _TRAIN_STEPS.value):
      steps.append(arm.ask('train_step'))
      print(f'step {step}: {steps[-1]}', flush=True)
      if steps[-1]['error']:
        break
    report['ours'] = {
        'parameters': arm.ask('num_parameters')['value'],
        'first_step_seconds': first['seconds'],
        'step_seconds': statistics.median(
            s['seconds'] for s in steps[1:] if s['seconds']
        ),
        'peak_mib': steps[-1]['peak_mib'],
        'bits_per_dim': [s['value'] for s in steps],
        'bits_per_dim_of_passes': _means_of_passes(
            [s['value'] for s in steps], _NUM_CROPS.value - 1
        ),
        'error': steps[-1]['error'],
        'reconstruction_error': arm.ask('reconstruction_error')['value'],
        'fallbacks': arm.ask('num_fallbacks')['value'],
        'held_out_bits_per_dim': arm.ask('evaluate')['value'],
    }
    arm.close()
    print(json.dumps(report['ours'], indent=2), flush=True)
    if _GLOW.value:
      arm = serving.Arm(
          sys.executable, 'tfb_glow.py', {**settings, **architecture}
      )
      report['tfb.Glow'] = arm.ask('train_step')
      arm.close()
      print('tfb.Glow:', report['tfb.Glow'])
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(report, indent=2) + '\n', encoding='utf-8'
  )


if __name__ == '__main__':
  app.run(main)
