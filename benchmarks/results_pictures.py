"""Pictures of docs/results.md."""

import math
import statistics

import matplotlib

matplotlib.use('agg')

from matplotlib import pyplot as plt
import numpy as np
import stability_summary

__all__ = ['plot_rates', 'plot_seconds', 'plot_singular_values']

# The libraries by line, their variants by colour, the first one the library's
# own name.
_COLOURS = {
    'ours': (
        'tab:blue', 'tab:cyan', 'navy', 'tab:purple', 'black', 'orchid', 'grey'
    ),
    'tfb.Glow': ('tab:red', 'tab:orange'),
    'normflows': ('tab:green', 'olive', 'limegreen', 'darkseagreen'),
}
_LINES = {'ours': '-', 'tfb.Glow': '--', 'normflows': ':'}


def _styles(names):
  """Dictionary from arms to arguments of `plot`."""
  styles = {}
  for library, colours in _COLOURS.items():
    own = sorted(name for name in names if name.startswith(library))
    for name, colour in zip(own, colours, strict=False):
      styles[name] = {
          'color': colour,
          'linestyle': _LINES[library],
          'linewidth': 3.0 if name == library else 1.5,
          'label': name,
      }
  return styles


def plot_rates(path, runs):
  """Held-out bits/dim at the end against the learning rate.

  Crosses at the upper edge, a row for each arm: rates at which a run was not
  finite. What ends above the picture is drawn below the crosses.

  Args:
    path: PNG file to write.
    runs: Runs of one size and depth.
  """
  arms = {}
  for run in runs:
    arms.setdefault(run['arm'], []).append(run)
  styles = _styles(arms)
  curves = {
      name: stability_summary.rate_curve(arms[name]) for name in styles
  }
  rates = sorted({rate for c in curves.values() for rate, _, _ in c})
  lowest = min(min(v) for c in curves.values() for _, v, _ in c if v)
  top = max(run['start'] for run in runs if run['arm'].startswith('ours')) + 0.5
  figure, axes = plt.subplots(figsize=(8, 5), layout='constrained')
  for i, (name, style) in enumerate(styles.items()):
    # No line across a rate that others have and this one has not.
    finite = dict.fromkeys(rates, math.nan)
    finite.update(
        (rate, min(statistics.mean(values), top))
        for rate, values, num_not_finite in curves[name]
        if not num_not_finite
    )
    axes.plot(finite.keys(), finite.values(), marker='o', markersize=4, **style)
    failed = [rate for rate, _, count in curves[name] if count]
    axes.plot(
        failed,
        [top + 0.12 * i] * len(failed),
        linestyle='none',
        marker='x',
        markersize=7,
        color=style['color'],
    )
  axes.set_xscale('log')
  axes.set_ylim(lowest - 0.1, top + 0.12 * len(styles))
  axes.set_xlabel('learning rate')
  axes.set_ylabel('held-out bits/dim (x: not finite)')
  axes.grid(alpha=0.3)
  axes.legend(fontsize=8, loc='center left', bbox_to_anchor=(1, 0.5))
  figure.savefig(path, dpi=110)
  plt.close(figure)


def _best(runs):
  """The best run of each arm, if it was tried at several rates."""
  best = {}
  for run in sorted(runs, key=lambda r: (r['end'] is None, r['end'])):
    best.setdefault(run['arm'], run)
  return list(best.values())


def plot_seconds(path, runs):
  """Held-out bits/dim against seconds of training.

  Args:
    path: PNG file to write.
    runs: What `wall_clock.py` measured; the best of each arm is shown.
  """
  figure, axes = plt.subplots(figsize=(8, 4.5), layout='constrained')
  ends = [run['end'] for run in runs if run['end'] is not None]
  styles = _styles({run['arm'] for run in runs})
  for run in _best(runs):
    points = [
        (run['setup_seconds'] + seconds, value)
        for _, seconds, value in run['held_out']
        if value is not None
    ]
    axes.plot(*zip(*points, strict=True), marker='.', **styles[run['arm']])
  axes.set_ylim(min(ends) - 0.1, max(ends) + 1.5)
  axes.set_xlabel('seconds of training')
  axes.set_ylabel('held-out bits/dim')
  axes.grid(alpha=0.3)
  axes.legend()
  figure.savefig(path, dpi=110)
  plt.close(figure)


def plot_singular_values(path, runs):
  """The smallest, median and largest local singular value over training.

  Args:
    path: PNG file to write.
    runs: What `singular_values.py` measured, one run for each arm.
  """
  kinds = ('held out', 'noise')
  figure, panels = plt.subplots(
      1, len(kinds), figsize=(10, 4.5), sharey=True, layout='constrained'
  )
  styles = _styles({run['arm'] for run in runs})
  for kind, axes in zip(kinds, panels, strict=True):
    for run in runs:
      style = dict(styles[run['arm']])
      spectra = run['log_singular_values']
      steps = [step for step, _ in spectra]
      for i, width in enumerate((1.5, 0.8, 1.5)):
        values = [
            np.nan if values[kind][i] is None else values[kind][i]
            for _, values in spectra
        ]
        axes.plot(steps, values, **{**style, 'linewidth': width})
        style['label'] = None
    axes.set_title(f'at an image: {kind}')
    axes.set_xlabel('step')
    axes.grid(alpha=0.3)
  panels[0].set_ylabel('log singular values: smallest, median, largest')
  panels[0].legend(fontsize=8)
  figure.savefig(path, dpi=110)
  plt.close(figure)
