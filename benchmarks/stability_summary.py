"""What the runs of `stability.py` say, arm by arm."""

import json
import pathlib
import statistics
from typing import NamedTuple

__all__ = ['ArmSummary', 'rate_curve', 'read_runs', 'summaries']

# A rate is of use if it ends this close to the best one, in bits/dim.
_NEAR_BEST = 0.5


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

  @property
  def width(self):
    """Highest stable learning rate by the lowest one; 0 without any."""
    return self.stable[-1] / self.stable[0] if self.stable else 0.0

  @property
  def useful_width(self):
    """Highest useful learning rate by the lowest one; 0 without any."""
    return self.useful[-1] / self.useful[0] if self.useful else 0.0


def read_runs(path, schedule='constant'):
  """Runs as dictionaries, from the lines of a file.

  Args:
    path: Of the file.
    schedule: Of the learning rate; runs with another one are left out.

  Returns:
    List of dictionaries.
  """
  lines = pathlib.Path(path).read_text(encoding='utf-8').splitlines()
  runs = map(json.loads, lines)
  return [run for run in runs if run['schedule'] == schedule]


def summaries(runs):
  """Summaries by size and depth.

  Args:
    runs: List of dictionaries, as `read_runs` returns it.

  Returns:
    Dictionary from `(size, depth, train_steps)` to a list of `ArmSummary`, in
    the order in which arms are first met.
  """
  groups = {}
  for run in runs:
    key = run['size'], run['depth'], run['train_steps']
    groups.setdefault(key, {}).setdefault(run['arm'], []).append(run)
  return {
      key: [_summary(arm, group[arm]) for arm in group]
      for key, group in sorted(groups.items())
  }


def rate_curve(runs):
  """Held-out bits/dim at the end, for each learning rate.

  Args:
    runs: Those of one arm, size and depth.

  Returns:
    List of `(rate, values, num_not_finite)`, in the order of the rates.
  """
  rates = sorted({run['learning_rate'] for run in runs})
  curve = []
  for rate in rates:
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
  useful = [r for r in stable if means[r] <= means[best_rate] + _NEAR_BEST]
  finite = [run for run in runs if run['finite']]
  at_stable = [run for run in runs if run['learning_rate'] in stable]
  kinds = at_stable[0]['reconstruction'] if at_stable else {}
  constants = [
      constant
      for run in finite
      for constant in run.get('log_lipschitz', {}).get('nonlinear', [])
  ]
  of_certified = [
      ratio
      for run in finite
      for ratio in run.get('of_certified', {}).values()
  ]
  return ArmSummary(
      arm=arm,
      parameters=runs[0]['parameters'],
      num_runs=len(runs),
      num_seeds=len({run['seed'] for run in runs}),
      num_not_finite=len(runs) - len(finite),
      num_above_start=sum(map(_is_above_start, runs)),
      stable=stable,
      useful=useful,
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
      of_certified=max(of_certified, default=None),
  )


def _largest(values):
  """The largest, or `None` if one is not finite."""
  return None if None in values else max(values)
