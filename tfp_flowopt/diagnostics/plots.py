"""Pictures of a run. They need matplotlib (the `[plot]` extra)."""

import itertools

import numpy as np

from tfp_flowopt.diagnostics import layer_reports
from tfp_flowopt.diagnostics import plot_arguments
from tfp_flowopt.internal import arguments

__all__ = [
    'plot_layers',
    'plot_price',
    'plot_samples',
    'plot_spectra',
    'plot_training_curve',
]

_DPI = 100
# More than any logarithm of a finite float.
_BEYOND = 1e4
_TRAIN, _HELD_OUT = '#4c78a8', '#e45756'


def _figure(width, height):
  # Imported here: the library works without it, and it takes a second.
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  # No pyplot: it keeps global state and picks a display.
  figure = Figure(figsize=(width, height), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  return figure


def _save(figure, path):
  for axes in figure.axes:
    axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(arguments.check_path('path', path), dpi=_DPI)


def _curve_name(name, *pairs):
  """With numbers, for the legend: beside the curve they would cross it."""
  numbers = (f'step {step}: {value:.2f}' for step, value in dict(pairs).items())
  return f'{name} ({", ".join(numbers)})'


def plot_training_curve(
    path,
    train,
    held_out,
    train_optimum=None,
    held_out_optimum=None,
    optimum_name='best linear flow',
    unit='bits/dim',
    events='images',
):
  """Draws losses against steps, with the closed-form optimum as a line.

  Args:
    path: Of the PNG file.
    train: Pairs (step, loss) on training batches, finite.
    held_out: Pairs (step, loss) on held-out images, finite.
    train_optimum: Loss of the best linear flow on training images.
    held_out_optimum: The same on held-out images.
    optimum_name: Which linear flows the optima are for.
    unit: Of all losses.
    events: What there is in the place of images.

  Raises:
    ValueError: If an argument is no path, pairs, or finite number.
  """
  steps, values = plot_arguments.curve('train', train)
  held_steps, held_values = plot_arguments.curve('held_out', held_out)
  figure = _figure(8.0, 4.8)
  axes = figure.add_subplot()
  axes.plot(steps, values, color=_TRAIN, alpha=0.25, linewidth=0.7)
  window = max(1, len(values) // 50)
  smooth = np.convolve(values, np.ones(window) / window, mode='valid')
  axes.plot(
      steps[window - 1 :],
      smooth,
      color=_TRAIN,
      label=_curve_name('training batches', train[0]),
  )
  axes.plot(
      held_steps,
      held_values,
      'o-',
      color=_HELD_OUT,
      markersize=4,
      label=_curve_name(f'held-out {events}', held_out[0], held_out[-1]),
  )
  levels = [*smooth, *held_values, values[0]]
  for name, kind, value, color in (
      ('train_optimum', 'training', train_optimum, _TRAIN),
      ('held_out_optimum', 'held-out', held_out_optimum, _HELD_OUT),
  ):
    if value is None:
      continue
    levels.append(
        arguments.check_number(name, value, np.isfinite, 'a finite number')
    )
    axes.axhline(
        value,
        color=color,
        linestyle='--',
        linewidth=1,
        label=f'{optimum_name}, {kind} {events}: {value:.2f}',
    )
  for x, y, color in (
      (steps[0], values[0], _TRAIN),
      (held_steps[0], held_values[0], _HELD_OUT),
  ):
    if x == 0:
      axes.plot([0], [y], 'D', color=color, markersize=8)
  margin = 0.08 * (max(levels) - min(levels)) + 0.02
  axes.set_ylim(min(levels) - margin, max(levels) + margin)
  axes.set_xlabel('step')
  axes.set_ylabel(f'{unit} (lower is better)')
  # Above: inside there is always a line in its way.
  figure.legend(
      loc='outside upper left', ncols=2, edgecolor='none', fontsize='small'
  )
  _save(figure, path)


def plot_samples(path, rows):
  """Draws rows of images, each with a name.

  Args:
    path: Of the PNG file.
    rows: Pairs (name, uint8 images `[N, H, W, C]`), all of one shape.

  Raises:
    ValueError: If `path` is none, or `rows` are of other or several shapes.
  """
  names, rows = plot_arguments.image_rows('rows', rows)
  num_columns, height, width, _ = rows[0].shape
  # Side by side in one coordinate system: one for each would take longer to
  # draw than a small flow its samples.
  side, gap = height / width, 0.07
  figure = _figure(
      0.85 * num_columns + 1.0, 0.85 * (side + gap) * len(rows) + 0.1
  )
  axes = figure.add_subplot()
  bottoms = [-(side + gap) * (i + 1) for i in range(len(rows))]
  for images, bottom in zip(rows, bottoms, strict=True):
    for left, image in enumerate(images):
      if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
      extent = (left, left + 1.0 - gap, bottom, bottom + side)
      axes.imshow(image, interpolation='nearest', extent=extent)
  axes.set(xlim=(0.0, num_columns - gap), ylim=(bottoms[-1], -gap), xticks=[])
  axes.set_yticks([y + side / 2.0 for y in bottoms], names)
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)
  figure.savefig(arguments.check_path('path', path), dpi=_DPI)


def plot_spectra(path, spectra, noise_variance):
  """Draws eigenvalues of auto-correlation matrices, in descending order.

  Args:
    path: Of the PNG file.
    spectra: Dictionary from names to arrays of eigenvalues, descending.
    noise_variance: Drawn as the floor, if positive.

  Raises:
    ValueError: If an argument is no path, spectra, or finite number.
  """
  spectra = plot_arguments.named_arrays(
      'spectra', spectra, 'arrays of eigenvalues', lambda x: x.ndim == 1
  )
  noise_variance = arguments.check_number(
      'noise_variance',
      noise_variance,
      lambda v: 0 <= v < np.inf,
      'finite and not negative',
  )
  figure = _figure(7.5, 4.5)
  axes = figure.add_subplot()
  for name, values in spectra.items():
    # Millions of eigenvalues look like a thousand.
    index = np.unique(
        np.geomspace(1, len(values), 1000).round().astype(int) - 1
    )
    marker = 'o-' if len(values) < 10 else '-'
    axes.loglog(
        (index + 1) / len(values), values[index], marker, ms=3, label=name
    )
  if noise_variance > 0:
    axes.axhline(
        noise_variance,
        color='0.5',
        linestyle='--',
        linewidth=1,
        label='dequantisation noise',
    )
  axes.set_xlabel('rank of the eigenvalue / number of eigenvalues')
  axes.set_ylabel('eigenvalue')
  axes.legend(framealpha=1.0, edgecolor='none')
  _save(figure, path)


def plot_price(path, bounds, curves):
  """Draws what a bound of the normalising map's Lipschitz constant costs.

  Args:
    path: Of the PNG file.
    bounds: Increasing bounds `M`.
    curves: Dictionary from names to bits/dim of the optimum at each bound.

  Raises:
    ValueError: If an argument is no path, bounds, or curves of their length.
  """
  bounds = plot_arguments.array(
      'bounds',
      bounds,
      'increasing, positive numbers',
      lambda x: x.ndim == 1 and x[0] > 0 and np.all(np.diff(x) > 0),
  )
  curves = plot_arguments.named_arrays(
      'curves',
      curves,
      f'{len(bounds)} numbers, one for each bound',
      lambda x: x.shape == bounds.shape,
  )
  figure = _figure(7.5, 4.5)
  axes = figure.add_subplot()
  for name, values in curves.items():
    (line,) = axes.semilogx(bounds, values, label=f'{name}: {values[-1]:.2f}')
    # The smallest bound that costs no more than a hundredth.
    first = np.flatnonzero(values < values[-1] + 0.01)[0]
    axes.plot(bounds[first], values[first], 'o', color=line.get_color())
  axes.set_xlabel('M: largest singular value of the normalising map')
  axes.set_ylabel('optimum, bits/dim (lower is better)')
  axes.legend(
      title='unbounded (dot: within 0.01 of it)',
      framealpha=1.0,
      edgecolor='none',
  )
  _save(figure, path)


def plot_layers(path, layers):
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
  for layer in layers or [None]:
    arguments.check_instance('layers', layer, layer_reports.LayerReport, wanted)
  figure = _figure(max(7.5, 1.5 + 0.17 * len(layers)), 6.5)
  above, below = figure.subplots(2, sharex=True)
  index = np.arange(len(layers))
  log_dets = _values(layers, 'log_det')
  above.bar(index, log_dets, color=_TRAIN)
  _symmetric_scale(above, log_dets, 0.7, 10.0 ** np.arange(9))
  above.set_ylabel('log-det, nats per image')
  above.set_title(
      f'Image to latents, layer by layer: log-det {log_dets.sum():.1f} nats',
      fontsize='medium',
      pad=20,
  )

  ranges = [('certified, for all inputs', 'certified', '#9ecae9', 0.8)]
  if layers[0].local_forward is not None:
    ranges.append(('found at images', 'local', _TRAIN, 0.4))
  drawn = []
  for label, kind, color, width in ranges:
    low = -_values(layers, f'{kind}_forward')
    high = _values(layers, f'{kind}_inverse')
    drawn += [low, high]
    # No bar is drawn to infinity, but one that leaves the picture.
    low, high = (np.clip(side, -_BEYOND, _BEYOND) for side in (low, high))
    below.bar(index, high - low, width, low, color=color, label=label)
  means = _values(layers, 'log_det_per_dim')
  below.plot(index, means, 'o', color=_HELD_OUT, markersize=3.5, label='mean')
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
    own = list(own)
    first, last = own[0], own[-1]
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
  _save(figure, path)


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
