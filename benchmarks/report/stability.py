"""Sections on which learning rates a flow survives.

Each takes a function of the name of a suite that returns its records, and size,
depth and number of steps of the runs.
"""

import statistics

from arms import catalogue

from report import markdown
from report import runs as runs_lib


def _of_key(results, key, schedule):
  """Runs of a schedule and their summaries."""
  runs = [
      run
      for run in map(runs_lib.flat, results('stability'))
      if (run['size'], run['depth'], run['train_steps']) == key
      and run['schedule'] == schedule
  ]
  return runs, runs_lib.summaries(runs)[key]


def _collected(runs, name):
  """Sets of what the runs of each arm have, ours first."""
  sets = {}
  for run in sorted(runs, key=lambda run: runs_lib.order(run['arm'])):
    sets.setdefault(run['arm'], set()).add(run[name])
  return sets


def _command(runs, schedule=''):
  """The command whose runs these are, how many seeds, and which have fewer."""
  seeds, rates = (_collected(runs, x) for x in ('seed', 'learning_rate'))
  changes = {
      'image_size,num_levels': f'{runs[0]["size"]},{runs[0]["levels"]}',
      'num_steps': runs[0]['depth'],
      'seed': ','.join(map(str, sorted(set().union(*seeds.values())))),
      'train_steps': runs[0]['train_steps'],
  }
  if schedule:
    changes['schedule'] = schedule
  command = 'python benchmarks/run.py --suites=stability'
  command += ''.join(f' --set={k}={v}' for k, v in changes.items())
  if set(seeds) != set(catalogue.NAMES):
    command += f' --set="arm={",".join(seeds)}"'
  most = max(map(len, seeds.values()))
  words = f'{most} seed' + ('s' if most > 1 else '')
  fewer = [name for name, own in seeds.items() if len(own) < most]
  if fewer:
    words += f' (fewer of {", ".join(fewer)})'
  if len(runs) < sum(len(seeds[arm]) * len(rates[arm]) for arm in seeds):
    words += ', not all of them at each rate'
  return f'`{command}`', words


def _fewer_rates(runs):
  """Which arms were not run at all rates, in words."""
  rates = _collected(runs, 'learning_rate')
  num_rates = len(set().union(*rates.values()))
  return ''.join(
      f' Of {name} only at {", ".join(f"{x:g}" for x in sorted(own))}.'
      for name, own in rates.items()
      if len(own) < num_rates
  )


def _best(arm):
  if len(arm.best_values) > 1:
    spread = max(arm.best_values) - min(arm.best_values)
    return f'{arm.best:.3f} ({spread:.3f})'
  num_seeds = len({run['seed'] for run in arm.runs})
  return f'{arm.best:.3f}' + (' (one seed)' if num_seeds > 1 else '')


def _best_rate(arm):
  return f'{arm.best_rate:g}'


def _range(values):
  if not values:
    return 'none'
  return f'{values[0]:g} to {values[-1]:g} ({values[-1] / values[0]:.0f}x)'


def not_finite(arm):
  """How many of its runs stopped being finite."""
  bad = sum(not run['finite'] for run in arm.runs)
  return f'{bad} of {len(arm.runs)}'


def _start(arm):
  return f'{statistics.mean(run["start"] for run in arm.runs):.3f}'


def _worst_excursion(arm):
  worst = runs_lib.largest(arm.at_stable_rates('worst_excursion'))
  return markdown.value(worst, '.2f', '')


def _error(kind):
  return lambda arm: markdown.error(arm.error(kind))


def certified(arm):
  """Logarithm of the largest constant of the non-linear part."""
  parts = arm.measured('log_lipschitz')
  constants = [constant for x in parts for constant in x['nonlinear']]
  return markdown.value(runs_lib.largest(constants), '.2f', 'none')


def _of_bound(arm):
  ratios = [max(kinds.values()) for kinds in arm.measured('of_certified')]
  return markdown.value(runs_lib.largest(ratios), '.1e', '')


_ARMS = {
    'arm': lambda arm: arm.name,
    'parameters': lambda arm: f'{arm.runs[0]["parameters"]:,}',
    'not finite': not_finite,
    'above start': lambda arm: str(
        sum(map(runs_lib.is_above_start, arm.runs))
    ),
    'stable rates': lambda arm: _range(arm.stable),
    'within half a bit of its best': lambda arm: _range(arm.useful),
    'worst excursion': _worst_excursion,
    'best held-out bits/dim': _best,
    'at the end': _best,
    'best with a cosine': _best,
    'at rate': _best_rate,
    'learning rate': _best_rate,
    'held-out bits/dim at the start': _start,
    'held out': _error('held out'),
    'inverted': _error('inverted'),
    'one grey': _error('constant'),
    'noise': _error('noise'),
    'round trip of noise images': _error('noise'),
    'certified': certified,
    'of its bound': _of_bound,
}


def rates(results, *key):
  """All constant learning rates."""
  runs, arms = _of_key(results, key, 'constant')
  tried = sorted({run['learning_rate'] for run in runs})
  command, seeds = _command(runs)
  table = markdown.columns(
      _ARMS,
      'arm|best held-out bits/dim|at rate|not finite|above start|stable rates|'
      'within half a bit of its best|worst excursion|parameters',
      arms,
  )
  errors = markdown.columns(
      _ARMS,
      'arm|held out|inverted|one grey|noise|certified|of its bound',
      arms,
  )
  picture = 'stability_{}_{}_{}.png'.format(*key)
  return (
      f'{command}: {len(runs)} runs, at {len(tried)} learning rates '
      f'from {tried[0]:g} to {tried[-1]:g}, {seeds}.'
      f'{_fewer_rates(runs)}\n\n{table}\n\n'
      f'![bits/dim against learning rate](images/{picture})\n\n'
      f'Round trips:\n\n{errors}'
  )


def long_runs(results, *key):
  """Runs of many steps, one learning rate for each arm."""
  runs, arms = _of_key(results, key, 'constant')
  table = markdown.columns(
      _ARMS,
      'arm|at the end|learning rate|held-out bits/dim at the start|not finite|'
      'worst excursion|round trip of noise images',
      arms,
  )
  command, seeds = _command(runs)
  return (
      f'{command}: each arm at a learning rate of its own, {seeds}.\n\n{table}'
  )


def schedule(results, *key):
  """Runs with a cosine, beside the best constant rate."""
  runs, arms = _of_key(results, key, 'cosine')
  constant = {arm.name: arm for arm in _of_key(results, key, 'constant')[1]}
  table = markdown.columns(
      _ARMS,
      'arm|not finite|best with a cosine|at rate|best constant|at that rate|'
      'gained',
      arms,
      ('best constant', lambda arm: _best(constant[arm.name])),
      ('at that rate', lambda arm: _best_rate(constant[arm.name])),
      ('gained', lambda arm: f'{constant[arm.name].best - arm.best:.3f}'),
  )
  command, seeds = _command(runs, 'cosine')
  return f'{command}: {seeds}.{_fewer_rates(runs)}\n\n{table}'


SECTIONS = {
    'stability': rates,
    'stability_long': long_runs,
    'stability_cosine': schedule,
}
