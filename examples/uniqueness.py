"""Shows what is unique about the Jacobian determinant of a normalizing flow.

Pairs of flows, nothing trained: each carries the same data exactly to the same
standard normal, so their likelihoods agree at every point, and so do the means
of log|det J| over the data. The maps themselves need not agree, nor log|det J|
at a point: it does for affine flows of Gaussian data and for increasing
triangular flows with one order of the coordinates, and in general not.

  python examples/uniqueness.py --picture=/tmp/uniqueness.png

The picture has a column for each pair: where both flows put the grid of the
latents, and log|det J| of the one against that of the other.
"""

import collections
import textwrap

from absl import flags
import exact_flows
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

_PICTURE = programs.define_outputs()
_NUM_POINTS = flags.DEFINE_integer(
    'num_points', 20000, 'Points of each data set.', lower_bound=2
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the data.', lower_bound=0)

# Colours: of the two flows, and of what equal ones would show.
_FIRST, _SECOND, _EQUAL = '#4c78a8', '#e45756', '#888888'
_POINT, _MEAN = '#8c7fb5', '#222222'
# Points in a panel of the picture.
_SHOWN = 1500

# What `evaluate` says of a flow at points.
Values = collections.namedtuple(
    'Values', ['latents', 'log_det', 'log_likelihood']
)


def evaluate(flow, x):
  """A flow at points of the data.

  Args:
    flow: Bijector from latents to data.
    x: float64 `[N, 2]`.

  Returns:
    `Values` of float64 arrays.
  """
  base = tfd.MultivariateNormalDiag(tf.zeros([2], tf.float64))
  parts = []
  # In parts, for a quadrature takes thousands of numbers a point.
  for part in np.array_split(np.asarray(x), -(-len(x) // 1000)):
    part = tf.constant(part)
    z = flow.inverse(part)
    log_det = flow.inverse_log_det_jacobian(part, event_ndims=1)
    log_det += tf.zeros_like(part[:, 0])  # Affine flows say it once for all.
    parts.append([z, log_det, base.log_prob(z) + log_det])
  return Values(*(np.concatenate(v) for v in zip(*parts, strict=True)))


def compare(first, second, log_prob):
  """Compares two flows at the same points.

  Args:
    first: `Values` of a flow.
    second: `Values` of the other.
    log_prob: `[N]`, the data's log-density.

  Returns:
    `dict` of Python floats. Differences are those of the second flow from the
    first; that of maps is a distance in the plane of the latents.
  """
  log_det = second.log_det - first.log_det
  maps = np.linalg.norm(second.latents - first.latents, axis=-1)
  likelihoods = second.log_likelihood - first.log_likelihood
  errors = [v.log_likelihood - log_prob for v in (first, second)]
  result = {
      'map_difference': maps.max(),
      'log_det_difference': np.abs(log_det).max(),
      'mean_log_det': first.log_det.mean(),
      'mean_difference': log_det.mean(),
      'standard_error': log_det.std(ddof=1) / np.sqrt(len(log_det)),
      'log_likelihood_difference': np.abs(likelihoods).max(),
      'log_likelihood_error': np.abs(errors).max(),
  }
  return {key: float(value) for key, value in result.items()}


def plot_pairs(path, pairs, points, values):
  """Draws where the flows put the latents' grid, and both log|det J|.

  Args:
    path: Of the PNG file.
    pairs: List of `exact_flows.Pair`.
    points: For each pair, the data.
    values: For each pair, the `Values` of both flows.
  """
  # Imported here, for it takes a second.
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure
  from PIL import Image

  figure = Figure(figsize=(10.0, 6.0), layout='constrained', dpi=100)
  canvas = backend_agg.FigureCanvasAgg(figure)
  panels = figure.subplots(2, len(pairs))
  for pair, x, flows, (plane, scatter) in zip(
      pairs, points, values, panels.T, strict=True
  ):
    x = np.asarray(x)[:_SHOWN]
    low, high = np.quantile(x, [0.002, 0.998], axis=0)
    grid = np.meshgrid(*np.linspace(low - 0.4, high + 0.4, 80).T)
    plane.plot(*x.T, '.', color='#dddddd', markersize=1.5, zorder=0)
    for flow, color, style in (
        (pair.first, _FIRST, 'solid'),
        (pair.second, _SECOND, 'dashed'),
    ):
      z = flow.inverse(np.stack(grid, axis=-1).reshape(-1, 2)).numpy()
      for part in z.T.reshape(2, *grid[0].shape):
        # No lines where the shear jumps from one end of the normal to the
        # other.
        jump = np.max(np.abs(np.gradient(part)), axis=0) > 1.0
        plane.contour(
            *grid,
            np.where(jump, np.nan, part),
            levels=[-2, -1, 0, 1, 2],
            colors=color,
            linestyles=style,
            linewidths=1.2,
        )
    plane.set_xlim(low[0] - 0.4, high[0] + 0.4)
    plane.set_ylim(low[1] - 0.4, high[1] + 0.4)
    plane.set_title(pair.title, fontsize=9.5)
    plane.set_xlabel('x1')
    first, second = (v.log_det for v in flows)
    ends = np.quantile([first[:_SHOWN], second[:_SHOWN]], [0.001, 0.999])
    ends += np.array([-0.3, 0.3])
    (equal,) = scatter.plot(ends, ends, color=_EQUAL, linewidth=1, zorder=0)
    (point,) = scatter.plot(
        first[:_SHOWN],
        second[:_SHOWN],
        '.',
        color=_POINT,
        markersize=3,
    )
    (mean,) = scatter.plot(
        first.mean(),
        second.mean(),
        'o',
        color=_MEAN,
        markersize=8,
        markeredgecolor='white',
    )
    scatter.set(xlim=ends, ylim=ends, aspect='equal')
    scatter.set_xlabel('log|det J|, first flow')
    for axes in (plane, scatter):
      axes.spines[['top', 'right']].set_visible(False)
      axes.tick_params(labelsize=8)
  panels[0, 0].set_ylabel('x2')
  panels[1, 0].set_ylabel('log|det J|, second flow')
  # Contours have no handles of their own.
  (one,) = panels[0, 0].plot([], [], color=_FIRST)
  (other,) = panels[0, 0].plot([], [], color=_SECOND, linestyle='dashed')
  figure.legend(
      [one, other, point, mean, equal],
      [
          'z1, z2 = -2, -1, 0, 1, 2 of the first flow',
          'of the second',
          'a point of the data',
          'mean',
          'equal',
      ],
      loc='outside lower center',
      ncols=5,
      frameon=False,
  )
  canvas.draw()
  # A palette: a third of the size.
  picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert('RGB')
  picture.quantize(128).save(path, format='png', optimize=True)


def main(argv):
  """Compares all pairs."""
  del argv
  print(
      f'{"largest differences of":<27}{"map":>9}{"log|det|":>10}'
      f'{"mean log|det|":>18}{"likelihood":>14}'
  )
  pairs, points, values, results = exact_flows.make_pairs(), [], [], []
  for pair in pairs:
    x = pair.data.sample(_NUM_POINTS.value, seed=[_SEED.value, 0])
    flows = [evaluate(flow, x) for flow in (pair.first, pair.second)]
    result = compare(*flows, pair.data.log_prob(x).numpy())
    points.append(x)
    values.append(flows)
    results.append({'pair': pair.name, **result})
    print(
        f'{pair.name:<27}{result["map_difference"]:>9.1e}'
        f'{result["log_det_difference"]:>10.1e}'
        f'{result["mean_difference"]:>+10.1e} +- '
        f'{result["standard_error"]:.1e}'
        f'{result["log_likelihood_difference"]:>10.1e}',
        flush=True,
    )
  print()
  for pair in pairs:
    print(textwrap.fill(f'* {pair.name}: {pair.finding}', 80))
  programs.write_results(results)
  if _PICTURE.value:
    plot_pairs(_PICTURE.value, pairs, points, values)


if __name__ == '__main__':
  programs.run(main)
