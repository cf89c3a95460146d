"""Writes docs/results.md, and its pictures, from what the benchmarks measured.

Every number on the page comes from benchmarks/results; run this after a
benchmark has written there.

  python benchmarks/results_page.py
"""

import json
import math
import pathlib

import results_pictures
import results_sections
import results_stability
import stability_summary

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / 'benchmarks' / 'results'
_STABILITY = _RESULTS / 'stability.jsonl'

# Runs of more steps have one learning rate for each arm.
_SHORT_STEPS = 300

_INTRODUCTION = """# Results

Bounded flows that start at the optimum, beside `tfb.Glow` and normflows' Glow:
what was measured, and what was not. This page is written by
`python benchmarks/results_page.py` from the files in `benchmarks/results`.

All arms of a comparison have the same levels, steps and widths of networks (up
to 14 % more for a peer that would be smaller), numbers of parameters within
{parameters} % (tables below), and see the same images in the same order with
the same noise: random crops of the left three quarters of scikit-learn's
two photographs, 32 in a step, after a linear warm-up of the learning rate over
50 steps, with Adam. Held out are 512 crops of the right-hand quarters. Weights
are those of the last step, without averaging, for all arms.
"""

_LIMITS = """
## Limits

* Two photographs, crops of one size at a time, and networks of one width. Other
  data may order the arms otherwise.
* Large photographs: one seed, 100 steps, small batches, a dozen photographs. It
  shows that nothing diverges, and what a good start is worth, not where
  training ends.
* Sizes and depths that are not above were not run.
* The peers have their libraries' default initialisation and networks, but the
  warm-up and (unless an arm says otherwise) the clipping of ours.
* *Ours unbounded* still has the scalings, whose constants are bounded, and
  starts at the optimum.
"""

_WALL_CLOCKS = (
    (
        'wall_clock',
        '32x32 crops of photographs',
        'python benchmarks/wall_clock.py',
        '',
    ),
    (
        'wall_clock_fashion',
        'Fashion-MNIST',
        'python benchmarks/wall_clock.py --fashion_mnist=FOLDER '
        '--num_levels=2 --arms="ours with curves=3e-3,ours without budget with '
        'curves=3e-3,tfb.Glow=3e-3,tfb.Glow with curves=3e-3,normflows=1e-2,'
        'normflows=3e-3"',
        '*With curves*: our `MarginalGaussianization` between images and flow, '
        'before `tfb.Glow`, too, as an ablation.',
    ),
)
_HIGH_RESOLUTIONS = (
    (
        'high_resolution_256',
        'python benchmarks/high_resolution.py --photos=FOLDER',
    ),
    (
        'high_resolution_1024',
        'python benchmarks/high_resolution.py --photos=FOLDER '
        '--image_size=1024 --num_levels=6 --num_steps=8 --batch_size=1 '
        '--num_crops=48 --num_held_out=8 --arms=ours=3e-4',
    ),
)


def _report(stem):
  """What a benchmark wrote; `None` if it has not been run."""
  path = _RESULTS / f'{stem}.json'
  if not path.exists():
    return None
  return json.loads(path.read_text(encoding='utf-8'))


def page():
  """The page, Markdown."""
  runs = stability_summary.read_runs(_STABILITY)
  groups = stability_summary.summaries(runs)
  scheduled_runs = stability_summary.read_runs(_STABILITY, 'cosine')
  scheduled = stability_summary.summaries(scheduled_runs)
  counts = [[arm.parameters for arm in arms] for arms in groups.values()]
  apart = max(max(group) / min(group) - 1.0 for group in counts)
  parts = [
      _INTRODUCTION.format(parameters=math.ceil(100.0 * apart)),
      results_stability.READING,
  ]
  for key, arms in groups.items():
    section = (
        results_stability.long_section
        if key[2] > _SHORT_STEPS
        else results_stability.stability_section
    )
    parts.append(section(key, arms, _of(runs, key)))
    if key in scheduled:
      parts.append(
          results_stability.schedule_section(
              key, scheduled[key], _of(scheduled_runs, key), arms
          )
      )
  if report := _report('singular_values'):
    parts.append(
        results_sections.singular_values_section(report, 'singular_values.png')
    )
  for stem, title, command, notes in _WALL_CLOCKS:
    if report := _report(stem):
      parts.append(
          results_sections.wall_clock_section(
              report, title, command, f'{stem}.png', notes
          )
      )
  for stem, command in _HIGH_RESOLUTIONS:
    if report := _report(stem):
      parts.append(results_sections.high_resolution_section(report, command))
  if report := _report('fashion_mnist'):
    parts.append(results_sections.fashion_mnist_section(report))
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
  images = docs / 'images'
  runs = stability_summary.read_runs(_STABILITY)
  for key in stability_summary.summaries(runs):
    if key[2] <= _SHORT_STEPS:
      results_pictures.plot_rates(
          images / results_stability.picture_name(key), _of(runs, key)
      )
  for stem, *_ in _WALL_CLOCKS:
    if report := _report(stem):
      results_pictures.plot_seconds(images / f'{stem}.png', report['runs'])
  if report := _report('singular_values'):
    results_pictures.plot_singular_values(
        images / 'singular_values.png', report['runs']
    )


if __name__ == '__main__':
  main()
