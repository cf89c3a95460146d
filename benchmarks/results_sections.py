"""The sections of docs/results.md beside those of `stability.py`."""
# ruff: noqa: E501  A row of a table is one line of Markdown.

import math

from results_stability import error_cell

__all__ = [
    'fashion_mnist_section',
    'high_resolution_section',
    'singular_values_section',
    'wall_clock_section',
]

_WALL_CLOCK = """
## At equal time: {title}

`{command}`: {minutes:g} minutes for each arm alone on {machine}, at a learning
rate of its own; what it computes and compiles before its first step counts,
evaluations do not.{notes}

| arm | parameters | learning rate | steps | held-out bits/dim after {quarter:g} s | after {half:g} s | at the end | round trip of noise images |
|---|---|---|---|---|---|---|---|
{rows}

![bits/dim against seconds](images/{picture})
"""

_SINGULAR_VALUES = """
## Local singular values

`python benchmarks/singular_values.py`: logarithms of the smallest, median and
largest singular value of the Jacobian from images to latents, of {size}x{size}
crops, {depth} steps a level, after {steps} steps at a learning rate of {rate:g}
(before the first one for ours, which starts at the optimum: {start}). Between
the smallest and the largest, in exponents, is what an error can grow by there and
back.

| arm | held out: smallest | median | largest | noise: smallest | median | largest | certified of the whole flow |
|---|---|---|---|---|---|---|---|
{rows}

![singular values over training](images/{picture})
"""

_HIGH_RESOLUTION = """
## Large photographs: {size}x{size}

`{command}`: {levels} levels of {depth} steps, batches of {batch}, {steps}
steps; held out are crops of other photographs. The best circulant linear flow,
fitted in closed form to the same crops, reaches {train:.3f} bits/dim of them and
{held_out:.3f} of those held out. The flows have the same levels, steps and widths, not
the same number of parameters.

| arm | parameters | learning rate | held-out bits/dim at the start | {evaluations} | worst excursion | round trip of noise images | seconds a step | peak MiB |
|---|---|---|---|{rules}|---|---|---|---|
{rows}
"""

_FASHION_MNIST = """
## Fashion-MNIST

`python benchmarks/fashion_mnist.py --images=FOLDER --workdir=RUN`: the 60,000
training images, {steps:,} steps of {batch}, {minutes:.0f} minutes on {cores} cores, evaluations
included; averaged weights, a cosine down to zero. {levels} levels of {depth} steps, width
{width}, the curves of `gaussianize_marginals` first, and no budget for the
non-linear part.

| step | {steps_row} |
|---|{rules}|
| bits/dim of 1024 test images | {values_row} |

**{test:.4f} bits/dim** of all {test_images:,} test images, mean of {draws} draws of uniform
dequantisation noise ({best:.4f} with the checkpoint that was best on the 1024).
Published: 3.141 for a Glow with 69.4 million parameters, a public notebook's
output; 2.958 recalled from Nalisnick et al. (2018), not verified.{note}
"""


def wall_clock_section(report, title, command, picture, notes=''):
  """The section of a comparison at equal time.

  Args:
    report: As `wall_clock.py` writes it.
    title: What it was trained on.
    command: That made it.
    picture: File name.
    notes: What else there is to say of it.

  Returns:
    Markdown.
  """
  seconds = report['conditions']['seconds']
  rows = []
  for run in report['runs']:
    cells = [
        run['arm'],
        f'{run["parameters"]:,}',
        f'{run["learning_rate"]:g}',
        f'{run["num_steps"]:,}',
        _value(_at_second(run, seconds / 4)),
        _value(_at_second(run, seconds / 2)),
        _value(run['end']),
        _noise_error(run),
    ]
    rows.append(f'| {" | ".join(cells)} |')
  return _WALL_CLOCK.format(
      title=title,
      command=command,
      minutes=seconds / 60,
      machine=report['conditions']['machine'],
      quarter=seconds / 4,
      half=seconds / 2,
      rows='\n'.join(rows),
      picture=picture,
      notes=f' {notes}' if notes else '',
  )


def singular_values_section(report, picture):
  """The section of local singular values.

  Args:
    report: As `singular_values.py` writes it.
    picture: File name.

  Returns:
    Markdown.
  """
  conditions, rows = report['conditions'], []
  for run in report['runs']:
    cells = [run['arm']]
    for kind in ('held out', 'noise'):
      _, values = run['log_singular_values'][-1]
      cells.extend(_value(value, '.2f') for value in values[kind])
    cells.append(_certified(run.get('log_lipschitz')))
    rows.append(f'| {" | ".join(cells)} |')
  ours = next(run for run in report['runs'] if run['arm'] == 'ours')
  _, start = ours['log_singular_values'][0]
  return _SINGULAR_VALUES.format(
      size=conditions['image_size'],
      depth=conditions['num_steps'],
      steps=conditions['train_steps'],
      rate=ours['learning_rate'],
      start=' '.join(_value(value, '.2f') for value in start['held out']),
      rows='\n'.join(rows),
      picture=picture,
  )


def high_resolution_section(report, command):
  """The section of large photographs of one size.

  Args:
    report: As `high_resolution.py` writes it.
    command: That made it.

  Returns:
    Markdown.
  """
  conditions, rows = report['conditions'], []
  most = max(report['runs'], key=lambda run: len(run['held_out']))
  evaluated = [step for step, _, _ in most['held_out']][1:]
  for run in report['runs']:
    values = {step: value for step, _, value in run['held_out']}
    cells = [
        run['arm'],
        f'{run["parameters"]:,}',
        f'{run["learning_rate"]:g}',
        _value(run['start']),
        *(_value(values.get(step)) for step in evaluated),
        _value(run['worst_excursion'], '.2f'),
        _noise_error(run),
        f'{run["seconds"] / run["num_steps"]:.1f}',
        f'{run["peak_mib"]:,.0f}',
    ]
    rows.append(f'| {" | ".join(cells)} |')
  return _HIGH_RESOLUTION.format(
      size=conditions['image_size'],
      command=command,
      levels=conditions['num_levels'],
      depth=conditions['num_steps'],
      batch=conditions['batch_size'],
      steps=conditions['train_steps'],
      **conditions['circulant_optimum'],
      evaluations=' | '.join(f'step {step}' for step in evaluated),
      rules='|'.join(['---'] * len(evaluated)),
      rows='\n'.join(rows),
  )


def fashion_mnist_section(report):
  """The section of Fashion-MNIST, from what `fashion_mnist.py` writes."""
  recipe, held_out = report['recipe'], report['held_out']
  return _FASHION_MNIST.format(
      steps=report['train_steps'],
      batch=recipe['batch_size'],
      minutes=report['seconds'] / 60,
      cores=report['cores'],
      levels=recipe['num_levels'],
      depth=recipe['num_steps'],
      width=recipe['hidden_channels'],
      steps_row=' | '.join(str(step) for step, _, _ in held_out),
      rules='|'.join(['---'] * len(held_out)),
      values_row=' | '.join(f'{value:.3f}' for _, _, value in held_out),
      test=report['test_bits_per_dim']['latest'],
      best=report['test_bits_per_dim']['best'],
      test_images=report['test_images'],
      draws=report['draws'],
      # What has changed since, of a run that was not made again.
      note=f' {report["note"]}' if 'note' in report else '',
  )


def _certified(parts):
  """Between what all singular values of images to latents are."""
  if parts is None or any(None in part for part in parts.values()):
    return 'none'
  forward, inverse = map(sum, zip(*parts.values(), strict=True))
  return f'{-forward:.2f} to {inverse:.2f}'


def _value(value, spec='.3f'):
  """A number, `None` for one that is not finite."""
  if value is None or not math.isfinite(value):
    return 'not finite'
  return format(value, spec)


def _noise_error(run):
  """What comes back of images of noise after a run."""
  errors = run['reconstruction']
  return error_cell(errors['noise'] if errors else None)


def _at_second(run, seconds):
  """The last evaluation before a time; making the arm counts."""
  times = [
      value
      for _, when, value in run['held_out']
      if run['setup_seconds'] + when <= seconds
  ]
  return times[-1] if times else None
