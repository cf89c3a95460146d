"""Pictures of a run. They need matplotlib (the `[plot]` extra)."""

import numpy as np

__all__ = [
    'plot_price',
    'plot_samples',
    'plot_spectra',
    'plot_training_curve',
]

_DPI = 100
_TRAIN, _HELD_OUT = '#4c78a8', '#e45756'


def _figure(width, height):
  # Imported here: the library works without it, and it takes a second.
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  # No pyplot: it keeps global state and picks a display.
  figure = Figure(figsize=(width, height), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  return figure


def plot_training_curve(
    path,
    train,
    held_out,
    train_optimum=None,
    held_out_optimum=None,
    optimum_name='best linear flow',
):
  """Draws bits/dim against steps, with the closed-form optimum as a line.

  Args:
    path: Of the PNG file.
    train: Pairs (step, bits/dim) on training batches, finite.
    held_out: Pairs (step, bits/dim) on held-out images, finite.
    train_optimum: Bits/dim of the best linear flow on training images.
    held_out_optimum: The same on held-out images.
    optimum_name: Which linear flows the optima are for.
  """
  figure = _figure(7.5, 4.5)
  axes = figure.add_subplot()
  steps, values = np.transpose(train)
  axes.plot(steps, values, color=_TRAIN, alpha=0.25, linewidth=0.7)
  window = max(1, len(values) // 50)
  smooth = np.convolve(values, np.ones(window) / window, mode='valid')
  axes.plot(
      steps[window - 1 :], smooth, color=_TRAIN, label='training batches'
  )
  held_steps, held_values = np.transpose(held_out)
  axes.plot(
      held_steps,
      held_values,
      'o-',
      color=_HELD_OUT,
      markersize=4,
      label='held-out images',
  )
  for value, color, name in (
      (train_optimum, _TRAIN, 'training'),
      (held_out_optimum, _HELD_OUT, 'held-out'),
  ):
    if value is not None:
      axes.axhline(
          value,
          color=color,
          linestyle='--',
          linewidth=1,
          label=f'{optimum_name}, {name} images: {value:.2f}',
      )
  for x, y, color in (
      (steps[0], values[0], _TRAIN),
      (held_steps[0], held_values[0], _HELD_OUT),
  ):
    if x == 0:
      axes.plot([0], [y], 'D', color=color, markersize=8)
      axes.annotate(
          f'step 0: {y:.2f}',
          (0, y),
          textcoords='offset points',
          xytext=(12, 4),
          color=color,
      )
  axes.annotate(
      f'{held_values[-1]:.2f}',
      (held_steps[-1], held_values[-1]),
      textcoords='offset points',
      xytext=(0, -14),
      ha='center',
      color=_HELD_OUT,
  )
  levels = [*smooth, *held_values, values[0]]
  levels += [v for v in (train_optimum, held_out_optimum) if v is not None]
  margin = 0.08 * (max(levels) - min(levels)) + 0.02
  axes.set_ylim(min(levels) - margin, max(levels) + margin)
  axes.set_xlabel('step')
  axes.set_ylabel('bits/dim (lower is better)')
  axes.legend(loc='upper right', framealpha=1.0, edgecolor='none')
  axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(path, dpi=_DPI)


def plot_samples(path, rows):
  """Draws rows of images, each with a name.

  Args:
    path: Of the PNG file.
    rows: Pairs (name, uint8 images `[N, H, W, C]`), all of one shape.
  """
  num_columns = len(rows[0][1])
  figure = _figure(0.85 * num_columns + 1.0, 0.85 * len(rows) + 0.1)
  grid = figure.subplots(len(rows), num_columns, squeeze=False)
  for (name, images), line in zip(rows, grid, strict=True):
    for image, axes in zip(np.asarray(images), line, strict=True):
      if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
      axes.imshow(image, interpolation='nearest')
      axes.set_xticks([])
      axes.set_yticks([])
      axes.spines[:].set_visible(False)
    line[0].set_ylabel(name, rotation=0, ha='right', va='center')
  figure.savefig(path, dpi=_DPI)


def plot_spectra(path, spectra, noise_variance):
  """Draws eigenvalues of auto-correlation matrices, in descending order.

  Args:
    path: Of the PNG file.
    spectra: Dictionary from names to arrays of eigenvalues, descending.
    noise_variance: Drawn as the floor, if positive.
  """
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
  axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(path, dpi=_DPI)


def plot_price(path, bounds, curves):
  """Draws what a bound of the normalising map's Lipschitz constant costs.

  Args:
    path: Of the PNG file.
    bounds: Increasing bounds `M`.
    curves: Dictionary from names to bits/dim of the optimum at each bound.
  """
  figure = _figure(7.5, 4.5)
  axes = figure.add_subplot()
  for name, values in curves.items():
    (line,) = axes.semilogx(bounds, values, label=f'{name}: {values[-1]:.2f}')
    # The smallest bound that costs no more than a hundredth.
    first = np.flatnonzero(np.array(values) < values[-1] + 0.01)[0]
    axes.plot(bounds[first], values[first], 'o', color=line.get_color())
  axes.set_xlabel('M: largest singular value of the normalising map')
  axes.set_ylabel('optimum, bits/dim (lower is better)')
  axes.legend(
      title='unbounded (dot: within 0.01 of it)',
      framealpha=1.0,
      edgecolor='none',
  )
  axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(path, dpi=_DPI)
