"""Runs of training, as the pages tell of them."""

import math
import statistics

# A rate is of use if it ends this close to the best one, in bits/dim.
_NEAR_BEST = 0.5


def flat(record):
  """What was asked for and measured in one dictionary."""
  settings = record['settings']
  names = {
      'size': 'image_size', 'levels': 'num_levels', 'depth': 'num_steps',
      'batch': 'batch_size', 'limit': 'seconds',
  }
  return {
      **{name: settings[setting] for name, setting in names.items()},
      **{
          name: settings[name]
          for name in ('arm', 'learning_rate', 'train_steps', 'schedule')
      },
      'seed': record['seed'],
      'machine': machine(record),
      **record['values'],
  }


def newest(records, *names):
  """Dictionary from values of settings to the last record that has them."""
  return {
      tuple(record['settings'].get(name) for name in names): record
      for record in records
  }


def machine(record):
  """What a record was measured on, in words."""
  words = ['a machine that was not noted']
  if record['machine']:
    words = ['{cores} cores of {processor}'.format_map(record['machine'])]
  for name, version in (record['versions'] or {}).items():
    words.append(f'{"Python" if name == "python" else name} {version}')
  return ', '.join([*words, *filter(None, [record.get('note')])])


def order(name):
  """Ours first, and the peers by name."""
  return not name.startswith('ours'), name


class Arm:
  """The runs of one arm at one size and depth.

  Attributes:
    name: Its name.
    runs: List of dictionaries, of `flat`.
    stable: Learning rates, from the lowest one to the highest in a row, at
      which all runs were finite and ended below their start.
    best: Lowest mean over seeds of held-out bits/dim; with `best_rate`, its
      learning rate, and `best_values`, those of its seeds.
    useful: Stable rates that end within half a bit of it.
  """

  def __init__(self, name, runs):
    self.name = name
    self.runs = runs
    self.stable = []
    curve = rate_curve(runs)
    for rate, _, _ in curve:
      at_rate = [run for run in runs if run['learning_rate'] == rate]
      if all(run['finite'] and not is_above_start(run) for run in at_rate):
        self.stable.append(rate)
      elif self.stable:
        break
    values = {rate: v for rate, v, num_not_finite in curve
              if not num_not_finite}
    means = {rate: statistics.mean(v) for rate, v in values.items()}
    self.best_rate = min(means, key=means.get)
    self.best = means[self.best_rate]
    self.best_values = values[self.best_rate]
    self.useful = [r for r in self.stable if means[r] <= self.best + _NEAR_BEST]

  def at_stable_rates(self, name):
    """What was measured in these runs."""
    return [r[name] for r in self.runs if r['learning_rate'] in self.stable]

  def error(self, kind):
    """Largest error of a round trip; `None` if one is not finite or none is."""
    errors = self.at_stable_rates('reconstruction')
    return largest([error.get(kind) for error in errors])

  def measured(self, name):
    """All dictionaries of that name of the runs that are finite."""
    return [run[name] for run in self.runs if run['finite'] and name in run]


def is_above_start(run):
  """Whether held-out bits/dim ended above what they were at the start."""
  return run['finite'] and run['end'] > run['start']


def best_of_peers(runs):
  """Lowest bits/dim at the end of a peer without parts of ours; infinite."""
  return min(
      (
          run['end']
          for run in runs
          if run['end'] is not None
          and not run['arm'].startswith('ours')
          and not run['arm'].endswith('with curves')
      ),
      default=math.inf,
  )


def seconds_to(run, target):
  """Seconds to the first evaluation at `target` or below, start-up included.

  `None` if it never was there.
  """
  return next(
      (
          run['setup_seconds'] + seconds
          for _, seconds, value in run['held_out']
          if value is not None and value <= target
      ),
      None,
  )


def largest(values):
  """The largest; `None` if one is not finite, or without any."""
  return None if None in values else max(values, default=None)


def summaries(runs):
  """Lists of `Arm`, ours first, by size, depth and number of steps."""
  groups = {}
  for run in runs:
    key = run['size'], run['depth'], run['train_steps']
    groups.setdefault(key, {}).setdefault(run['arm'], []).append(run)
  return {
      key: [Arm(name, group[name]) for name in sorted(group, key=order)]
      for key, group in sorted(groups.items())
  }


def rate_curve(runs):
  """Held-out bits/dim at the end of an arm's runs, by learning rate.

  Returns:
    List of `(rate, values, num_not_finite)`, in the order of the rates.
  """
  ends = {}
  for run in sorted(runs, key=lambda run: run['learning_rate']):
    ends.setdefault(run['learning_rate'], []).append(run['end'])
  return [
      (rate, [x for x in values if x is not None], values.count(None))
      for rate, values in ends.items()
  ]
