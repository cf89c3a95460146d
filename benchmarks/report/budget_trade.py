"""What a Lipschitz budget costs and buys: a table and a picture of digits."""

import math
import statistics

from matplotlib import figure

from report import markdown

# Of Okabe and Ito: told apart by those who do not see all colours.
_BLUE, _RED, _GREEN, _GREY = '#0072b2', '#d55e00', '#009e73', '0.35'
# From one budget to none: as from one to 2.5 times as much.
_GAP = math.log(2.5)


def table(results):
  """Means over seeds; ranges where seeds matter."""
  found = _by_budget(results('budget_trade'))
  best = {seed: run['bits_per_dim'] for seed, run in found[None].items()}
  rows = []
  for budget, runs in found.items():
    costs = [run['bits_per_dim'] - best[seed] for seed, run in runs.items()]
    runs = list(runs.values())
    rows.append([
        markdown.value(budget, 'g', 'none'),
        *(
            format(_mean(runs, name), '.3f')
            for name in ('start_bits_per_dim', 'bits_per_dim')
        ),
        '' if budget is None else markdown.mean_and_range(costs, '+.3f'),
        markdown.mean_and_range([run['agreement'] for run in runs], '.1%'),
        *(
            ' / '.join(f'{_mean(runs, name, way):.1f}' for way in (0, 1))
            for name in ('log_nonlinear', 'log_whole', 'log_local')
        ),
    ])
  return markdown.table(
      'budget|bits/dim before training|after|cost|samples of the right class|'
      'certified: non-linear part|whole flow|measured at test images',
      rows,
  )


def draw(path, records):
  """Draws `picture`."""
  picture(records).savefig(path, dpi=150)


def picture(records):
  """Bits/dim, samples and constants, side by side over the budget."""
  found = _by_budget(records)
  runs = [run for own in found.values() for run in own.values()]
  drawn = figure.Figure(figsize=(9, 3.6), layout='constrained')
  bits, samples, constants = panels = drawn.subplots(1, 3)

  for name, *style in (
      ('start_bits_per_dim', _GREY, '--', '', 'before training'),
      ('bits_per_dim', _BLUE, '-', 'o', 'after (thin: each seed)'),
  ):
    _curve(bits, found, name, *style)
  bits.set_ylabel('test bits/dim (lower is better)')

  _curve(samples, found, 'agreement', _BLUE, '-', 'o', 'samples', scale=100)
  samples.axhline(
      100 * _mean(runs, 'accuracy_of_real'), color=_GREY, linestyle='--',
      linewidth=2.0, label='real test digits',
  )
  lowest = 100 * min(run['agreement'] for run in runs)
  samples.set(
      ylabel='recognised as their class, %', ylim=(min(95, lowest - 1), 100)
  )

  for name, *style in (
      ('log_whole', _RED, '-', 's', 'certified: whole flow'),
      ('log_nonlinear', _BLUE, '-', 'o', 'certified: non-linear part'),
      ('log_local', _GREEN, '--', '^', 'measured: whole flow'),
  ):
    _curve(constants, found, name, *style, way=1)
  constants.set(ylabel='log Lipschitz constant to latents', ylim=(0, None))

  places = _places(found)
  budgets = [x for x in places if x is not None]
  constants.plot([places[x] for x in budgets], budgets, ':', color=_GREY,
                 zorder=1, label='the budget itself')
  for axes in panels:
    axes.set_xticks(
        list(places.values()), [markdown.value(x, 'g', 'none') for x in places]
    )
    axes.set_xlabel('Lipschitz budget, nats')
    axes.axvline(
        places[None] - _GAP / 2, ymax=0.68, color='0.8', linewidth=0.8
    )
    axes.grid(axis='y', alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    if axes is not samples:
      low, high = axes.get_ylim()
      # Room for the legend.
      axes.set_ylim(low, high + 0.4 * (high - low))
    axes.legend(
        loc='lower left' if axes is samples else 'upper left',
        fontsize=9,
        frameon=False,
    )
  return drawn


def _by_budget(records):
  """Dictionary from budgets, none the last, to those from seeds to values."""
  found = {}
  for record in records:
    budget = record['settings']['flow']['lipschitz_budget']
    found.setdefault(budget, {})[record['seed']] = record['values']
  return dict(sorted(found.items(), key=lambda x: (x[0] is None, x[0])))


def _mean(runs, name, way=None):
  values = [run[name] if way is None else run[name][way] for run in runs]
  return statistics.mean(values)


def _places(found):
  """Where budgets stand on the axis: by their logarithm, none at the right."""
  places = {x: math.log(x) for x in found if x is not None}
  return {**places, None: max(places.values()) + _GAP}


def _curve(axes, found, name, color, line, marker, label, scale=1, way=None):
  """The mean over seeds; with a marker each seed, too; none stands apart."""
  places, seeds = _places(found), list(found[None])

  def plot(chosen, **style):
    *within, none = (
        (place, scale * _mean([found[x][s] for s in chosen], name, way))
        for x, place in places.items()
    )
    axes.plot(*zip(*within, strict=True), line, color=color, **style)
    axes.plot(*none, color=color, **{**style, 'marker': marker or '_',
                                     'label': None})

  for seed in seeds if marker else ():
    plot([seed], linewidth=0.8, alpha=0.35, markersize=2)
  plot(seeds, linewidth=2.0, marker=marker, markersize=5, label=label)


SECTIONS = {'budget_trade': table}
