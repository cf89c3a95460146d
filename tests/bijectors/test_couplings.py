import math
import warnings

import numpy as np
import pytest
from support import adversary
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo


class Constant(tf.Module):
  """A conditioner with the same output everywhere."""

  lipschitz = 0.0

  def __init__(self, raw_scale, shift):
    super().__init__()
    self._raw_scale = raw_scale
    self._shift = shift

  def __call__(self, x):
    ones = tf.ones_like(x)
    return tf.concat([self._raw_scale * ones, self._shift * ones], axis=-1)


def vectors(second):
  second = np.asarray(second, np.float64)
  return tf.constant(np.stack([np.zeros_like(second), second], axis=-1))


def test_wide_tails_give_the_usual_affine_coupling():
  y = vectors(np.linspace(-50, 50, 101))
  raw, shift = 0.7, 1.5
  s = math.tanh(raw)
  for tail_bound, tolerance in ((math.inf, 1e-12), (1e9, 1e-4)):
    coupling = fo.bijectors.AffineCoupling(
        Constant(raw, shift), tail_bound=tail_bound, event_ndims=1
    )
    x = coupling.inverse(y)
    np.testing.assert_allclose(
        x[:, 1], np.exp(s) * y[:, 1] + shift, atol=tolerance
    )
    np.testing.assert_allclose(
        coupling.inverse_log_det_jacobian(y), s, atol=tolerance
    )
    np.testing.assert_allclose(
        coupling.forward(tf.identity(x)), y, atol=1e-9
    )


@pytest.mark.parametrize('raw', [-30.0, -0.5, 0.0, 0.5, 30.0])
@pytest.mark.parametrize('tail_bound', [1e-3, 3.0, 1e6])
def test_slopes_are_bounded_and_the_density_is_continuous(raw, tail_bound):
  a = 2.0
  coupling = fo.bijectors.AffineCoupling(
      Constant(raw, 0.3),
      scale_bound=a,
      tail_bound=tail_bound,
      event_ndims=1,
  )
  y = np.concatenate([
      tail_bound * np.linspace(-2, 2, 4001),
      [-1e12, -1e5, 1e5, 1e12, 0.0, 1e-300],
  ])
  log_slope = coupling.inverse_log_det_jacobian(vectors(y)).numpy()
  assert np.all(np.abs(log_slope) <= a + 1e-12)
  # |d log slope / dy| <= 2 (e^a - 1) e^a / B: no jump on the grid.
  step = 1e-3 * tail_bound
  jump = np.abs(np.diff(log_slope[:4001])).max()
  assert jump <= 2 * (np.exp(a) - 1) * np.exp(a) / tail_bound * step * 1.01
  # The inverse of the quadratic is exact at every size.
  x = tf.identity(coupling.inverse(vectors(y)))
  np.testing.assert_allclose(
      coupling.forward(x)[:, 1], y, rtol=1e-9, atol=1e-12
  )


@pytest.mark.parametrize('a', [1.0, 5.0, 16.0])
@pytest.mark.parametrize('sign', [-1, 1])
@pytest.mark.parametrize('tail_bound', [3.0, math.inf])
def test_float32_keeps_its_digits_at_every_scale(a, sign, tail_bound):
  coupling = fo.bijectors.AffineCoupling(
      Constant(sign * 1e3, 0.0),
      scale_bound=a,
      tail_bound=tail_bound,
      event_ndims=1,
  )
  y = np.array([0.0, 1e-9, 1e-3, 0.5, 2.0])
  x = tf.identity(coupling.inverse(tf.cast(vectors(y), tf.float32)))
  np.testing.assert_allclose(coupling.forward(x)[:, 1], y, rtol=2e-6)
  ildj = coupling.inverse_log_det_jacobian(tf.cast(vectors(y), tf.float32))
  u = y / tail_bound
  want = np.log((np.exp(sign * a) + u * (2 + u)) / (1 + u) ** 2)
  np.testing.assert_allclose(ildj, want, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('raw', [-1e3, -0.5, 1e3])
def test_float32_has_no_nan_at_extreme_inputs(raw):
  coupling = fo.bijectors.AffineCoupling(
      Constant(raw, 0.0), scale_bound=40.0, tail_bound=0.1, event_ndims=1
  )
  x = tf.cast(vectors([0.0, 1e-38, 1.0, -1e10, 1e20, -1e38]), tf.float32)
  for function in (coupling.forward, coupling.inverse):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = function(x)
    assert not np.any(np.isnan(y))
    assert not np.any(np.isnan(tape.gradient(y, x)))


def test_gradient_at_the_fixed_point():
  # x2 = t exactly: the derivative of forward there is e^-s, not 0.
  coupling = fo.bijectors.AffineCoupling(Constant(0.5, 1.0), event_ndims=1)
  x = vectors([1.0])
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = coupling.forward(x)[0, 1]
  slope = tape.gradient(y, x)[0, 1]
  np.testing.assert_allclose(slope, np.exp(-np.tanh(0.5)), rtol=1e-12)


def test_without_a_certificate_the_constants_are_infinite():
  def network(x):
    return tf.concat([x, x], axis=-1)

  affine = fo.bijectors.AffineCoupling(network, event_ndims=1)
  additive = fo.bijectors.AdditiveCoupling(lambda x: x**2, event_ndims=1)
  plain = fo.bijectors.AffineCoupling(
      fo.networks.ConvConditioner(2, 4, 4), tail_bound=math.inf
  )
  for coupling in (affine, additive, plain):
    bounds = fo.lipschitz.lipschitz_bounds(coupling)
    assert bounds == (math.inf, math.inf)


def test_the_bounds_of_an_affine_coupling_are_approached():
  # The worst conditioner of constant L, at the worst point.
  lipschitz, a, b = 5.0, 1.0, 3.0
  s = np.sqrt(1 + a**2) - 1
  k = np.exp(s) * (1 - (s / a) ** 2)
  direction = lipschitz * np.array([k * b, 1.0]) / np.hypot(k * b, 1.0)

  class Worst(tf.Module):

    def __call__(self, x):
      return x * direction

  Worst.lipschitz = lipschitz
  coupling = fo.bijectors.AffineCoupling(
      Worst(), scale_bound=a, tail_bound=b, event_ndims=1
  )
  bounds = fo.lipschitz.lipschitz_bounds(coupling)
  first = a * np.arctanh(s / a) / direction[0]
  y = tf.constant([[first, 1e7]], tf.float64)
  x = tf.identity(coupling.inverse(y))
  for function, point, bound, reached in (
      (coupling.inverse, y, bounds.inverse, 0.98),
      # The largest slope and the largest cross term are not at one point.
      (coupling.forward, x, bounds.forward, 0.98 * np.exp(-a)),
  ):
    with tf.GradientTape() as tape:
      tape.watch(point)
      value = function(point)
    norm = np.linalg.norm(tape.batch_jacobian(value, point)[0], ord=2)
    assert reached * bound < norm <= bound
    found = adversary.largest_expansion(function, (2,), num_pairs=200)
    assert found <= bound


def test_a_constant_conditioner_is_certified_whatever_the_tails():
  coupling = fo.bijectors.AffineCoupling(
      Constant(0.3, 1.0), scale_bound=2.0, tail_bound=math.inf
  )
  np.testing.assert_allclose(
      fo.lipschitz.lipschitz_bounds(coupling), [np.exp(2.0)] * 2
  )


def test_outputs_of_the_wrong_size_are_refused():
  coupling = fo.bijectors.AdditiveCoupling(
      lambda x: tf.concat([x, x, x], axis=-1), event_ndims=1
  )
  with pytest.raises(ValueError, match='outputs'):
    coupling.inverse(tf.zeros([4, 2]))


@pytest.mark.parametrize(
    'arguments',
    [{'scale_bound': 0.0}, {'scale_bound': 99.0}, {'tail_bound': -1.0}],
)
def test_bad_bounds_are_named(arguments):
  with pytest.raises(ValueError, match=next(iter(arguments))):
    fo.bijectors.AffineCoupling(Constant(0.0, 0.0), **arguments)


def test_a_single_channel_cannot_be_coupled():
  coupling = fo.bijectors.AdditiveCoupling(lambda x: x)
  with pytest.raises(ValueError, match='at least 2'):
    coupling.inverse(tf.ones([1, 4, 4, 1]))


@pytest.mark.parametrize('kind', ['AdditiveCoupling', 'AffineCoupling'])
def test_numbers_become_those_of_the_network(kind):
  outputs = 1 if kind == 'AdditiveCoupling' else 2
  network = fo.networks.DenseConditioner(1, 4, outputs)
  bijector = getattr(fo.bijectors, kind)(network, event_ndims=1)
  assert bijector.dtype == tf.float32
  for y in ([[1.0, 2.0]], np.ones([3, 2])):
    assert bijector.inverse(y).dtype == tf.float32


def test_a_model_of_keras_that_is_not_built_yet(rng):
  network = tf_keras.Sequential(
      [tf_keras.layers.Dense(8, 'tanh'), tf_keras.layers.Dense(4)]
  )
  coupling = fo.bijectors.AffineCoupling(network, event_ndims=1)
  x = rng.normal(size=[5, 4]).astype(np.float32)
  y = tf.identity(coupling.forward(x))
  np.testing.assert_allclose(coupling.inverse(y), x, atol=1e-5)
  assert len(coupling.trainable_variables) == 4


def test_a_network_that_is_no_module_is_warned_of():
  class Network:
    lipschitz = 0.5
    trainable_variables = ()

    def __call__(self, x):
      return x

  for make in (
      lambda: fo.bijectors.AdditiveCoupling(Network(), event_ndims=1),
      lambda: fo.bijectors.LipschitzResidual(Network()),
  ):
    with pytest.warns(UserWarning, match='not a tf.Module') as caught:
      make()
    assert caught[0].filename == __file__


def test_a_network_that_does_not_say_what_it_takes_is_told():
  class Network(tf.Module):
    lipschitz = 1.0

    def __call__(self, x, conditioning=None):
      return x if conditioning is None else x + conditioning

  with pytest.warns(UserWarning, match='takes `conditioning`, and will get no'):
    fo.bijectors.AdditiveCoupling(Network(), event_ndims=1)
  network = Network()
  network.conditioning_channels = 1
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    fo.bijectors.AdditiveCoupling(network, event_ndims=1)
