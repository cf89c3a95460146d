"""Speed of a training step, of likelihoods and of samples, beside the peers.

Our flow (with gradients from recomputed and from stored inputs, and with
bfloat16 networks), tfb.Glow and normflows' Glow, of the same architecture and
about as many parameters, each in a process of its own. They work in turn, one
step each, so that a disturbance of the machine hits all of them; the table has
medians, and ratios of the peers' medians to ours. normflows gets an environment
of its own, made by the script.

Also measured: what matrix products reach on this machine. Next to the
floating-point operations of a step that says how far any of them could go.

  python benchmarks/train_step.py --output=train_step.json
"""

import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from absl import app
from absl import flags
import peers
import photograph_crops
import serving
import tensorflow as tf

_OUTPUT = flags.DEFINE_string('output', 'train_step.json', 'JSON to write.')
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of normflows.'
)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 64, 'Side of the images.')
_NUM_LEVELS = flags.DEFINE_integer('num_levels', 3, 'Number of resolutions.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 8, 'Flow steps at each.')
_HIDDEN_CHANNELS = flags.DEFINE_integer(
    'hidden_channels', 128, 'Width of the networks, even.'
)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Images in a step.')
_NUM_TIMINGS = flags.DEFINE_integer(
    'num_timings', 9, 'Timings of each.', lower_bound=1
)
_ARMS = flags.DEFINE_list(
    'arms',
    'reversible,stored,bfloat16,tfb.Glow,normflows',
    'Which to run.',
)
_OURS = {
    'reversible': {'memory': 'reversible'},
    'stored': {'memory': 'stored'},
    'no scalings': {'memory': 'stored', 'tile_sizes': []},
    'bfloat16': {'memory': 'stored', 'compute_dtype': 'bfloat16'},
    # The training step alone is compiled by it.
    'xla': {'memory': 'reversible'},
}
_COMMANDS = ('train_step', 'log_prob', 'sample')


def _start(name, images):
  """The process of one arm."""
  settings = {
      'image_size': _IMAGE_SIZE.value,
      'batch_size': _BATCH_SIZE.value,
      'learning_rate': 1e-4,
      'images': images,
  }
  architecture = {
      'num_levels': _NUM_LEVELS.value,
      'num_steps': _NUM_STEPS.value,
      'hidden_channels': _HIDDEN_CHANNELS.value,
  }
  if name in _OURS:
    settings['flow'] = {**architecture, **_OURS[name]}
    settings['jit_compile'] = name == 'xla'
    return serving.Arm(sys.executable, 'flowopt.py', settings)
  settings.update(architecture)
  if name == 'tfb.Glow':
    return serving.Arm(sys.executable, 'tfb_glow.py', settings)
  if name == 'normflows':
    python = peers.python_of_peers(_PEERS.value)
    return serving.Arm(python, 'normflows_glow.py', settings)
  raise app.UsageError(f'--arms: there is no {name!r}.')


def _measure(images):
  """Starts all arms and lets them work in turn.

  Args:
    images: Path of the images.

  Returns:
    Dictionary from arms to their results.
  """
  results, arms = {}, {}
  for name in _ARMS.value:
    arms[name] = _start(name, images)
    first = arms[name].ask('train_step')
    if first['error']:
      raise RuntimeError(f'{name}: {first["error"]}')
    results[name] = {
        'first_step_seconds': first['seconds'],
        'parameters': arms[name].ask('num_parameters')['value'],
    }
    print(f'{name}: {results[name]}', flush=True)
  for command in _COMMANDS:
    seconds = {name: [] for name in arms}
    # The first of each compiles.
    for i in range(_NUM_TIMINGS.value + 1):
      for name, arm in arms.items():
        answer = arm.ask(command)
        if answer['error']:
          raise RuntimeError(f'{name}, {command}: {answer["error"]}')
        if i:
          seconds[name].append(answer['seconds'])
        if command == 'train_step':
          results[name]['training_peak_mib'] = answer['peak_mib']
    for name, values in seconds.items():
      results[name][f'{command}_seconds'] = statistics.median(values)
      results[name][f'{command}_all_seconds'] = values
  for name, arm in arms.items():
    results[name]['round_trip_error'] = arm.ask('round_trip')['value']
    arm.close()
  return results


def _flops_of_step():
  """Floating-point operations of the couplings' networks, with gradients.

  Three times those of the evaluation: a product with the weights, one for the
  gradient of the input and one for that of the weights. The reversible path
  evaluates once more: four times.
  """
  total, hidden = 0, _HIDDEN_CHANNELS.value
  for level in range(_NUM_LEVELS.value):
    positions = (_IMAGE_SIZE.value // 2 ** (level + 1)) ** 2
    channels = 12 * 2**level
    weights = (
        9 * (channels // 2) * hidden + hidden**2 + 9 * hidden * channels
    )
    total += 2 * weights * positions * _BATCH_SIZE.value * _NUM_STEPS.value
  return 3 * total


def _rate(function, flops):
  """Median GFLOP/s of a function in a graph."""
  function = tf.function(function, autograph=False)
  function()
  times = []
  for _ in range(15):
    start = time.perf_counter()
    function().numpy()
    times.append(time.perf_counter() - start)
  return flops / statistics.median(times) / 1e9


def _machine():
  """What matrix products of TensorFlow reach here, in GFLOP/s."""
  n = 2048
  a = tf.random.stateless_normal([n, n], [0, 0])
  return {
      'product_gflops': _rate(lambda: (a @ a)[0, 0], 2 * n**3),
      'cores': os.cpu_count(),
  }


def _print(results, report):
  columns = (
      ('first step s', 'first_step_seconds', '.1f'),
      ('step s', 'train_step_seconds', '.3f'),
      ('log_prob s', 'log_prob_seconds', '.3f'),
      ('sample s', 'sample_seconds', '.3f'),
      ('peak MiB', 'training_peak_mib', '.0f'),
      ('round trip', 'round_trip_error', '.1e'),
      ('parameters', 'parameters', '.0f'),
  )
  print(f'{"":<12}' + ''.join(f'{title:>14}' for title, _, _ in columns))
  for name, result in results.items():
    print(
        f'{name:<12}'
        + ''.join(f'{result[key]:>14{form}}' for _, key, form in columns)
    )
  print('\nTimes of the peers over ours:')
  for name, ratios in report['ratios'].items():
    text = ', '.join(f'{key} {value:.2f}' for key, value in ratios.items())
    print(f'  {name}: {text}')
  machine = report['machine']
  print(
      f'\n{report["step_gflop"]:.1f} GFLOP a step (a third more with '
      'recomputed inputs); the machine reaches '
      f'{machine["product_gflops"]:.0f} GFLOP/s in matrix products, '
      f'so no step takes less than {report["least_step_seconds"]:.2f} s '
      f'({4 / 3 * report["least_step_seconds"]:.2f} s).'
  )


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  machine = _machine()
  with tempfile.TemporaryDirectory() as folder:
    images = str(pathlib.Path(folder) / 'images.npy')
    photograph_crops.write_crops(images, _IMAGE_SIZE.value)
    results = _measure(images)
  gflop = _flops_of_step() / 1e9
  ratios = {
      f'{peer} / {ours}': {
          key: results[peer][f'{key}_seconds'] / results[ours][f'{key}_seconds']
          for key in (*_COMMANDS, 'first_step')
      }
      for peer in ('tfb.Glow', 'normflows')
      if peer in results
      for ours in results
      if ours in _OURS
  }
  report = {
      'settings': {
          flag.name: flag.value
          for flag in flags.FLAGS.get_key_flags_for_module(__name__)
          if flag.name not in ('output', 'peers')
      },
      'machine': machine,
      'step_gflop': gflop,
      'least_step_seconds': gflop / machine['product_gflops'],
      'arms': results,
      'ratios': ratios,
  }
  _print(results, report)
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(report, indent=2) + '\n', encoding='utf-8'
  )


if __name__ == '__main__':
  app.run(main)
