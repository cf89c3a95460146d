"""What certificates buy: anomalies that no perturbation hides."""

from matplotlib import figure

from report import markdown

_BLUE, _RED, _GREEN, _GREY = '#0072b2', '#d55e00', '#009e73', '0.35'
_ORANGE, _PURPLE = '#e69f00', '#cc79a7'
# Without certificates.
_PEERS = ('tfb.Glow', 'normflows')
# Arms with certificates: marker and colour of the picture.
_CERTIFIED = {
    'closed form': ('o', _BLUE), 'elliptical': ('s', _GREEN),
    'image flow': ('^', _ORANGE), 'vector flow': ('D', _GREY),
}
# Where detectors are compared in the picture.
_RADIUS = 0.5


def _name(settings):
  arm, largest, budget = map(settings.get, ('arm', 'largest', 'budget'))
  if largest is None:
    return arm
  name = f'{arm}, slopes up to {largest:g}'
  return name if budget is None else f'{name}, budget {budget:g}'


def _runs(records):
  """Names, settings and values, from the smallest constants on."""
  runs = [(r['settings'], r['values']) for r in records]
  return sorted(
      runs,
      key=lambda run: (
          run[0]['arm'] in _PEERS,
          run[0]['budget'] or 0.0,
          run[0]['arm'],
          run[0]['largest'] or 0.0,
      ),
  )


def table(results):
  """Areas under the ROC curve: as it is, certified, and attacked."""
  rows, radii = [], []
  for settings, values in _runs(results('certified_anomaly')):
    radii = settings['radii']
    cells = []
    for radius in radii:
      certified = values.get(f'certified {radius}')
      attacked = values[f'attacked {radius}']
      shown = '-' if certified is None else f'{certified:.3f}'
      cells.append(f'{shown} / {attacked:.3f}')
    rows.append([
        _name(settings),
        f"{values['bits_per_dim']:.2f}",
        f"{values['area']:.3f}",
        *cells,
    ])
  head = '|'.join(f'eps {radius:g}: certified / attacked' for radius in radii)
  return markdown.table(f'detector|bits/dim|area|{head}', rows)


def draw(path, records):
  """Draws `picture`."""
  picture(records).savefig(path, dpi=150)


def picture(records):
  """Areas over eps, and the certified one over bits/dim."""
  drawn = figure.Figure(figsize=(9, 3.8), layout='constrained')
  areas, trade = drawn.subplots(1, 2)
  runs = _runs(records)
  shown = []
  for arm in ('closed form', 'elliptical'):
    own = [run for run in runs if run[0]['arm'] == arm]
    shown += own[len(own) // 2 :][:1]
  colours = [_CERTIFIED[settings['arm']][1] for settings, _ in shown]
  shown += [run for run in runs if run[0]['arm'] in _PEERS]
  colours += [_RED, _PURPLE]
  for (settings, values), colour in zip(shown, colours, strict=False):
    radii = [0.0, *settings['radii']]
    for kind, style in (('certified', '-'), ('attacked', '--')):
      found = [values.get(f'{kind} {radius}') for radius in radii[1:]]
      if None not in found:
        areas.plot(
            radii, [values['area'], *found], style, marker='o', color=colour,
            label=f'{_name(settings)}: {kind}',
        )
  areas.axhline(0.5, color=_GREY, linewidth=1.0, linestyle=':')
  areas.set(
      xlabel='L2 radius of the perturbation', ylabel='area under the ROC curve',
      ylim=(0, 1),
  )
  areas.legend(
      fontsize='x-small', frameon=False, loc='center right',
      bbox_to_anchor=(1.0, 0.36),
  )
  for arm, (marker, colour) in _CERTIFIED.items():
    own = [run for run in runs if run[0]['arm'] == arm]
    if not own:
      continue
    points = [
        (values['bits_per_dim'], values[f'certified {_RADIUS}'])
        for _, values in own
    ]
    by = 'budget' if own[0][0]['budget'] else 'largest slope'
    trade.plot(
        *zip(*points, strict=True), marker=marker, color=colour,
        label=f'{arm}, by {by}',
    )
    for (settings, _), point in zip(own, points, strict=True):
      label = settings['budget'] or settings['largest']
      trade.annotate(
          f'{label:g}', point, (4, 4), textcoords='offset points',
          fontsize='small',
      )
  trade.set(
      xlabel='test bits/dim (lower is better)',
      ylabel=f'area certified within {_RADIUS:g}', ylim=(0, 1),
  )
  trade.legend(fontsize='small', frameon=False)
  return drawn


SECTIONS = {'certified_anomaly': table}
