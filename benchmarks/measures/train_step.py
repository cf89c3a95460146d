"""Speed and memory of training steps, of likelihoods and of samples.

Each arm is a process of its own. They work in turn, one step each, so that a
disturbance of the machine hits all of them. What matrix products reach on this
machine says, next to the operations of a step, how far any of them could go.
"""

import pathlib
import statistics
import tempfile

from arms import catalogue
from harness import images
from harness import timing

__all__ = ['coupling_flops', 'failures', 'measure']


def measure(settings, seed, context):
  """See `run.py`; `arms`, or one `arm`, and the `commands` that are timed."""
  results, arms = {}, {}
  rates = timing.machine_rates()
  with tempfile.TemporaryDirectory() as folder:
    crops = str(pathlib.Path(folder) / 'crops.npz')
    images.write(crops, settings, context)
    for name in settings.get('arms') or [settings['arm']]:
      arm = catalogue.start(
          name, {**settings, 'crops': crops, 'seed': seed}, context
      )
      made, first = arm.ask('num_parameters'), arm.ask('train_step')
      arms[name] = arm
      results[name] = {
          'parameters': made['value'],
          'made_mib': made['peak_mib'],
          'first_step_seconds': first['seconds'],
          'bits_per_dim': [first['value']],
          'error': made['error'] or first['error'],
      }
    for command in settings['commands']:
      _time(command, settings['num_timings'], arms, results)
    for name, arm in arms.items():
      results[name]['round_trip_error'] = arm.ask('round_trip')['value']
      # Of recomputed inputs; others have none.
      results[name]['fallbacks'] = arm.ask('num_fallbacks')['value']
      arm.close()
  return {'rates': rates, 'arms': results}


def _time(command, num_timings, arms, results):
  """Adds the times of a command, of all arms that work, to their results."""
  seconds = {name: [] for name in arms}
  # The first of each compiles.
  for i in range(num_timings + 1):
    for name, arm in arms.items():
      result = results[name]
      if result['error']:
        continue
      answer = arm.ask(command)
      result['error'] = answer['error']
      if i and not answer['error']:
        seconds[name].append(answer['seconds'])
      if command == 'train_step' and not answer['error']:
        result['training_peak_mib'] = answer['peak_mib']
        result['bits_per_dim'].append(answer['value'])
        # Without weights and Adam's two moments, float32.
        result['above_weights_mib'] = (
            answer['peak_mib'] - 12 * result['parameters'] / 2**20
        )
  for name, values in seconds.items():
    if values:
      results[name][f'{command}_seconds'] = statistics.median(values)
      results[name][f'{command}_all_seconds'] = values


def failures(values):
  """Arms that broke."""
  arms = values['arms'].items()
  return [f'{name}: {arm["error"]}' for name, arm in arms if arm['error']]


def coupling_flops(image_size, num_levels, num_steps, width, linear=False):
  """Operations of the couplings' convolutions for one image, forward.

  The second coupling of a step has three convolutions, of which two are 3x3;
  the first one, which counts if `linear`, is one convolution.
  """
  total = 0
  for level in range(num_levels):
    positions = (image_size // 2 ** (level + 1)) ** 2
    channels = 12 * 2**level
    half = channels // 2
    weights = 9 * half * width + width * width + 9 * width * channels
    weights += 9 * half * half if linear else 0
    total += 2 * weights * positions * num_steps
  return total
