"""Pictures of the results."""

import math
import statistics

from matplotlib.backends import backend_agg
from matplotlib.figure import Figure
import numpy as np

from report import runs as runs_lib

__all__ = ['draw']

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
# Runs of more steps have one learning rate for each arm.
_SHORT_STEPS = 300


def draw(folder, results):
  """Draws all pictures.

  Args:
    folder: Path of the images.
    results: Function of the name of a suite that returns its records.
  """
  runs = [runs_lib.flat(record) for record in results('stability')]
  groups = {}
  for run in runs:
    if run['schedule'] == 'constant' and run['train_steps'] <= _SHORT_STEPS:
      key = run['size'], run['depth'], run['train_steps']
      groups.setdefault(key, []).append(run)
  for key, group in groups.items():
    _draw_rates(folder / 'stability_{}_{}_{}.png'.format(*key), group)
  for suite in ('wall_clock', 'wall_clock_fashion'):
    own = [runs_lib.flat(record) for record in results(suite)]
    _draw_seconds(folder / f'{suite}.png', own)
  own = [runs_lib.flat(record) for record in results('singular_values')]
  _draw_singular_values(folder / 'singular_values.png', own)
  _draw_frontier(folder / 'budget_frontier.png', results('budget_frontier'))
  _draw_claims(folder / 'optimum_claims.png', {
      record['settings']['panel']: record['values']
      for record in results('optimum_claims')
  })


def _figure(*size):
  figure = Figure(figsize=size, layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  return figure


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


def _draw_rates(path, runs):
  """Held-out bits/dim at the end against the learning rate.

  Crosses at the upper edge, a row for each arm: rates at which a run was not
  finite. What ends above the picture is drawn below the crosses.
  """
  arms = {}
  for run in runs:
    arms.setdefault(run['arm'], []).append(run)
  styles = _styles(arms)
  curves = {name: runs_lib.rate_curve(arms[name]) for name in styles}
  rates = sorted({rate for c in curves.values() for rate, _, _ in c})
  lowest = min(min(v) for c in curves.values() for _, v, _ in c if v)
  top = max(run['start'] for run in runs if run['arm'].startswith('ours')) + 0.5
  figure = _figure(8, 5)
  axes = figure.add_subplot()
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


def _draw_seconds(path, runs):
  """Held-out bits/dim against seconds, of each arm at its best rate."""
  figure = _figure(8, 4.5)
  axes = figure.add_subplot()
  ends = [run['end'] for run in runs if run['end'] is not None]
  styles, best = _styles({run['arm'] for run in runs}), {}
  for run in sorted(runs, key=lambda r: (r['end'] is None, r['end'])):
    best.setdefault(run['arm'], run)
  for arm, run in best.items():
    points = [
        (run['setup_seconds'] + seconds, value)
        for _, seconds, value in run['held_out']
        if value is not None
    ]
    axes.plot(*zip(*points, strict=True), marker='.', **styles[arm])
  axes.set_ylim(min(ends) - 0.1, max(ends) + 1.5)
  axes.set_xlabel('seconds of training')
  axes.set_ylabel('held-out bits/dim')
  axes.grid(alpha=0.3)
  axes.legend()
  figure.savefig(path, dpi=110)


def _draw_singular_values(path, runs):
  """The smallest, median and largest local singular value over training."""
  kinds = ('held out', 'noise')
  figure = _figure(10, 4.5)
  panels = figure.subplots(1, len(kinds), sharey=True)
  styles = _styles({run['arm'] for run in runs})
  for kind, axes in zip(kinds, panels, strict=True):
    for run in runs:
      style = dict(styles[run['arm']])
      steps, spectra = zip(*run['log_singular_values'], strict=True)
      for i, width in enumerate((1.5, 0.8, 1.5)):
        values = np.array([v[kind][i] for v in spectra], np.float64)
        axes.plot(steps, values, **{**style, 'linewidth': width})
        style['label'] = None
    axes.set_title(f'at an image: {kind}')
    axes.set_xlabel('step')
    axes.grid(alpha=0.3)
  panels[0].set_ylabel('log singular values: smallest, median, largest')
  panels[0].legend(fontsize=8)
  figure.savefig(path, dpi=110)


def _draw_frontier(path, records):
  """Bits/dim against the budget; without a budget, a line."""
  records = [record for record in records if record['seed'] == 0]
  steps = records[0]['settings']['train_steps']
  ends = {
      r['settings']['lipschitz_budget']: r['values']['bits_per_dim']
      for r in records
  }
  best = ends.pop(None)
  figure = _figure(7, 4.2)
  axes = figure.add_subplot()
  axes.plot(*zip(*sorted(ends.items()), strict=True), 'o-', color='#4c78a8')
  for point in ends.items():
    axes.annotate(
        f'{point[1]:.2f}', point, textcoords='offset points', xytext=(6, 6)
    )
  axes.axhline(
      best, color='#e45756', linestyle='--', label=f'no budget: {best:.2f}'
  )
  axes.axhspan(best, best + 0.05, color='#e45756', alpha=0.1)
  axes.legend(frameon=False)
  axes.set_xlabel('budget: log Lipschitz constant of the non-linear part')
  axes.set_ylabel(f'held-out bits/dim after {steps} steps')
  axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(path, dpi=100)


def _draw_claims(path, panels):
  """What docs/likelihood_optimum.md claims, in four panels."""
  figure = _figure(10, 7)
  ascent, structures, ranks, bias = figure.subplots(2, 2).ravel()

  values = panels['ascent']
  for name, curve in values['curves'].items():
    ascent.semilogx(range(1, 1 + len(curve)), curve, label=name)
  best = values['optimum']
  ascent.axhline(best, color='0.3', linestyle='--', label=f'L* = {best:.2f}')
  ascent.set_xlabel('step of gradient ascent')
  ascent.set_ylabel('nats')
  ascent.set_title('Every parametrisation ends at L*')

  bits = panels['structures']['bits_per_dim']
  bars = structures.barh(list(bits), list(bits.values()), color='#4c78a8')
  structures.bar_label(bars, fmt='%.2f', padding=3)
  structures.invert_yaxis()
  structures.set_xlim(0, 9)
  structures.set_xlabel('bits/dim (lower is better)')
  structures.set_title('Optimum of 16x16 photograph tiles')

  values = panels['ranks']
  d = len(values['ours'])
  ranks.plot(range(1, d + 1), values['ours'], label='fo.likelihood_optimum')
  theirs = values['scikit-learn']
  ranks.plot(list(map(int, theirs)), theirs.values(), 'o', mfc='none',
             label='scikit-learn, PPCA')
  ranks.set_xlabel('rank q')
  ranks.set_ylabel('nats')
  ranks.set_title('Optimum of q free directions')

  values = panels['bias']
  for name, curve in values['curves'].items():
    x = np.array(values['samples']) / values['dimensions']
    bias.errorbar(x, curve['mean'], curve['deviation'], fmt='o-', ms=4,
                  capsize=2, label=name)
  bias.axhline(0.0, color='0.3', linestyle='--')
  bias.set_xscale('log')
  bias.set_xticks([1.25, 2, 5, 10, 20], ['1.25', '2', '5', '10', '20'])
  bias.minorticks_off()
  bias.set_xlabel('samples / dimensions')
  bias.set_ylabel('nats above the true optimum')
  bias.set_title(f'Few Gaussian samples ({values["dimensions"]} dimensions)')

  for axes in (ascent, structures, ranks, bias):
    axes.spines[['top', 'right']].set_visible(False)
    if axes is not structures:
      axes.legend(frameon=False)
  figure.savefig(path, dpi=100)
