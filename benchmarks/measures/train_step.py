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


def measure(settings, seed, context):
  """See `run.py`; `arms`, or one `arm`, and the `commands` that are timed."""
  results, arms = {}, {}
  rates = timing.machine_rates()
  with tempfile.TemporaryDirectory() as folder:
    crops = str(pathlib.Path(folder) / 'crops.npz')
    images.write(crops, settings, context)
    for name in settings.get('arms') or [settings['arm']]:
      arms[name] = arm = catalogue.start(
          name, {**settings, 'crops': crops, 'seed': seed}, context
      )
      made, first = arm.ask('num_parameters'), arm.ask('train_step')
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
      results[name]['fallbacks'] = arm.ask('num_fallbacks')['value']
      arm.close()
  return {'rates': rates, 'arms': results}


def _time(command, num_timings, arms, results):
  """Adds the times of a command, of all arms that work, to their results."""
  # The first of each compiles.
  for i in range(num_timings + 1):
    for name, arm in arms.items():
      result = results[name]
      if result['error']:
        continue
      answer = arm.ask(command)
      result['error'] = answer['error']
      if answer['error']:
        continue
      if i:
        seconds = result.setdefault(f'{command}_all_seconds', [])
        seconds.append(answer['seconds'])
        result[f'{command}_seconds'] = statistics.median(seconds)
      if command == 'train_step':
        result['training_peak_mib'] = answer['peak_mib']
        result['bits_per_dim'].append(answer['value'])
        # Without weights and Adam's two moments, float32.
        result['above_weights_mib'] = (
            answer['peak_mib'] - 12 * result['parameters'] / 2**20
        )


def failures(values):
  """Arms that broke."""
  arms = values['arms'].items()
  return [f'{name}: {arm["error"]}' for name, arm in arms if arm['error']]
