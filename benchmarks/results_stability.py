"""The sections of docs/results.md on what `stability.py` measured."""
# ruff: noqa: E501  A row of a table is one line of Markdown.

import stability_arms

__all__ = [
    'READING',
    'error_cell',
    'long_section',
    'picture_name',
    'schedule_section',
    'stability_section',
]

READING = """
How to read the tables. *Not finite*, *above start*: runs whose loss stopped
being a number, or whose held-out bits/dim ended above what they were before the
first step. *Stable rates*: in a row from the lowest one, with neither at any
seed. *Worst excursion*: how far the loss of a batch rose above its lowest value
before, in bits/dim, at stable rates; batches differ by about one. *Best*: at the
arm's best rate, the mean over seeds (and the largest difference between two; *one
seed*, where other rates have more).
*Round trips*: what comes back after the flow and its inverse, in float32: the
largest error of a pixel, of the range of pixels, after training at any stable
rate. *Certified*: the largest of the logarithms of the certified constants of
the non-linear part and its inverse. *Of its bound*: the largest error of a
recomputed input of a level's steps, as a part of what is certified.
"""

_STABILITY = """
## Stability: {size}x{size} crops, {depth} steps a level, {steps} steps

`{command}`: {num_runs} runs, at {num_rates} learning rates from {lowest:g} to
{highest:g}, {seeds}.{fewer}

| arm | parameters | not finite | above start | stable rates | within half a bit of its best | worst excursion | best held-out bits/dim | at rate |
|---|---|---|---|---|---|---|---|---|
{rows}

![bits/dim against learning rate](images/{picture})

Round trips:

| arm | held out | inverted | one grey | noise | certified | of its bound |
|---|---|---|---|---|---|---|
{errors}
"""

_LONG = """
## {steps:,} steps: {size}x{size} crops, {depth} steps a level

`{command}`: each arm at a learning rate of its own, {seeds}.

| arm | learning rate | not finite | held-out bits/dim at the start | at the end | worst excursion | round trip of noise images |
|---|---|---|---|---|---|---|
{rows}
"""

_SCHEDULE = """
## A cosine schedule: {size}x{size} crops, {depth} steps a level, {steps} steps

`{command} --schedule=cosine`: the learning rate goes down to zero along half a
cosine, for all arms, {seeds}. Beside it the best constant rate of the table
above.{fewer}

| arm | not finite | best with a cosine | at rate | best constant | at rate | gained |
|---|---|---|---|---|---|---|
{rows}
"""


def stability_section(key, arms, runs):
  """The section of one size and depth.

  Args:
    key: `(size, depth, train_steps)`.
    arms: List of `ArmSummary`.
    runs: Their runs.

  Returns:
    Markdown.
  """
  size, depth, steps = key
  arms = sorted(arms, key=lambda arm: _order(arm.arm))
  rates = sorted({run['learning_rate'] for run in runs})
  return _STABILITY.format(
      size=size,
      depth=depth,
      steps=steps,
      command=_command(key, runs),
      num_runs=len(runs),
      num_rates=len(rates),
      lowest=rates[0],
      highest=rates[-1],
      seeds=_seeds(runs),
      fewer=_fewer_rates(runs, rates),
      rows='\n'.join(map(_stability_row, arms)),
      errors='\n'.join(map(_error_row, arms)),
      picture=picture_name(key),
  )


def long_section(key, arms, runs):
  """The section of runs of many steps, one learning rate for each arm.

  Args:
    key: `(size, depth, train_steps)`.
    arms: List of `ArmSummary`.
    runs: Their runs.

  Returns:
    Markdown.
  """
  size, depth, steps = key
  rows = []
  for arm in sorted(arms, key=lambda arm: _order(arm.arm)):
    starts = [run['start'] for run in runs if run['arm'] == arm.arm]
    cells = [
        arm.arm,
        f'{arm.best_rate:g}',
        f'{arm.num_not_finite} of {arm.num_runs}',
        f'{sum(starts) / len(starts):.3f}',
        _best(arm),
        _or_nothing(arm.worst_excursion, '.2f'),
        error_cell(arm.error.get('noise')),
    ]
    rows.append(f'| {" | ".join(cells)} |')
  return _LONG.format(
      size=size,
      depth=depth,
      steps=steps,
      command=_command(key, runs),
      seeds=_seeds(runs),
      rows='\n'.join(rows),
  )


def schedule_section(key, arms, runs, constant):
  """The section of runs with a cosine schedule.

  Args:
    key: `(size, depth, train_steps)`.
    arms: List of `ArmSummary`.
    runs: Their runs.
    constant: List of `ArmSummary` of the same arms at constant rates.

  Returns:
    Markdown.
  """
  size, depth, steps = key
  constant = {arm.arm: arm for arm in constant}
  rows = []
  for arm in sorted(arms, key=lambda arm: _order(arm.arm)):
    other = constant[arm.arm]
    cells = [
        arm.arm,
        f'{arm.num_not_finite} of {arm.num_runs}',
        _best(arm),
        f'{arm.best_rate:g}',
        _best(other),
        f'{other.best_rate:g}',
        f'{other.best - arm.best:.3f}',
    ]
    rows.append(f'| {" | ".join(cells)} |')
  rates = sorted({run['learning_rate'] for run in runs})
  return _SCHEDULE.format(
      size=size,
      depth=depth,
      steps=steps,
      command=_command(key, runs),
      seeds=_seeds(runs),
      fewer=_fewer_rates(runs, rates),
      rows='\n'.join(rows),
  )


def picture_name(key):
  """File name of a picture of learning rates."""
  return 'stability_{}_{}_{}.png'.format(*key)


def error_cell(value):
  """A reconstruction error, `None` for one that is not finite."""
  return 'not finite' if value is None else f'{value:.1e}'


def _command(key, runs):
  """The command whose runs these are."""
  size, depth, steps = key
  seeds = sorted({str(run['seed']) for run in runs})
  arms = {run['arm'] for run in runs}
  command = f'python benchmarks/stability.py --sizes={size} --depths={depth}'
  command += f' --seeds={",".join(seeds)} --train_steps={steps}'
  if arms != set(stability_arms.NAMES):
    command += f' --arms="{",".join(sorted(arms, key=_order))}"'
  return command


def _order(name):
  """Ours first, and the peers by name."""
  return not name.startswith('ours'), name


def _seeds(runs):
  """How many seeds, in words, and which arms have fewer."""
  seeds = {}
  for run in runs:
    seeds.setdefault(run['arm'], set()).add(run['seed'])
  most = max(map(len, seeds.values()))
  words = f'{most} seed' + ('s' if most > 1 else '')
  fewer = [name for name, own in seeds.items() if len(own) < most]
  if fewer:
    words += f' (fewer of {", ".join(sorted(fewer, key=_order))})'
  rates = {(run['arm'], run['learning_rate']) for run in runs}
  if len(runs) < sum(len(seeds[arm]) for arm, _ in rates):
    words += ', not all of them at each rate'
  return words


def _fewer_rates(runs, rates):
  """Which arms were not run at all rates, in words."""
  arms = {}
  for run in runs:
    arms.setdefault(run['arm'], set()).add(run['learning_rate'])
  return ''.join(
      f' Of {name} only at {", ".join(f"{rate:g}" for rate in sorted(own))}.'
      for name, own in sorted(arms.items(), key=lambda item: _order(item[0]))
      if len(own) < len(rates)
  )


def _range(rates, width):
  if not rates:
    return 'none'
  return f'{rates[0]:g} to {rates[-1]:g} ({width:.0f}x)'


def _or_nothing(value, spec):
  return '' if value is None else format(value, spec)


def _best(arm):
  if arm.num_best > 1:
    return f'{arm.best:.3f} ({arm.spread:.3f})'
  return f'{arm.best:.3f}' + (' (one seed)' if arm.num_seeds > 1 else '')


def _stability_row(arm):
  cells = [
      arm.arm,
      f'{arm.parameters:,}',
      f'{arm.num_not_finite} of {arm.num_runs}',
      str(arm.num_above_start),
      _range(arm.stable, arm.width),
      _range(arm.useful, arm.useful_width),
      _or_nothing(arm.worst_excursion, '.2f'),
      _best(arm),
      f'{arm.best_rate:g}',
  ]
  return f'| {" | ".join(cells)} |'


def _error_row(arm):
  kinds = ('held out', 'inverted', 'constant', 'noise')
  cells = [arm.arm, *(error_cell(arm.error.get(kind)) for kind in kinds)]
  constant = arm.log_lipschitz
  cells.append('none' if constant is None else f'{constant:.2f}')
  cells.append(_or_nothing(arm.of_certified, '.1e'))
  return f'| {" | ".join(cells)} |'
