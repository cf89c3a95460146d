"""Sections on which learning rates a flow survives.

Each takes a function of the name of a suite that returns its records, and size,
depth and number of steps of the runs.
"""

from arms import catalogue

from report import markdown
from report import runs as runs_lib

__all__ = ['SECTIONS', 'long_runs', 'rates', 'schedule']

_KINDS = ('held out', 'inverted', 'constant', 'noise')


def _of_key(results, key, schedule):
  """Runs of a schedule and their summaries."""
  names = ('size', 'depth', 'train_steps')
  runs = [runs_lib.flat(record) for record in results('stability')]
  runs = [
      run
      for run in runs
      if tuple(run[name] for name in names) == key
      and run['schedule'] == schedule
  ]
  return runs, runs_lib.summaries(runs)[key]


def _command(runs, schedule=''):
  """The command whose runs these are."""
  names = {run['arm'] for run in runs}
  seeds = sorted({str(run['seed']) for run in runs})
  changes = {
      'image_size,num_levels': f'{runs[0]["size"]},{runs[0]["levels"]}',
      'num_steps': runs[0]['depth'],
      'seed': ','.join(seeds),
      'train_steps': runs[0]['train_steps'],
  }
  if schedule:
    changes['schedule'] = schedule
  command = 'python benchmarks/run.py --suites=stability'
  command += ''.join(f' --set={k}={v}' for k, v in changes.items())
  if names != set(catalogue.NAMES):
    arms = ','.join(sorted(names, key=runs_lib.order))
    command += f' --set="arm={arms}"'
  return command


def _seeds(runs):
  """How many seeds, in words, and which arms have fewer."""
  seeds = {}
  for run in runs:
    seeds.setdefault(run['arm'], set()).add(run['seed'])
  most = max(map(len, seeds.values()))
  words = f'{most} seed' + ('s' if most > 1 else '')
  fewer = [name for name, own in seeds.items() if len(own) < most]
  if fewer:
    words += f' (fewer of {", ".join(sorted(fewer, key=runs_lib.order))})'
  tried = {(run['arm'], run['learning_rate']) for run in runs}
  if len(runs) < sum(len(seeds[arm]) for arm, _ in tried):
    words += ', not all of them at each rate'
  return words


def _fewer_rates(runs):
  """Which arms were not run at all rates, in words."""
  arms = {}
  for run in runs:
    arms.setdefault(run['arm'], set()).add(run['learning_rate'])
  num_rates = len(set().union(*arms.values()))
  return ''.join(
      f' Of {name} only at {", ".join(f"{x:g}" for x in sorted(arms[name]))}.'
      for name in sorted(arms, key=runs_lib.order)
      if len(arms[name]) < num_rates
  )


def _not_finite(arm):
  return f'{arm.num_not_finite} of {arm.num_runs}'


def _best(arm):
  if arm.num_best > 1:
    return f'{arm.best:.3f} ({arm.spread:.3f})'
  return f'{arm.best:.3f}' + (' (one seed)' if arm.num_seeds > 1 else '')


def _range(values):
  if not values:
    return 'none'
  return f'{values[0]:g} to {values[-1]:g} ({values[-1] / values[0]:.0f}x)'


def rates(results, *key):
  """All constant learning rates."""
  runs, arms = _of_key(results, key, 'constant')
  tried = sorted({run['learning_rate'] for run in runs})
  table = markdown.table(
      'arm|parameters|not finite|above start|stable rates|'
      'within half a bit of its best|worst excursion|best held-out bits/dim|'
      'at rate',
      [
          [
              arm.arm,
              f'{arm.parameters:,}',
              _not_finite(arm),
              str(arm.num_above_start),
              _range(arm.stable),
              _range(arm.useful),
              markdown.value(arm.worst_excursion, '.2f', ''),
              _best(arm),
              f'{arm.best_rate:g}',
          ]
          for arm in arms
      ],
  )
  errors = markdown.table(
      'arm|held out|inverted|one grey|noise|certified|of its bound',
      [
          [
              arm.arm,
              *(markdown.error(arm.error.get(kind)) for kind in _KINDS),
              markdown.value(arm.log_lipschitz, '.2f', 'none'),
              markdown.value(arm.of_certified, '.1e', ''),
          ]
          for arm in arms
      ],
  )
  picture = 'stability_{}_{}_{}.png'.format(*key)
  return (
      f'`{_command(runs)}`: {len(runs)} runs, at {len(tried)} learning rates '
      f'from {tried[0]:g} to {tried[-1]:g}, {_seeds(runs)}.'
      f'{_fewer_rates(runs)}\n\n{table}\n\n'
      f'![bits/dim against learning rate](images/{picture})\n\n'
      f'Round trips:\n\n{errors}'
  )


def long_runs(results, *key):
  """Runs of many steps, one learning rate for each arm."""
  runs, arms = _of_key(results, key, 'constant')
  rows = []
  for arm in arms:
    starts = [run['start'] for run in runs if run['arm'] == arm.arm]
    rows.append([
        arm.arm,
        f'{arm.best_rate:g}',
        _not_finite(arm),
        f'{sum(starts) / len(starts):.3f}',
        _best(arm),
        markdown.value(arm.worst_excursion, '.2f', ''),
        markdown.error(arm.error.get('noise')),
    ])
  table = markdown.table(
      'arm|learning rate|not finite|held-out bits/dim at the start|at the end|'
      'worst excursion|round trip of noise images',
      rows,
  )
  return (
      f'`{_command(runs)}`: each arm at a learning rate of its own, '
      f'{_seeds(runs)}.\n\n{table}'
  )


def schedule(results, *key):
  """Runs with a cosine, beside the best constant rate."""
  runs, arms = _of_key(results, key, 'cosine')
  constant = {arm.arm: arm for arm in _of_key(results, key, 'constant')[1]}
  rows = []
  for arm in arms:
    other = constant[arm.arm]
    rows.append([
        arm.arm,
        _not_finite(arm),
        _best(arm),
        f'{arm.best_rate:g}',
        _best(other),
        f'{other.best_rate:g}',
        f'{other.best - arm.best:.3f}',
    ])
  table = markdown.table(
      'arm|not finite|best with a cosine|at rate|best constant|at rate|gained',
      rows,
  )
  return (
      f'`{_command(runs, "cosine")}`: {_seeds(runs)}.{_fewer_rates(runs)}'
      f'\n\n{table}'
  )


SECTIONS = {
    'stability': rates,
    'stability_long': long_runs,
    'stability_cosine': schedule,
}
