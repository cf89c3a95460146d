"""The picture of a report of layers. It needs matplotlib."""

from collections.abc import Sequence
import itertools

import numpy as np

from tfp_flowopt.diagnostics import figures
from tfp_flowopt.diagnostics import layer_reports
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['plot_layers']

# More than any logarithm of a finite float.
_BEYOND = 1e4


def plot_layers(
    path: types.Path, layers: Sequence[layer_reports.LayerReport]
) -> None:
  """Draws what each layer does: its log-determinant, and its constants.

  Above, the log-determinants. Below, logarithms of singular values: certified
  to lie within the light bar at every input, found at the images as far as the
  dark one reaches, their mean a dot. Both scales are linear up to 1, and
  logarithmic beyond: the first layer of a level does far more than the rest.

  Args:
    path: Of the PNG file.
    layers: List of `LayerReport`.

  Raises:
    ValueError: If `path` is none, or `layers` are no reports.
  """
  wanted = 'a list of LayerReport, one at least'
  arguments.check_instance('layers', layers, (list, tuple), wanted)
  for layer in layers or (None,):
    arguments.check_instance('layers', layer, layer_reports.LayerReport, wanted)
  figure = figures.new_figure(max(7.5, 1.5 + 0.17 * len(layers)), 6.5)
  above, below = figure.subplots(2, sharex=True)
  index = np.arange(len(layers))
  log_dets = _values(layers, 'log_det')
  above.bar(index, log_dets, color=figures.TRAIN)
  _symmetric_scale(above, log_dets, 0.7, 10.0 ** np.arange(9))
  above.set_ylabel('log-det, nats per image')
  above.set_title(
      f'Image to latents, layer by layer: log-det {log_dets.sum():.1f} nats',
      fontsize='medium',
      pad=20,
  )

  ranges = [('certified, for all inputs', 'certified', '#9ecae9', 0.8)]
  if layers[0].local_forward is not None:
    ranges.append(('found at images', 'local', figures.TRAIN, 0.4))
  drawn = []
  for label, kind, color, width in ranges:
    low = -_values(layers, f'{kind}_forward')
    high = _values(layers, f'{kind}_inverse')
    drawn += [low, high]
    # No bar is drawn to infinity, but one that leaves the picture.
    low, high = (np.clip(side, -_BEYOND, _BEYOND) for side in (low, high))
    below.bar(index, high - low, width, low, color=color, label=label)
  means = _values(layers, 'log_det_per_dim')
  below.plot(
      index, means, 'o', color=figures.HELD_OUT, markersize=3.5, label='mean'
  )
  _symmetric_scale(below, np.concatenate(drawn), 2.0, [0.5, 1, 3, 10, 30, 100])
  below.set_ylabel('log singular values')
  below.legend(
      loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False
  )
  # `level 0 step 3`: the level once, above, and the rest below.
  words = [layer.name.split(' ') for layer in layers]
  levels, names = (
      [' '.join(name[part]) for name in words]
      for part in (slice(2), slice(2, None))
  )
  below.set_xticks(index, names, rotation=90, fontsize=8)
  below.set_xlim(-0.7, len(layers) - 0.3)
  groups = itertools.groupby(index, lambda i: levels[i])
  for number, (level, own) in enumerate(groups):
    members = list(own)
    first, last = members[0], members[-1]
    above.annotate(
        level,
        ((first + last) / 2, 1.0),
        xycoords=('data', 'axes fraction'),
        textcoords='offset points',
        xytext=(0, 4),
        ha='center',
    )
    for axes in (above, below):
      if number % 2:
        axes.axvspan(first - 0.5, last + 0.5, color='0.95', zorder=-2)
  for axes in (above, below):
    axes.axhline(0, color='0.4', linewidth=0.8)
  figure.align_ylabels()
  figures.save(figure, path)


def _values(layers, name):
  """An attribute of all layers, as an array."""
  return np.array([getattr(layer, name) for layer in layers])


def _symmetric_scale(axes, values, linear_part, ticks):
  """A scale that is logarithmic beyond 1, both ways.

  `values` are to be seen, infinite ones leave the picture; 0 to 1 is as long
  as `linear_part` factors of 10; `ticks` are positive numbers to label.
  """
  axes.set_yscale('symlog', linthresh=1.0, linscale=linear_part)
  largest = max(1.0, *np.abs(values[np.isfinite(values)]))
  both = (-1.0, 1.0)
  axes.set_ylim(*(1.3 * s * largest * np.any(s * values > 0) for s in both))
  ticks = [0.0, *(s * tick for tick in ticks for s in both)]
  bottom, top = axes.get_ylim()
  ticks = [tick for tick in ticks if bottom <= tick <= top]
  axes.set_yticks(ticks, [f'{tick:g}' for tick in ticks])
  axes.set_yticks([], minor=True)
