"""Runs of arms one after the other, in one file that can be added to."""

import json
import pathlib

from absl import app
import stability_arms

__all__ = ['add_runs']

_WARMUP_STEPS = 50


def add_runs(
    output,
    conditions,
    items,
    settings,
    num_levels,
    num_steps,
    peers_path,
    run_settings,
):
  """Runs the arms that a file does not hold yet, and adds them to it.

  Args:
    output: JSON file: `conditions`, and a list `runs`.
    conditions: Dictionary of what all runs have in common.
    items: List of strings `arm=learning rate`.
    settings: See `stability_arms.start`.
    num_levels: Number of resolutions.
    num_steps: Flow steps of a level.
    peers_path: See `stability_arms.start`.
    run_settings: Function of the seconds that making the arm took, which
      returns arguments of `short_run.run`.

  Raises:
    UsageError: If the file holds runs under other conditions.
    RuntimeError: If an arm fails; what was measured before is in the file.
  """
  output = pathlib.Path(output)
  report = {'conditions': conditions, 'runs': []}
  if output.exists():
    report = json.loads(output.read_text(encoding='utf-8'))
    if report['conditions'] != conditions:
      raise app.UsageError(
          f'--output: {output} has runs of {report["conditions"]}; these '
          f'would be of {conditions}.'
      )
  done = {(run['arm'], run['learning_rate']) for run in report['runs']}
  for item in items:
    name, rate = item.rsplit('=', 1)
    if (name, float(rate)) in done:
      continue
    arm = stability_arms.start(
        name, settings, num_levels, num_steps, peers_path
    )
    setup = _value(arm.ask('setup_seconds'), name)
    parameters = _value(arm.ask('num_parameters'), name)
    answer = arm.ask(
        'run',
        learning_rate=float(rate),
        warmup_steps=_WARMUP_STEPS,
        **run_settings(setup),
    )
    run = {
        'arm': name,
        'learning_rate': float(rate),
        'parameters': parameters,
        'setup_seconds': setup,
        **_value(answer, name),
        'peak_mib': answer['peak_mib'],
    }
    arm.close()
    report['runs'].append(run)
    output.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    print(
        f'{item}: {run["start"]:.3f} -> {run["end"]} bits/dim, '
        f'{run["num_steps"]} steps in {run["seconds"]:.0f} s',
        flush=True,
    )


def _value(answer, name):
  if answer['error']:
    raise RuntimeError(f'{name}: {answer["error"]}')
  return answer['value']
