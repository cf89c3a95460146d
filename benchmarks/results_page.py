"""Writes docs/results.md, and its pictures, from what the benchmarks measured.

Every number on the page comes from benchmarks/results; run this after a
benchmark has written there.

  python benchmarks/results_page.py
"""
# ruff: noqa: E501  A row of a table is one line of Markdown.

import json
import math
import pathlib

import results_pictures
import stability_arms
import stability_summary

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / 'benchmarks' / 'results'

_INTRODUCTION = """# Results

Bounded flows that start at the optimum, beside `tfb.Glow` and normflows' Glow:
what was measured, and what was not. This page is written by
`python benchmarks/results_page.py` from the files in `benchmarks/results`.

All arms of a comparison have the same levels, steps and widths, numbers of
parameters within {parameters} % (tables below), and see the same images in the same order
with the same noise: random crops of the left three quarters of scikit-learn's
two photographs, 32 in a step, after a linear warm-up of the learning rate over
50 steps, with Adam. Held out are 512 crops of the right-hand quarters. Weights
are those of the last step, without averaging, for all arms.
"""

_STABILITY = """
## Stability: {size}x{size} crops, {depth} steps a level, {steps} steps

`{command}`: {num_runs} runs, at {num_rates} learning rates from {lowest:g} to
{highest:g}.

| arm | parameters | not finite | above start | stable rates | within half a bit of its best | worst excursion | best held-out bits/dim | at rate |
|---|---|---|---|---|---|---|---|---|
{rows}

*Not finite*, *above start*: runs whose loss stopped being a number, or whose
held-out bits/dim ended above what they were before the first step. *Stable
rates*: in a row from the lowest one, with neither at any seed; the tested rates
end at {highest:g}. *Worst excursion*: how far the loss of a batch rose above its
lowest value before, in bits/dim, at stable rates; batches differ by about one.
*Best*: at the arm's best rate, the mean over seeds (and the largest difference
between two).

![bits/dim against learning rate](images/{picture})

What comes back after the flow and its inverse, in float32: the largest error of
a pixel, of the range of pixels, after training at any stable rate.

| arm | held out | inverted | one grey | noise | certified log-constant, non-linear part | error of recomputed inputs, of its certified bound |
|---|---|---|---|---|---|---|
{errors}
"""

_WALL_CLOCK = """
## At equal time: {title}

`{command}`: {minutes:g} minutes for each arm alone on {cores} cores, at a learning
rate of its own; what it compiles before its first step counts.

| arm | learning rate | steps | held-out bits/dim after {quarter:g} s | after {half:g} s | at the end | round trip of noise images | peak MiB |
|---|---|---|---|---|---|---|---|
{rows}

![bits/dim against seconds](images/{picture})
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
output; 2.958 recalled from Nalisnick et al. (2018), not verified.
"""

_LIMITS = """
## Limits

* Two photographs, crops of one size at a time, and networks of one width. Other
  data may order the arms otherwise.
* Sizes and depths that are not above were not run.
* The peers have their libraries' default initialisation and networks, but the
  warm-up and (unless an arm says otherwise) the clipping of ours.
* *Ours unbounded* still has the scalings, whose constants are bounded, and
  starts at the optimum.
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
      rows='\n'.join(map(_stability_row, arms)),
      errors='\n'.join(map(_error_row, arms)),
      picture=picture_name(key),
  )


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


def picture_name(key):
  """File name of a picture of learning rates."""
  return 'stability_{}_{}_{}.png'.format(*key)


def _order(name):
  """Ours first, and the peers by name."""
  return not name.startswith('ours'), name


def _range(rates, width):
  if not rates:
    return 'none'
  return f'{rates[0]:g} to {rates[-1]:g} ({width:.0f}x)'


def _stability_row(arm):
  cells = [
      arm.arm,
      f'{arm.parameters:,}',
      f'{arm.num_not_finite} of {arm.num_runs}',
      str(arm.num_above_start),
      _range(arm.stable, arm.width),
      _range(arm.useful, arm.useful_width),
      '' if arm.worst_excursion is None else f'{arm.worst_excursion:.2f}',
      f'{arm.best:.3f}'
      + (f' ({arm.spread:.3f})' if arm.num_seeds > 1 else ''),
      f'{arm.best_rate:g}',
  ]
  return f'| {" | ".join(cells)} |'


def _error(value):
  return 'not finite' if value is None else f'{value:.1e}'


def _error_row(arm):
  kinds = ('held out', 'inverted', 'constant', 'noise')
  cells = [arm.arm, *(_error(arm.error.get(kind)) for kind in kinds)]
  constant = arm.log_lipschitz
  cells.append('none' if constant is None else f'{constant:.2f}')
  ratio = arm.of_certified
  cells.append('' if ratio is None else f'{ratio:.1e}')
  return f'| {" | ".join(cells)} |'


def wall_clock_section(report, title, command, picture):
  """The section of a comparison at equal time.

  Args:
    report: As `wall_clock.py` writes it.
    title: What it was trained on.
    command: That made it.
    picture: File name.

  Returns:
    Markdown.
  """
  seconds = report['seconds']
  rows = []
  for name, arm in report['arms'].items():
    noise = arm['reconstruction'] and arm['reconstruction']['noise']
    cells = [
        name,
        f'{arm["learning_rate"]:g}',
        f'{arm["num_steps"]:,}',
        _at(arm, seconds / 4),
        _at(arm, seconds / 2),
        'not finite' if arm['end'] is None else f'{arm["end"]:.3f}',
        _error(noise),
        f'{arm["peak_mib"]:.0f}',
    ]
    rows.append(f'| {" | ".join(cells)} |')
  return _WALL_CLOCK.format(
      title=title,
      command=command,
      minutes=seconds / 60,
      cores=report['cores'],
      quarter=seconds / 4,
      half=seconds / 2,
      rows='\n'.join(rows),
      picture=picture,
  )


def _at(arm, seconds):
  """The last evaluation before a time."""
  values = [v for _, when, v in arm['held_out'] if when <= seconds]
  return 'not finite' if values[-1] is None else f'{values[-1]:.3f}'


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
  )


def _wall_clocks():
  """What was measured at equal time: reports with their words."""
  for stem, title, command in (
      (
          'wall_clock',
          '32x32 crops of photographs',
          'python benchmarks/wall_clock.py',
      ),
      (
          'wall_clock_fashion',
          'Fashion-MNIST',
          'python benchmarks/wall_clock.py --fashion_mnist=FOLDER '
          '--num_levels=2',
      ),
  ):
    path = _RESULTS / f'{stem}.json'
    if path.exists():
      report = json.loads(path.read_text(encoding='utf-8'))
      yield report, title, command, f'{stem}.png'


def page():
  """The page, Markdown."""
  runs = stability_summary.read_runs(_RESULTS / 'stability.jsonl')
  groups = stability_summary.summaries(runs)
  counts = [[arm.parameters for arm in arms] for arms in groups.values()]
  apart = max(max(group) / min(group) - 1.0 for group in counts)
  parts = [_INTRODUCTION.format(parameters=math.ceil(100.0 * apart))]
  for key, arms in groups.items():
    parts.append(stability_section(key, arms, _of(runs, key)))
  for report, title, command, picture in _wall_clocks():
    parts.append(wall_clock_section(report, title, command, picture))
  fashion_mnist = _RESULTS / 'fashion_mnist.json'
  if fashion_mnist.exists():
    report = json.loads(fashion_mnist.read_text(encoding='utf-8'))
    parts.append(fashion_mnist_section(report))
  return ''.join([*parts, _LIMITS])


def _of(runs, key):
  return [
      run
      for run in runs
      if (run['size'], run['depth'], run['train_steps']) == key
  ]


def main():
  """Writes page and pictures."""
  docs = _ROOT / 'docs'
  (docs / 'results.md').write_text(page(), encoding='utf-8')
  runs = stability_summary.read_runs(_RESULTS / 'stability.jsonl')
  for key in stability_summary.summaries(runs):
    results_pictures.plot_rates(
        docs / 'images' / picture_name(key), _of(runs, key)
    )
  for report, _, _, picture in _wall_clocks():
    results_pictures.plot_seconds(docs / 'images' / picture, report['arms'])


if __name__ == '__main__':
  main()
