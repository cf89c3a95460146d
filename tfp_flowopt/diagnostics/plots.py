"""Pictures of a run. They need matplotlib (the `[plot]` extra)."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from tfp_flowopt.diagnostics import figures
from tfp_flowopt.diagnostics import plot_arguments
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = [
    'plot_price',
    'plot_samples',
    'plot_spectra',
    'plot_training_curve',
]


# What is farther from nearly all values than so many times their range sets no
# scale: a single batch may be off by orders of magnitude.
_FAR = 10.0


def _curve_name(name, *pairs):
  """With numbers, for the legend: beside the curve they would cross it."""
  numbers = (
      f'step {step:g}: {value:.2f}' for step, value in dict(pairs).items()
  )
  return f'{name} ({", ".join(numbers)})'


def _without_far(values):
  """Those that are to be seen in a picture."""
  low, high = np.quantile(values, [0.05, 0.95])
  far = _FAR * (high - low)
  return values[(values >= low - far) & (values <= high + far)]


def plot_training_curve(
    path: types.Path,
    train: Sequence[tuple[float, float]],
    held_out: Sequence[tuple[float, float]],
    train_optimum: float | None = None,
    held_out_optimum: float | None = None,
    optimum_name: str = 'best linear flow',
    unit: str = 'bits/dim',
    events: str = 'images',
) -> None:
  """Draws losses against steps, with the closed-form optimum as a line.

  Args:
    path: Of the PNG file.
    train: Pairs (step, loss) on training batches, finite. Single ones that are
      far from all others may be out of the picture.
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
  figure = figures.new_figure(8.0, 4.8)
  axes = figure.add_subplot()
  axes.plot(steps, values, color=figures.TRAIN, alpha=0.25, linewidth=0.7)
  window = max(1, len(values) // 50)
  smooth = np.convolve(values, np.ones(window) / window, mode='valid')
  axes.plot(
      steps[window - 1 :],
      smooth,
      color=figures.TRAIN,
      label=_curve_name('training batches', (steps[0], values[0])),
  )
  axes.plot(
      held_steps,
      held_values,
      'o-',
      color=figures.HELD_OUT,
      markersize=4,
      label=_curve_name(
          f'held-out {events}',
          *((held_steps[i], held_values[i]) for i in (0, -1)),
      ),
  )
  levels = [*_without_far(smooth), *held_values, values[0]]
  for name, kind, value, color in (
      ('train_optimum', 'training', train_optimum, figures.TRAIN),
      ('held_out_optimum', 'held-out', held_out_optimum, figures.HELD_OUT),
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
      (steps[0], values[0], figures.TRAIN),
      (held_steps[0], held_values[0], figures.HELD_OUT),
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
  figures.save(figure, path)


def plot_samples(
    path: types.Path,
    rows: types.NamedImages,
    columns: Sequence[str] | None = None,
) -> None:
  """Draws rows of images, each with a name.

  Args:
    path: Of the PNG file.
    rows: Pairs (name, uint8 images `[N, H, W, C]`), all of one size; a row may
      have fewer than `N`.
    columns: Names of the `N` columns, for example of classes; `None` for none.

  Raises:
    ValueError: If `path` is none, `rows` are of other or several shapes, or
      `columns` are no `N` strings.
  """
  names, drawn = plot_arguments.image_rows('rows', rows)
  num_columns = max(map(len, drawn))
  height, width = drawn[0].shape[1:3]
  columns = plot_arguments.column_names('columns', columns, num_columns)
  # Side by side in one coordinate system: one for each would take longer to
  # draw than a small flow its samples.
  side, gap = height / width, 0.07
  figure = figures.new_figure(
      0.85 * num_columns + 1.0,
      0.85 * (side + gap) * len(drawn) + (0.35 if columns else 0.1),
  )
  axes = figure.add_subplot()
  bottoms = [-(side + gap) * (i + 1) for i in range(len(drawn))]
  for images, bottom in zip(drawn, bottoms, strict=True):
    for left, image in enumerate(images):
      if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
      extent = (left, left + 1.0 - gap, bottom, bottom + side)
      axes.imshow(image, interpolation='nearest', extent=extent)
  axes.set(xlim=(0.0, num_columns - gap), ylim=(bottoms[-1], -gap))
  middles = [i + (1.0 - gap) / 2.0 for i in range(len(columns))]
  axes.set_xticks(middles, columns)
  axes.xaxis.tick_top()
  axes.set_yticks([y + side / 2.0 for y in bottoms], names)
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)
  figure.savefig(arguments.check_path('path', path), dpi=figures.DPI)


def plot_spectra(
    path: types.Path,
    spectra: Mapping[str, types.TensorLike],
    noise_variance: float,
) -> None:
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
  figure = figures.new_figure(7.5, 4.5)
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
  figures.save(figure, path)


def plot_price(
    path: types.Path,
    bounds: types.TensorLike,
    curves: Mapping[str, types.TensorLike],
) -> None:
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
  figure = figures.new_figure(7.5, 4.5)
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
  figures.save(figure, path)
