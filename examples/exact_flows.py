"""Pairs of exact flows of the same data, in the plane.

Used by `uniqueness.py`.
"""

import collections

import numpy as np
import onednn  # noqa: F401
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = [
    'Banana',
    'KnotheRosenblatt',
    'Pair',
    'ShearModuloOne',
    'gaussian',
    'make_pairs',
    'normal_shear',
]

tfb = tfp.bijectors
tfd = tfp.distributions

# Two flows of one data set. `forward` of a bijector makes data from latents, as
# in a `tfd.TransformedDistribution`: f is its `inverse`.
Pair = collections.namedtuple(
    'Pair', ['name', 'data', 'first', 'second', 'title', 'finding']
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
