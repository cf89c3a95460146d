"""What depth costs: memory, start-up and time of training steps.

Flows of different numbers of steps at each level take training steps, each in a
process of its own, with gradients from recomputed inputs and from stored ones.
The table shows the peak of the resident memory above weights and optimiser (3
numbers for each weight), with TensorFlow itself in it, and its growth.

  python benchmarks/depth.py --output=depth.json
"""

import json
import pathlib
import statistics
import sys
import tempfile

from absl import app
from absl import flags
import photograph_crops
import serving

_OUTPUT = flags.DEFINE_string('output', 'depth.json', 'JSON to write.')
_DEPTHS = flags.DEFINE_list('depths', '4,16,48', 'Steps at each level.')
_MEMORY = flags.DEFINE_list('memory', 'reversible,stored', 'Which gradients.')
_SIDE = flags.DEFINE_integer('image_size', 256, 'Side of the images.')
_LEVELS = flags.DEFINE_integer('num_levels', 5, 'Number of resolutions.')
_WIDTH = flags.DEFINE_integer(
    'hidden_channels', 64, 'Width of the networks, even.'
)
_BATCH = flags.DEFINE_integer('batch_size', 2, 'Images in a step.')
_TIMINGS = flags.DEFINE_integer(
    'num_timings', 3, 'Timed steps.', lower_bound=1
)


def _measure(images, memory, depth):
  """Results of one flow.

  Args:
    images: Path of the images.
    memory: `'reversible'` or `'stored'`.
    depth: Number of steps at each level.

  Returns:
    Dictionary.
  """
  settings = {
      'image_size': _SIDE.value,
      'batch_size': _BATCH.value,
      'learning_rate': 1e-4,
      'images': images,
      'flow': {
          'num_levels': _LEVELS.value,
          'num_steps': depth,
          'hidden_channels': _WIDTH.value,
          'memory': memory,
      },
  }
  arm = serving.Arm(sys.executable, 'flowopt.py', settings)
  parameters = arm.ask('num_parameters')
  made = parameters['peak_mib']
  first = arm.ask('train_step')
  steps = [arm.ask('train_step') for _ in range(_TIMINGS.value)]
  arm.close()
  failed = [a['error'] for a in (first, *steps) if a['error']]
  if failed:
    return {'memory': memory, 'depth': depth, 'error': failed[0]}
  return {
      'memory': memory,
      'depth': depth,
      'error': None,
      'parameters': parameters['value'],
      'peak_mib': steps[-1]['peak_mib'],
      # Weights and Adam's two moments, float32.
      'above_weights_mib': steps[-1]['peak_mib']
      - 3 * 4 * parameters['value'] / 2**20,
      'made_mib': made,
      'first_step_seconds': first['seconds'],
      'step_seconds': statistics.median(a['seconds'] for a in steps),
      'bits_per_dim': [a['value'] for a in (first, *steps)],
  }


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  results = []
  print(
      f'{"gradients":<12}{"K":>4}{"parameters":>12}{"peak MiB":>10}'
      f'{"above":>8}{"growth":>8}{"first s":>9}{"step s":>8}'
  )
  with tempfile.TemporaryDirectory() as folder:
    images = str(pathlib.Path(folder) / 'images.npy')
    photograph_crops.write_crops(images, _SIDE.value)
    for memory in _MEMORY.value:
      base = None
      for depth in map(int, _DEPTHS.value):
        result = _measure(images, memory, depth)
        results.append(result)
        if result['error']:
          print(f'{memory:<12}{depth:>4} {result["error"]}', flush=True)
          continue
        base = base or result['above_weights_mib']
        result['growth'] = result['above_weights_mib'] / base
        print(
            f'{memory:<12}{depth:>4}{result["parameters"]:>12}'
            f'{result["peak_mib"]:>10.0f}{result["above_weights_mib"]:>8.0f}'
            f'{result["growth"]:>8.2f}{result["first_step_seconds"]:>9.1f}'
            f'{result["step_seconds"]:>8.2f}',
            flush=True,
        )
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(results, indent=2) + '\n', encoding='utf-8'
  )


if __name__ == '__main__':
  app.run(main)
