"""Pictures of the results."""

import math
import statistics

from matplotlib import figure
import numpy as np

from report import budget_trade
from report import certified_anomaly
from report import runs as runs_lib

# The libraries by line, their variants by colour, the first one the library's
# own name.
_LIBRARIES = {
    'ours': ('-', [
        'tab:blue', 'tab:cyan', 'navy', 'tab:purple', 'black', 'orchid', 'grey'
    ]),
    'tfb.Glow': ('--', ['tab:red', 'tab:orange']),
    'normflows': (':', ['tab:green', 'olive', 'limegreen', 'darkseagreen']),
}
# Runs of more steps have one learning rate for each arm.
_SHORT_STEPS = 300


def draw(folder, results):
  """Draws all pictures.

  Args:
    folder: Path of the images.
    results: Function of the name of a suite that returns its records.
  """
  groups = {}
  for run in map(runs_lib.flat, results('stability')):
    if run['schedule'] == 'constant' and run['train_steps'] <= _SHORT_STEPS:
      key = run['size'], run['depth'], run['train_steps']
      groups.setdefault(key, []).append(run)
  for key, group in groups.items():
    _draw_rates(folder / 'stability_{}_{}_{}.png'.format(*key), group)
  for suite, picture in (
      ('wall_clock', _draw_seconds),
      ('wall_clock_fashion', _draw_seconds),
      ('singular_values', _draw_singular_values),
  ):
    picture(folder / f'{suite}.png', [*map(runs_lib.flat, results(suite))])
  _draw_frontier(folder / 'budget_frontier.png', results('budget_frontier'))
  budget_trade.draw(folder / 'budget_trade.png', results('budget_trade'))
  certified_anomaly.draw(
      folder / 'certified_anomaly.png', results('certified_anomaly')
  )
  _draw_claims(folder / 'optimum_claims.png', {
      record['settings']['panel']: record['values']
      for record in results('optimum_claims')
  })


def _axes(*size):
  drawn = figure.Figure(figsize=size, layout='constrained')
  axes = drawn.add_subplot()
  axes.grid(alpha=0.3)
  return drawn, axes


def _styles(names):
  """Dictionary from arms to arguments of `plot`."""
  styles = {}
  for library, (line, colours) in _LIBRARIES.items():
    own = sorted(name for name in names if name.startswith(library))
    for name, colour in zip(own, colours, strict=False):
      styles[name] = {
          'color': colour,
          'linestyle': line,
          'linewidth': 3.0 if name == library else 1.5,
          'label': name,
      }
  return styles


def _draw_rates(path, runs):
  """Held-out bits/dim at the end against the learning rate.

  The libraries beside each other, and, if there are any, variants of ours in a
  panel of their own. Crosses at the upper edge, a row for each arm: rates at
  which a run was not finite. What ends above the picture is drawn below the
  crosses.
  """
  arms = {}
  for run in runs:
    arms.setdefault(run['arm'], []).append(run)
  styles = _styles(arms)
  curves = {name: runs_lib.rate_curve(arms[name]) for name in styles}
  rates = sorted({rate for c in curves.values() for rate, _, _ in c})
  lowest = min(min(v) for c in curves.values() for _, v, _ in c if v)
  top = max(run['start'] for run in runs if run['arm'].startswith('ours')) + 0.5
  panels = {
      'libraries': [
          name for name in styles
          if name == 'ours' or not name.startswith('ours')
      ],
      'variants of ours': [
          name for name in styles if name.startswith('ours')
      ],
  }
  if len(panels['variants of ours']) == 1:
    del panels['variants of ours']
  drawn = figure.Figure(figsize=(5.5 * len(panels), 5), layout='constrained')
  all_axes = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  rows = max(map(len, panels.values()))
  for axes, (title, names) in zip(all_axes, panels.items(), strict=True):
    for i, name in enumerate(names):
      # No line across a rate that others have and this one has not.
      finite, failed = dict.fromkeys(rates, math.nan), []
      for rate, values, num_not_finite in curves[name]:
        if num_not_finite:
          failed.append(rate)
        else:
          finite[rate] = min(statistics.mean(values), top)
      axes.plot(
          finite.keys(), finite.values(), marker='o', markersize=4,
          **styles[name],
      )
      axes.plot(failed, [top + 0.12 * i] * len(failed), linestyle='none',
                marker='x', markersize=7, color=styles[name]['color'])
    axes.grid(alpha=0.3)
    axes.set(
        xscale='log',
        ylim=(lowest - 0.1, top + 0.12 * rows),
        title=title,
        xlabel='learning rate',
    )
    axes.legend(fontsize=8, ncols=2, loc='upper center',
                bbox_to_anchor=(0.5, -0.14), frameon=False)
  all_axes[0].set_ylabel('held-out bits/dim (x: not finite)')
  drawn.savefig(path, dpi=110)


def _draw_seconds(path, runs):
  """Held-out bits/dim against seconds, of each arm at its best rate."""
  drawn, axes = _axes(8, 4.5)
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
  target = runs_lib.best_of_peers(runs)
  if math.isfinite(target):
    axes.axhline(
        target, color='black', linewidth=0.8, label='best peer at the end'
    )
  axes.set(
      ylim=(min(ends) - 0.1, max(ends) + 1.5),
      xlabel='seconds of training',
      ylabel='held-out bits/dim',
  )
  axes.legend()
  drawn.savefig(path, dpi=110)


def _draw_singular_values(path, runs):
  """From the smallest to the largest local singular value over training.

  A column for each arm, a row for each kind of image.
  """
  kinds = ('held out', 'noise')
  runs = sorted(runs, key=lambda run: runs_lib.order(run['arm']))
  drawn = figure.Figure(figsize=(2.2 * len(runs), 5), layout='constrained')
  panels = drawn.subplots(
      len(kinds), len(runs), sharex=True, sharey=True, squeeze=False
  )
  styles = _styles({run['arm'] for run in runs})
  for row, kind in zip(panels, kinds, strict=True):
    for run, axes in zip(runs, row, strict=True):
      color = styles[run['arm']]['color']
      steps, spectra = zip(*run['log_singular_values'], strict=True)
      smallest, median, largest = np.array(
          [v[kind] for v in spectra], np.float64
      ).T
      axes.fill_between(steps, smallest, largest, color=color, alpha=0.3)
      axes.plot(steps, median, color=color)
      axes.grid(alpha=0.3)
    row[0].set_ylabel(f'at {kind} images:\nlog singular values')
  for run, axes in zip(runs, panels[0], strict=True):
    axes.set_title(run['arm'])
  for axes in panels[-1]:
    axes.set_xlabel('step')
  drawn.savefig(path, dpi=110)


def _draw_frontier(path, records):
  """Bits/dim against the budget; without a budget, a line."""
  records = [record for record in records if record['seed'] == 0]
  steps = records[0]['settings']['train_steps']
  ends = {
      r['settings']['lipschitz_budget']: r['values']['bits_per_dim']
      for r in records
  }
  best = ends.pop(None)
  drawn, axes = _axes(7, 4.2)
  axes.grid(False)
  axes.plot(*zip(*sorted(ends.items()), strict=True), 'o-', color='#4c78a8')
  for point in ends.items():
    axes.annotate(
        f'{point[1]:.2f}', point, textcoords='offset points', xytext=(6, 6)
    )
  red = {'color': '#e45756'}
  axes.axhline(best, linestyle='--', label=f'no budget: {best:.2f}', **red)
  axes.axhspan(best, best + 0.05, alpha=0.1, **red)
  axes.legend(frameon=False)
  axes.set(
      xlabel='budget: log Lipschitz constant of the non-linear part',
      ylabel=f'held-out bits/dim after {steps} steps',
  )
  axes.spines[['top', 'right']].set_visible(False)
  drawn.savefig(path, dpi=100)


def _draw_claims(path, panels):
  """What docs/likelihood_optimum.md claims, in four panels."""
  drawn = figure.Figure(figsize=(10, 7), layout='constrained')
  ascent, structures, ranks, bias = drawn.subplots(2, 2).ravel()

  values = panels['ascent']
  for name, curve in values['curves'].items():
    ascent.semilogx(range(1, 1 + len(curve)), curve, label=name)
  best = values['optimum']
  ascent.axhline(best, color='0.3', linestyle='--', label=f'L* = {best:.2f}')
  ascent.set(xlabel='step of gradient ascent', ylabel='nats',
             title='Every parametrisation ends at L*')

  bits = panels['structures']['bits_per_dim']
  bars = structures.barh(list(bits), list(bits.values()), color='#4c78a8')
  structures.bar_label(bars, fmt='%.2f', padding=3)
  structures.invert_yaxis()
  structures.set(xlim=(0, 9), xlabel='bits/dim (lower is better)',
                 title='Optimum of 16x16 photograph tiles')

  values = panels['ranks']
  ours, theirs = values['ours'], values['scikit-learn']
  ranks.plot(range(1, len(ours) + 1), ours, label='fo.likelihood_optimum')
  ranks.plot(list(map(int, theirs)), theirs.values(), 'o', mfc='none',
             label='scikit-learn, PPCA')
  ranks.set(xlabel='rank q', ylabel='nats',
            title='Optimum of q free directions')

  values = panels['bias']
  d = values['dimensions']
  for name, curve in values['curves'].items():
    bias.errorbar(np.array(values['samples']) / d, curve['mean'],
                  curve['deviation'], fmt='o-', ms=4, capsize=2, label=name)
  bias.axhline(0.0, color='0.3', linestyle='--')
  bias.set_xscale('log')
  bias.set_xticks([1.25, 2, 5, 10, 20], ['1.25', '2', '5', '10', '20'])
  bias.minorticks_off()
  bias.set(xlabel='samples / dimensions', ylabel='nats above the true optimum',
           title=f'Few Gaussian samples ({d} dimensions)')

  for axes in (ascent, structures, ranks, bias):
    axes.spines[['top', 'right']].set_visible(False)
    if axes is not structures:
      axes.legend(frameon=False)
  drawn.savefig(path, dpi=100)
