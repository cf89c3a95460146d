"""`MaskedAutoregressive` and its network: order, solve and constants."""

import math

import numpy as np
import pytest
from support import adversary
from support import jacobians
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.bijectors import masked_autoregressive


def layer(size, scale=0.5, num_bins=4, **kwargs):
  network = fo.networks.MaskedConditioner(
      size, 12, num_bins, lipschitz=2.0, dtype=tf.float64,
      conditioning_features=2,
  )
  return fo.bijectors.MaskedAutoregressive(
      registry.randomize(network, scale), num_bins, **kwargs
  )


def points(size, rng, num=6):
  y = tf.constant(2.0 * rng.normal(size=[num, size]))
  return y, tf.constant(rng.normal(size=[num, 2]))


@pytest.mark.parametrize('size', [1, 2, 3, 7])
def test_a_component_depends_on_those_before_it(size, rng):
  bijector = layer(size)
  network, (y, c) = bijector.network, points(size, rng)
  columns = jacobians.jacobian_of(
      lambda y, c: tf.reshape(network(y, c), [-1, 4, size])[:, 3]
  )(y, c)
  assert np.all(columns[:, *np.triu_indices(size)] == 0)
  # Each of all before: there is a hidden unit for each degree.
  assert np.all(np.any(columns[:, *np.tril_indices(size, -1)] != 0, axis=0))
  # The slopes of the curves are the diagonal.
  jacobian = jacobians.jacobian_of(
      lambda y, c: bijector.inverse(y, conditioning=c)
  )(y, c)
  assert np.all(jacobian[:, *np.triu_indices(size, 1)] == 0)
  np.testing.assert_allclose(
      np.log(np.diagonal(jacobian, axis1=1, axis2=2)).sum(axis=1),
      bijector.inverse_log_det_jacobian(y, event_ndims=1, conditioning=c),
      rtol=1e-9,
  )


@pytest.mark.parametrize('size', [1, 2, 5])
def test_forward_is_the_inverse_and_so_are_its_gradients(size, rng):
  bijector = layer(size)
  y, c = points(size, rng)
  x = bijector.inverse(y, conditioning=c)

  @tf.function(autograph=False)
  def forward(x, c):
    return bijector.forward(x, conditioning=c)

  np.testing.assert_allclose(forward(x, c), y, atol=1e-12)
  jacobian = jacobians.jacobian_of(
      lambda y, c: bijector.inverse(y, conditioning=c)
  )(y, c)
  np.testing.assert_allclose(
      jacobians.jacobian_of(forward)(x, c), np.linalg.inv(jacobian), atol=1e-9
  )
  np.testing.assert_allclose(
      bijector.forward_log_det_jacobian(
          tf.identity(x), event_ndims=1, conditioning=c
      ),
      -np.linalg.slogdet(jacobian)[1],
      atol=1e-9,
  )
  # Of weights and of the condition, against differences of the solution.
  weight = bijector.network.trainable_variables[-1]
  with tf.GradientTape() as tape:
    tape.watch(c)
    value = tf.reduce_sum(tf.sin(bijector.forward(x, conditioning=c)))
  gradients = tape.gradient(value, [weight, c])
  for source, gradient in zip((weight, c), gradients, strict=True):
    direction = tf.constant(rng.normal(size=source.shape))
    found = []
    for sign in (1, -1):
      moved = sign * 1e-6 * direction
      if source is c:
        y_moved = forward(x, c + moved)
      else:
        weight.assign_add(moved)
        y_moved = forward(x, c)
        weight.assign_sub(moved)
      found.append(tf.reduce_sum(tf.sin(y_moved)))
    np.testing.assert_allclose(
        tf.reduce_sum(gradient * direction), (found[0] - found[1]) / 2e-6,
        rtol=1e-6, atol=1e-8,
    )


def test_forward_needs_no_more_evaluations_than_components(rng, monkeypatch):
  bijector, count = layer(6), []
  original = type(bijector)._params

  def counted(self, *args):
    count.append(0)
    return original(self, *args)

  monkeypatch.setattr(type(bijector), '_params', counted)
  y, c = points(6, rng)
  x = bijector.inverse(y, conditioning=c)
  count.clear()
  solution = bijector._solve(x, c)
  assert len(count) <= 6
  np.testing.assert_allclose(solution, y, atol=1e-12)
  # A new layer is a shift: once, and once more to see that nothing changes.
  new = fo.bijectors.MaskedAutoregressive(
      fo.networks.MaskedConditioner(6, 8, 16)
  )
  count.clear()
  np.testing.assert_allclose(new._solve(tf.ones([2, 6]), None), 1.0, rtol=1e-6)
  assert len(count) == 2


@pytest.mark.parametrize('budget', [1e-3, 0.4, 3.0])
@pytest.mark.parametrize('size', [2, 6])
def test_constants_within_a_budget(budget, size):
  slope, lipschitz = masked_autoregressive.constants_within(budget, 8, 3.0)
  network = fo.networks.MaskedConditioner(
      size, 8, 8, lipschitz=lipschitz, dtype=tf.float64
  )
  registry.randomize(network, 3.0)
  bijector = fo.bijectors.MaskedAutoregressive(network, 8, 1.0 / slope, slope)
  forward, inverse = fo.lipschitz.lipschitz_bounds(bijector)
  assert max(forward, inverse) <= math.exp(budget) * (1 + 1e-11)
  # In many dimensions most of it is used, as far as the kernels' norms are 1.
  if size == 6 and budget < 1:
    assert math.log(forward) > 0.7 * budget


def test_the_forward_constant_is_that_of_the_worst_matrix(rng):
  """`S + N`, slopes of at least `m`, `|N| <= c`: in any order of magnitude."""
  for size in (2, 3, 5):
    bijector = layer(size, min_slope=0.5, max_slope=2.0)
    cross = bijector.splines.cross_constant(bijector.network.current_lipschitz)
    forward, inverse = fo.lipschitz.lipschitz_bounds(bijector)
    worst = np.diag(np.full(size, 0.5)) - np.diag(np.full(size - 1, cross), -1)
    # Within a factor of the norm of what is not on the extreme diagonals.
    largest = np.linalg.norm(np.linalg.inv(worst), ord=2)
    assert largest <= forward <= 2.0 * largest
    for _ in range(200):
      below = np.tril(rng.normal(size=[size, size]), -1)
      below *= cross / np.linalg.norm(below, ord=2)
      matrix = np.diag(rng.choice([0.5, 2.0], size)) + below
      assert np.linalg.norm(matrix, ord=2) <= inverse
      assert np.linalg.norm(np.linalg.inv(matrix), ord=2) <= forward


def test_constants_against_an_adversary():
  network = fo.networks.MaskedConditioner(
      3, 8, 6, lipschitz=3.0, zero_initial=False, dtype=tf.float64
  )
  bijector = fo.bijectors.MaskedAutoregressive(network, 6, max_slope=6.0)
  certified = fo.lipschitz.lipschitz_bounds(bijector)
  for function, bound in (
      (bijector.forward, certified.forward),
      (bijector.inverse, certified.inverse),
  ):
    found = adversary.largest_expansion(function, (3,), num_steps=20)
    assert found <= bound


def test_what_is_no_autoregressive_network():
  with pytest.raises(ValueError, match=r'`network` must be a `Masked'):
    fo.bijectors.MaskedAutoregressive(fo.networks.DenseConditioner(3, 4, 48))
  with pytest.raises(ValueError, match=r'must have `num_bins` .* 8, got 16'):
    fo.bijectors.MaskedAutoregressive(
        fo.networks.MaskedConditioner(3, 4, 16), num_bins=8
    )


def test_a_subclass_of_the_network_states_its_constant_again():
  class Scaled(fo.networks.MaskedConditioner):

    def __call__(self, x, conditioning=None):
      return 5.0 * super().__call__(x, conditioning)

  bijector = fo.bijectors.MaskedAutoregressive(Scaled(3, 4, 16))
  with pytest.raises(TypeError, match='lipschitz'):
    fo.lipschitz.lipschitz_bounds(bijector)


def test_masks_of_dense_layers(rng):
  mask = rng.integers(2, size=[5, 3])
  x = tf.constant(rng.normal(size=[4, 5]), tf.float32)
  for normalization in ('aol', 'gram', None):
    dense = fo.lipschitz.LipschitzDense(
        5, 3, normalization=normalization, mask=mask
    )
    registry.randomize(dense, 2.0)
    kernel = dense.effective_kernel().numpy()
    assert np.all((kernel != 0) == (mask == 1))
    np.testing.assert_allclose(
        dense(x) - dense(tf.zeros([1, 5])), x @ kernel, atol=1e-5
    )
    if normalization:
      assert np.linalg.norm(kernel, ord=2) <= dense.lipschitz
  for wrong in (mask.T, 2 * mask, [1.0]):
    with pytest.raises(ValueError, match=r'`mask` must have shape \[5, 3\]'):
      fo.lipschitz.LipschitzDense(5, 3, mask=wrong)
