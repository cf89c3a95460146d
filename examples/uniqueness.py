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
import json
import textwrap

from absl import app
from absl import flags
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfb = tfp.bijectors
tfd = tfp.distributions

_PICTURE = flags.DEFINE_string('picture', None, 'PNG file to write, if any.')
_RESULTS = flags.DEFINE_string('results', None, 'JSON file to write, if any.')
_NUM_POINTS = flags.DEFINE_integer(
    'num_points', 20000, 'Points of each data set.', lower_bound=2
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the data.', lower_bound=0)

# Colours: of the two flows, and of what equal ones would show.
_FIRST, _SECOND, _EQUAL = '#4c78a8', '#e45756', '#888888'
_POINT, _MEAN = '#8c7fb5', '#222222'
# Points in a panel of the picture.
_SHOWN = 1500

# Two flows of one data set. `forward` of a bijector makes data from latents, as
# in a `tfd.TransformedDistribution`: f is its `inverse`.
Pair = collections.namedtuple(
    'Pair', ['name', 'data', 'first', 'second', 'title', 'finding']
)
# What `evaluate` says of a flow at points.
Values = collections.namedtuple(
    'Values', ['latents', 'log_det', 'log_likelihood']
)


def gaussian():
  """The correlated Gaussian of the first pair."""
  covariance = tf.constant([[2.0, 1.2], [1.2, 1.0]], tf.float64)
  return tfd.MultivariateNormalTriL(
      tf.constant([1.0, -0.5], tf.float64), tf.linalg.cholesky(covariance)
  )


class Banana:
  """A bent density in the plane: x1 ~ N(0, 1), x2 | x1 ~ N(m(x1), s(x1)^2)."""

  def conditional(self, x1):
    """Returns m(x1) and log s(x1)."""
    return 0.3 * tf.square(x1), 0.7 * tf.tanh(x1) - 0.4

  def sample(self, num, seed):
    """Draws float64 `[num, 2]` with a stateless seed."""
    noise = tf.random.stateless_normal([num, 2], seed, dtype=tf.float64)
    x1, noise = tf.unstack(noise, axis=-1)
    mean, log_scale = self.conditional(x1)
    return tf.stack([x1, mean + tf.exp(log_scale) * noise], axis=-1)

  def log_prob(self, x):
    """The logarithm of the joint density at points `[..., 2]`."""
    return self.log_density(*tf.unstack(x, axis=-1))

  def log_density(self, x1, x2):
    """The same, of coordinates that broadcast."""
    mean, log_scale = self.conditional(x1)
    residual = (x2 - mean) * tf.exp(-log_scale)
    return (
        -0.5 * (tf.square(x1) + tf.square(residual))
        - log_scale
        - np.log(2.0 * np.pi)
    )


class KnotheRosenblatt(tfb.Bijector):
  """The increasing triangular flow of a density, by quadrature of it alone.

  With a the coordinate that comes first and b the other,
  z_a = Phi^-1(F(a)) and z_b = Phi^-1(F(b | a)). Only data to latents: that is
  all that a likelihood needs.
  """

  def __init__(
      self,
      log_density,
      box,
      first=0,
      num_cells=150,
      num_nodes=8,
      name='knothe_rosenblatt',
  ):
    """Builds the flow.

    Args:
      log_density: Of x1 and x2, which broadcast.
      box: The two intervals outside which the density is negligible.
      first: Coordinate that comes first, 0 or 1.
      num_cells: Number of cells of each interval.
      num_nodes: Nodes of the Gauss-Legendre rule of a cell.
      name: Name.
    """
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      self._log_density = log_density
      self._first = first
      nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
      # Of the interval [0, 1].
      self._nodes, self._weights = (nodes + 1.0) / 2.0, weights / 2.0
      box = [box[first], box[1 - first]]
      self._low = [low for low, _ in box]
      self._width = [(high - low) / num_cells for low, high in box]
      self._grid = [
          low + width * (np.arange(num_cells)[:, np.newaxis] + self._nodes)
          for low, width in zip(self._low, self._width, strict=True)
      ]
      # The density of a: an integral over b for each node of a's grid, and
      # between these the polynomials through the nodes of each cell.
      density = self._width[1] * tf.reduce_sum(
          self._weights
          * self._density(
              self._grid[0][..., np.newaxis, np.newaxis], self._grid[1]
          ),
          axis=[-2, -1],
      )
      self._marginal_masses = self._masses(density, 0)
      self._marginal_polynomials = tf.linalg.matvec(
          np.linalg.inv(np.vander(nodes, increasing=True)), density
      )
      super().__init__(
          forward_min_event_ndims=1,
          dtype=tf.float64,
          parameters=parameters,
          name=name,
      )

  def _in_order(self, a, b):
    return (b, a) if self._first else (a, b)

  def _density(self, a, b):
    return tf.exp(self._log_density(*self._in_order(a, b)))

  def _marginal(self, a):
    cell, place = self._cell(a, 0)
    powers = (2.0 * place - 1.0)[..., np.newaxis] ** np.arange(len(self._nodes))
    return tf.reduce_sum(
        tf.gather(self._marginal_polynomials, cell) * powers, axis=-1
    )

  def _cell(self, t, axis):
    """The cell of the grid that holds `t`, and where in it, in [0, 1]."""
    t = (t - self._low[axis]) / self._width[axis]
    cell = tf.floor(t)
    return tf.cast(cell, tf.int32), t - cell

  def _masses(self, density, axis):
    return self._width[axis] * tf.linalg.matvec(density, self._weights)

  def _normal_score(self, density, masses, t, axis):
    """Phi^-1 of the share of a density's integral below `t`, `[...]`."""
    cell, place = self._cell(t, axis)
    part = (self._width[axis] * place)[..., np.newaxis]
    at = t[..., np.newaxis] - part * (1.0 - self._nodes)
    part = tf.reduce_sum(part * self._weights * density(at), axis=-1)
    is_below = tf.sequence_mask(cell, masses.shape[-1])
    zeros = tf.zeros_like(masses)
    below = tf.reduce_sum(tf.where(is_below, masses, zeros), axis=-1) + part
    above = tf.reduce_sum(tf.where(is_below, zeros, masses), axis=-1) - part
    # From the smaller of the tails, for 1 - F would lose its digits.
    score = tf.math.ndtri(tf.minimum(below, above) / (below + above))
    return tf.where(below < above, score, -score)

  def _first_latent(self, a):
    return self._normal_score(self._marginal, self._marginal_masses, a, 0)

  def _second_latent(self, a, b):
    a = a[..., np.newaxis]
    masses = self._masses(self._density(a[..., np.newaxis], self._grid[1]), 1)
    return self._normal_score(lambda b: self._density(a, b), masses, b, 1)

  def _inverse(self, x):
    a, b = self._in_order(*tf.unstack(x, axis=-1))
    z = self._first_latent(a), self._second_latent(a, b)
    return tf.stack(self._in_order(*z), axis=-1)

  def _inverse_log_det_jacobian(self, x):
    # Not log p - log p_Z, which would make the likelihood right whatever the
    # map: the slopes of the map as it is computed, triangular.
    a, b = self._in_order(*tf.unstack(x, axis=-1))
    _, first = tfp.math.value_and_gradient(self._first_latent, a)
    _, second = tfp.math.value_and_gradient(
        lambda b: self._second_latent(a, b), b
    )
    return tf.math.log(first) + tf.math.log(second)


class ShearModuloOne(tfb.Bijector):
  """u2 <- u2 + shear * sin(2 pi u1) modulo 1, of the unit square.

  It keeps areas, so uniform points stay uniform.
  """

  def __init__(self, shear, name='shear_modulo_one'):
    """Builds the bijector.

    Args:
      shear: Python `float`.
      name: Name.
    """
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      self._shear = shear
      super().__init__(
          forward_min_event_ndims=1,
          is_constant_jacobian=True,
          dtype=tf.float64,
          parameters=parameters,
          name=name,
      )

  def _shift(self, u, sign):
    u1, u2 = tf.unstack(u, axis=-1)
    u2 += sign * self._shear * tf.sin(2.0 * np.pi * u1)
    return tf.stack([u1, tf.math.floormod(u2, 1.0)], axis=-1)

  def _forward(self, u):
    return self._shift(u, 1.0)

  def _inverse(self, u):
    return self._shift(u, -1.0)

  def _forward_log_det_jacobian(self, u):
    return tf.zeros([], u.dtype)

  def _inverse_log_det_jacobian(self, u):
    return tf.zeros([], u.dtype)


def normal_shear(shear):
  """Phi^-1 o shear o Phi, which leaves the standard normal as it is."""
  return tfb.Chain([
      tfb.Invert(tfb.NormalCDF()), ShearModuloOne(shear), tfb.NormalCDF()
  ])


def make_pairs():
  """Returns the pairs of flows, a list of `Pair`."""
  normal, banana = gaussian(), Banana()
  root = tf.linalg.sqrtm(normal.covariance())
  # x1 = z1, x2 = m(x1) + s(x1) z2.
  triangular = tfb.RealNVP(
      num_masked=1,
      shift_and_log_scale_fn=lambda x1, units, **_: banana.conditional(x1),
  )
  # What is outside is below rounding, of x2 given each x1 of the data, too.
  box = [(-8.5, 8.5), (-12.0, 35.0)]
  return [
      Pair(
          'Cholesky, symmetric root',
          normal,
          tfb.Chain([
              tfb.Shift(normal.loc),
              tfb.ScaleMatvecTriL(normal.scale_tril),
          ]),
          tfb.Chain([
              tfb.Shift(normal.loc), tfb.ScaleMatvecLU(*tf.linalg.lu(root))
          ]),
          'Affine, of a Gaussian:\ndifferent maps, same log|det|',
          'Affine flows of a Gaussian differ by a rotation, but log|det J| is'
          ' the same number everywhere: -1/2 log det of the covariance.',
      ),
      Pair(
          'triangular, by quadrature',
          banana,
          triangular,
          KnotheRosenblatt(banana.log_density, box),
          'Triangular, found in two ways:\nsame map, same log|det|',
          'The increasing triangular flow is unique: found from the density'
          ' alone, it is the same map, and log|det J| is the same everywhere.',
      ),
      Pair(
          'triangular, other order',
          banana,
          triangular,
          KnotheRosenblatt(banana.log_density, box, first=1),
          'Triangular, x1 or x2 first:\nlog|det| agrees only on average',
          'In the other order of the coordinates it is another smooth map, and'
          ' log|det J| another function of the point, with the same mean.',
      ),
      Pair(
          'a shear of the latents',
          banana,
          triangular,
          tfb.Chain([triangular, tfb.Invert(normal_shear(0.15))]),
          'Latents as they are or sheared:\nlog|det| agrees only on average',
          'A map that leaves the normal as it is can follow any flow: the'
          ' likelihood stays the same at every point, log|det J| only on'
          ' average.',
      ),
  ]


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
    pairs: List of `Pair`.
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
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  print(
      f'{"largest differences of":<27}{"map":>9}{"log|det|":>10}'
      f'{"mean log|det|":>18}{"likelihood":>14}'
  )
  pairs, points, values, results = make_pairs(), [], [], []
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
  if _RESULTS.value:
    with open(_RESULTS.value, 'w') as f:
      json.dump(results, f, indent=2)
  if _PICTURE.value:
    plot_pairs(_PICTURE.value, pairs, points, values)


if __name__ == '__main__':
  app.run(main)
