"""Runs of training, as the pages tell of them."""

import statistics
from typing import NamedTuple

__all__ = [
    'ArmSummary',
    'flat',
    'machine',
    'order',
    'rate_curve',
    'summaries',
]

# A rate is of use if it ends this close to the best one, in bits/dim.
_NEAR_BEST = 0.5


def flat(record):
  """What was asked for and measured in one dictionary."""
  settings = record['settings']
  return {
      'size': settings['image_size'],
      'levels': settings['num_levels'],
      'depth': settings['num_steps'],
      'batch': settings['batch_size'],
      'limit': settings['seconds'],
      'seed': record['seed'],
      'machine': machine(record),
      **{
          name: settings[name]
          for name in ('arm', 'learning_rate', 'train_steps', 'schedule')
      },
      **record['values'],
  }


def machine(record):
  """What a record was measured on, in words."""
  words = ['a machine that was not noted']
  if record['machine']:
    words = ['{cores} cores of {processor}'.format_map(record['machine'])]
  versions = dict(record['versions'] or {})
  if python := versions.pop('python', None):
    words.append(f'Python {python}')
  words += [f'{name} {version}' for name, version in versions.items()]
  return ', '.join([*words, *filter(None, [record.get('note')])])


def order(name):
  """Ours first, and the peers by name."""
  return not name.startswith('ours'), name


class ArmSummary(NamedTuple):
  """The runs of one arm at one size and depth.

  Attributes:
    arm: Its name.
    parameters: Number of trained numbers.
    num_runs: Number of runs.
    num_seeds: Number of seeds.
    num_not_finite: Runs that ended in a number that is not finite.
    num_above_start: Finite runs whose held-out bits/dim ended above their
      start.
    stable: Learning rates, from the lowest one to the highest in a row, at
      which no run was either.
    useful: Those among them that end within half a bit of the best rate.
    worst_excursion: Largest rise of a loss above its lowest value before, of
      runs at stable rates, bits/dim; `None` without any.
    best_rate: Learning rate of the lowest mean over seeds.
    best: That mean of held-out bits/dim.
    num_best: Number of seeds at that rate.
    spread: Largest difference between them.
    error: Largest reconstruction error at stable rates, by kind of images;
      `None` if one was not finite.
    log_lipschitz: Largest certified logarithm of a constant of the non-linear
      part in a finite run; `None` if there is no bound.
    of_certified: Largest error of the recomputed input of a level's steps, at
      any rate, divided by its certified bound; `None` where it was not
      measured.
  """

  arm: str
  parameters: int
  num_runs: int
  num_seeds: int
  num_not_finite: int
  num_above_start: int
  stable: list
  useful: list
  worst_excursion: float | None
  best_rate: float
  best: float
  num_best: int
  spread: float
  error: dict
  log_lipschitz: float | None
  of_certified: float | None


def summaries(runs):
  """Summaries by size and depth.

  Args:
    runs: List of dictionaries, of `flat`.

  Returns:
    Dictionary from `(size, depth, train_steps)` to a list of `ArmSummary`, ours
    first.
  """
  groups = {}
  for run in runs:
    key = run['size'], run['depth'], run['train_steps']
    groups.setdefault(key, {}).setdefault(run['arm'], []).append(run)
  return {
      key: [_summary(arm, group[arm]) for arm in sorted(group, key=order)]
      for key, group in sorted(groups.items())
  }


def rate_curve(runs):
  """Held-out bits/dim at the end, for each learning rate.

  Args:
    runs: Those of one arm, size and depth.

  Returns:
    List of `(rate, values, num_not_finite)`, in the order of the rates.
  """
  curve = []
  for rate in sorted({run['learning_rate'] for run in runs}):
    ends = [run['end'] for run in runs if run['learning_rate'] == rate]
    values = [end for end in ends if end is not None]
    curve.append((rate, values, len(ends) - len(values)))
  return curve


def _is_above_start(run):
  return run['finite'] and run['end'] > run['start']


def _summary(arm, runs):
  stable, curve = [], rate_curve(runs)
  for rate, _, _ in curve:
    at_rate = [run for run in runs if run['learning_rate'] == rate]
    if all(run['finite'] and not _is_above_start(run) for run in at_rate):
      stable.append(rate)
    elif stable:
      break
  means = {
      rate: statistics.mean(values)
      for rate, values, num_not_finite in curve
      if not num_not_finite
  }
  best_rate = min(means, key=means.get)
  (best_values,) = [v for rate, v, _ in curve if rate == best_rate]
  finite = [run for run in runs if run['finite']]
  at_stable = [run for run in runs if run['learning_rate'] in stable]
  kinds = at_stable[0]['reconstruction'] if at_stable else {}
  constants = [
      constant
      for run in finite
      for constant in run.get('log_lipschitz', {}).get('nonlinear', [])
  ]
  return ArmSummary(
      arm=arm,
      parameters=runs[0]['parameters'],
      num_runs=len(runs),
      num_seeds=len({run['seed'] for run in runs}),
      num_not_finite=len(runs) - len(finite),
      num_above_start=sum(map(_is_above_start, runs)),
      stable=stable,
      useful=[r for r in stable if means[r] <= means[best_rate] + _NEAR_BEST],
      worst_excursion=max(
          (run['worst_excursion'] for run in at_stable), default=None
      ),
      best_rate=best_rate,
      best=means[best_rate],
      num_best=len(best_values),
      spread=max(best_values) - min(best_values),
      error={
          kind: _largest([run['reconstruction'][kind] for run in at_stable])
          for kind in kinds
      },
      log_lipschitz=_largest(constants) if constants else None,
      of_certified=max(
          (x for run in finite for x in run.get('of_certified', {}).values()),
          default=None,
      ),
  )


def _largest(values):
  """The largest, or `None` if one is not finite."""
  return None if None in values else max(values)
