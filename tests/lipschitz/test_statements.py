"""A subclass may compute something else, so its base class certifies nothing.

Each public class whose constants are stated or registered gets a subclass that
scales its output, and one that scales it and says so.
"""

import inspect
import math

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob = fo.bijectors
lip = fo.lipschitz
FACTOR = 5.0

# Networks of one number to one, with constants of at most 0.9.
NETWORKS = {
    'LipschitzDense': (
        lip.LipschitzDense,
        lambda cls: cls(1, 1, lipschitz=0.9, dtype=tf.float64),
        [2, 1],
    ),
    'LipschitzConv2D': (
        lip.LipschitzConv2D,
        lambda cls: cls(1, 1, 1, lipschitz=0.9, dtype=tf.float64),
        [2, 1, 1, 1],
    ),
    'DenseConditioner': (
        fo.networks.DenseConditioner,
        lambda cls: registry.randomize(
            cls(1, 2, 1, lipschitz=0.9, dtype=tf.float64)
        ),
        [2, 1],
    ),
    'ConvConditioner': (
        fo.networks.ConvConditioner,
        lambda cls: registry.randomize(
            cls(1, 2, 1, lipschitz=0.9, dtype=tf.float64)
        ),
        [2, 1, 1, 1],
    ),
}


def scaled(cls):
  """A subclass that computes five times as much."""

  class Scaled(cls):

    def __call__(self, x):
      return FACTOR * super().__call__(x)

  return Scaled


def honest(cls):
  """The same, which states its constant."""

  class Honest(scaled(cls)):

    @property
    def lipschitz(self):
      return FACTOR * super().lipschitz

  return Honest


def wrapped(cls):
  """What passes on all attributes of what it wraps."""

  class Wrapped:

    def __init__(self, *args, **kwargs):
      self._inner = cls(*args, **kwargs)

    def __getattr__(self, name):
      return getattr(self._inner, name)

    def __call__(self, x):
      return FACTOR * self._inner(x)

  return Wrapped


def test_every_network_is_here():
  public = {
      name
      for module in (fo.lipschitz, fo.networks)
      for name, cls in vars(module).items()
      if inspect.isclass(cls) and hasattr(cls, 'lipschitz')
  }
  # `MaskedConditioner` is for no coupling: test_masked_autoregressive.
  assert public == {*NETWORKS, 'MaskedConditioner'}


@pytest.mark.filterwarnings('ignore:Argument `conditioner` is not a tf.Module')
@pytest.mark.parametrize('name', NETWORKS)
def test_a_subclass_of_a_network_states_its_constant_again(name):
  cls, make, shape = NETWORKS[name]
  x = tf.reshape(tf.constant([0.0, 1e-3], tf.float64), shape)
  ndims = len(shape) - 1
  slope = float(np.abs(np.diff(np.ravel(make(cls)(x)))[0]) / 1e-3)
  certified = lip.lipschitz_bounds(fob.AdditiveCoupling(make(cls), ndims))
  assert np.hypot(1.0, slope) <= certified.inverse < 2.0
  for other in (scaled(cls), wrapped(cls)):
    with pytest.raises(TypeError, match='lipschitz'):
      lip.lipschitz_bounds(fob.AdditiveCoupling(make(other), ndims))
    with pytest.raises(TypeError, match='lipschitz'):
      fob.LipschitzResidual(make(other), ndims)

  network = make(honest(cls))
  y = tf.concat([x, tf.zeros_like(x)], axis=-1)
  coupling = fob.AdditiveCoupling(network, ndims)
  z = coupling.inverse(y)
  measured = np.linalg.norm(z[1] - z[0]) / 1e-3
  assert measured == pytest.approx(np.hypot(1.0, FACTOR * slope))
  certified = lip.lipschitz_bounds(coupling)
  # N(c, 1) = (c + sqrt(c^2 + 4)) / 2.
  wanted = network.lipschitz / 2 + np.hypot(network.lipschitz / 2, 1.0)
  assert measured <= certified.inverse == pytest.approx(wanted)
  # One line repeats a statement that still holds.
  repeated = type('Repeated', (cls,), {'lipschitz': cls.lipschitz})
  certified = lip.lipschitz_bounds(fob.AdditiveCoupling(make(repeated), ndims))
  assert certified.inverse == pytest.approx(0.45 + np.hypot(0.45, 1.0))


def test_a_network_without_a_statement_has_no_constant():
  class Bare:

    def __call__(self, x):
      return x

  assert lip.lipschitz_bounds(fob.AdditiveCoupling(Bare(), 1)) == (
      math.inf,
      math.inf,
  )
  bare = Bare()
  bare.lipschitz = 0.5  # of the object: its own
  assert fob.LipschitzResidual(bare).lipschitz == 0.5
  for wrong in (-1.0, math.nan):
    bare.lipschitz = wrong
    with pytest.raises(ValueError, match='lipschitz'):
      lip.lipschitz_bounds(fob.AdditiveCoupling(bare, 1))


def test_a_convex_potential_needs_the_very_layer():
  for cls in (lip.LipschitzDense, lip.LipschitzConv2D):
    for other in (scaled(cls), honest(cls)):
      with pytest.raises(ValueError, match='layer'):
        fob.ConvexPotentialResidual(other(2, 3))


@pytest.mark.parametrize('name', registry.ENTRIES)
def test_a_subclass_of_a_bijector_is_refused(name):
  bijector = registry.ENTRIES[name].make(tf.float64)
  subclass = type('Scaled', (type(bijector),), {})
  # Without a constructor: the weights are those of the bijector.
  other = subclass.__new__(subclass)
  vars(other).update(vars(bijector))
  for whole in (other, tfp.bijectors.Chain([other])):
    with pytest.raises(TypeError, match='Scaled'):
      lip.lipschitz_bounds(whole)
  if hasattr(bijector, 'bounds_by_part'):
    with pytest.raises(TypeError, match='Scaled'):
      other.bounds_by_part()


def test_by_part_nothing_is_known_of_a_subclass_either():
  flow = fob.ImageFlow(
      [4, 4, 1], num_levels=1, num_steps=1, hidden_channels=2, tile_sizes=(1,)
  )
  level = flow.levels[0]
  for holder, attribute in (
      (level, '_whiten'),
      (level, '_factor_out'),
      (level.factor_out, '_scaling'),
      (flow, '_top_level'),
  ):
    part = getattr(holder, attribute)
    before = type(part)
    part.__class__ = type('Scaled', (before,), {})
    with pytest.raises(TypeError, match='Scaled'):
      flow.bounds_by_part()
    part.__class__ = before
  assert np.all(np.isfinite(flow.bounds_by_part()))


def test_what_is_not_known_to_be_linear_counts_as_nonlinear():
  from tfp_flowopt.lipschitz import flow_bounds

  layer = registry.randomize(lip.LipschitzDense(1, 1, dtype=tf.float64))
  part = flow_bounds.bounds_by_part(fob.AdditiveCoupling(layer, 1))
  assert part.nonlinear == (1.0, 1.0) and part.linear.forward > 1.0
  layer = honest(lip.LipschitzDense)(1, 1, dtype=tf.float64)
  part = flow_bounds.bounds_by_part(fob.AdditiveCoupling(layer, 1))
  assert part.linear == (1.0, 1.0) and part.nonlinear.forward > 1.0
  part = flow_bounds.bounds_by_part(tfp.bijectors.Tanh())
  assert part.linear == (1.0, 1.0)
  assert part.nonlinear == (1.0, math.inf)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_a_rotation_that_is_none_is_measured(side):
  conv = fob.InvertibleConv1x1(3, dtype=tf.float64)
  # A checkpoint may hold anything.
  getattr(conv, f'_{side}')._base.assign(FACTOR * tf.eye(3, dtype=tf.float64))
  conv.initialize(singular_values=[0.5, 1.0, 2.0])
  eye = tf.reshape(tf.eye(3, dtype=tf.float64), [3, 1, 1, 3])
  constants = lip.lipschitz_bounds(conv)
  for function, bound in (
      (conv.forward, constants.forward), (conv.inverse, constants.inverse)
  ):
    matrix = np.reshape(function(tf.identity(eye)), [3, 3])
    found = np.linalg.norm(matrix, ord=2)
    assert found == pytest.approx(10.0)
    assert found <= bound <= found * (1 + 1e-9)


def test_a_dense_network_knows_its_kernels(rng):
  """The product of their norms; no Jacobian has more."""
  network = fo.networks.DenseConditioner(
      3, 8, 4, lipschitz=5.0, dtype=tf.float64
  )
  assert network.current_lipschitz == 0.0  # the last kernel is zero
  registry.randomize(network, 0.3)
  product = 5.0
  for layer in network._layers:
    product *= np.linalg.norm(layer.effective_kernel(), ord=2)
  current = network.current_lipschitz
  assert current == pytest.approx(product, rel=1e-9)
  assert current < 0.9 * network.lipschitz
  x = tf.constant(rng.normal(size=(50, 3)))
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = network(x)
  jacobians = tape.batch_jacobian(y, x)
  assert np.linalg.norm(jacobians, ord=2, axis=(1, 2)).max() <= current
