"""Log-determinants of residual maps, exact and estimated."""

import numpy as np
import pytest
from support import probes
from support import registry
from support.residuals import Linear
from support.residuals import contractions
from support.residuals import network
from support.residuals import points
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.internal import power_series
from tfp_flowopt.internal import stochastic_log_det

tfd = tfp.distributions


def exact_log_det(branch, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = x + branch(x)
  jacobian = tape.batch_jacobian(y, x)
  return tf.linalg.logdet(tf.matmul(jacobian, jacobian, transpose_a=True)) / 2


def weighted_gradients(log_det, x, variables):
  """Of the log-determinants weighted by 1, -2, 5, ... and the input."""
  weights = tf.constant([1.0, -2.0, 5.0], tf.float64)
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = log_det(x)
    loss = tf.reduce_sum(weights * value)
  return value, tape.gradient(
      loss, [x, *variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
  )


@pytest.mark.parametrize('log_det', ['series', 'lanczos'])
def test_value_and_weighted_gradients_are_those_of_the_exact_one(log_det):
  branch = network()
  bijector = fo.bijectors.LipschitzResidual(
      branch, log_det=log_det, num_terms=4 if log_det == 'lanczos' else 150
  )
  estimator = (
      bijector._lanczos if log_det == 'lanczos' else bijector._series(None)
  )

  def estimate(x):
    return stochastic_log_det.value_and_log_det(
        branch, x, 1, probes.orthogonal_probes(x), estimator
    )[1]

  variables = branch.trainable_variables
  got = tf.function(
      lambda x: weighted_gradients(estimate, x, variables)
  )(points())
  want = weighted_gradients(
      lambda x: exact_log_det(branch, x), points(), variables
  )
  np.testing.assert_allclose(got[0], want[0], atol=1e-8)
  assert np.abs(want[0]).min() > 1e-3
  for a, b in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-8)
  # The dense one, too.
  got = weighted_gradients(
      fo.bijectors.LipschitzResidual(branch).inverse_log_det_jacobian,
      points(),
      variables,
  )
  for a, b in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize('num_terms', [1, 20])
def test_bias_of_the_series(num_terms):
  lipschitz, size = 0.9, 6
  bijector = fo.bijectors.LipschitzResidual(
      # Any probe of signs gives the exact trace of a multiple of I.
      Linear(-lipschitz * np.eye(size), lipschitz),
      log_det='series',
      num_terms=num_terms,
  )
  got = bijector.inverse_log_det_jacobian(points(3, size))
  bias = np.abs(got - size * np.log(1 - lipschitz))
  bound = bijector.series_bias_bound(size)
  assert np.all(bias <= bound)
  assert np.all(bias >= 0.3 * bound)
  assert bound == pytest.approx(
      size * 0.9 ** (num_terms + 1) / ((num_terms + 1) * 0.1)
  )


def estimates(bijector, x, variables, num=400):
  """Values and weighted gradients for many seeds, as `[num, ...]`."""

  @tf.function
  def run(seed):
    value, gradients = weighted_gradients(
        lambda x: bijector.inverse_log_det_jacobian(x, seed=seed), x, variables
    )
    return tf.concat(
        [tf.reshape(t, [-1]) for t in [value, *gradients]], axis=0
    )

  return np.stack([run(tf.constant([7, i])) for i in range(num)])


def test_roulette_is_unbiased_and_the_short_series_is_not():
  branch = Linear(contractions(4, 0.9)['reflection'] * 0.99, 0.9)
  branch.matrix.assign_add(0.05 * registry.rotation(4, 1))
  branch.lipschitz = float(np.linalg.norm(branch.matrix, ord=2)) + 1e-6
  value, gradients = weighted_gradients(
      lambda x: exact_log_det(branch, x), points(), [branch.matrix]
  )
  want = np.concatenate([np.ravel(t) for t in [value, *gradients]])
  scores = {}
  for log_det in ('roulette', 'series'):
    bijector = fo.bijectors.LipschitzResidual(
        branch, log_det=log_det, num_terms=2
    )
    got = estimates(bijector, points(), [branch.matrix])
    error = got.std(axis=0, ddof=1) / np.sqrt(len(got)) + 1e-9
    scores[log_det] = np.abs((got.mean(axis=0) - want) / error).max()
  # 31 numbers: 4.5 standard errors are less than once in 4000 runs.
  assert scores['roulette'] < 4.5
  assert scores['series'] > 20


def test_roulette_terms_are_geometric():
  draws = np.array([
      power_series.num_roulette_terms(3, 0.25, tf.constant([1, i]))
      for i in range(600)
  ])
  assert draws.min() == 3
  for k in (4, 5, 8):
    reached, q = np.mean(draws >= k), 0.75 ** (k - 3)
    assert abs(reached - q) < 4 * np.sqrt(q * (1 - q) / len(draws))


def test_lanczos_converges_faster_than_the_series():
  size, lipschitz = 64, 0.9
  basis = registry.rotation(size, 1)
  values = np.random.default_rng(0).uniform(-lipschitz, lipschitz, size)
  branch = Linear(basis @ np.diag(values) @ basis.T, lipschitz)
  want = np.linalg.slogdet(np.eye(size) + branch.matrix.numpy())[1]
  x = points(1, size)
  errors = {}
  for log_det in ('lanczos', 'series'):
    bijector = fo.bijectors.LipschitzResidual(
        branch, log_det=log_det, num_terms=24
    )
    estimator = (
        bijector._lanczos if log_det == 'lanczos' else bijector._series(None)
    )
    _, got = stochastic_log_det.value_and_log_det(
        branch, x, 1, probes.orthogonal_probes(x), estimator
    )
    errors[log_det] = abs(float(got[0]) - want) / size
  assert errors['lanczos'] < 1e-4
  assert errors['lanczos'] < 0.2 * errors['series']


def test_seeds():
  bijector = fo.bijectors.LipschitzResidual(
      network(), log_det='roulette', num_terms=1, seed=3
  )
  y = points()

  def log_det(seed=None):
    kwargs = {} if seed is None else {'seed': seed}
    return bijector.inverse_log_det_jacobian(tf.identity(y), **kwargs).numpy()

  np.testing.assert_array_equal(log_det(), log_det())
  np.testing.assert_array_equal(log_det(), log_det([0, 3]))
  np.testing.assert_array_equal(log_det(5), log_det(tf.constant([0, 5])))
  assert np.abs(log_det(5) - log_det(6)).max() > 1e-3
  # Also for one and the same input, and through a distribution.
  first = bijector.inverse_log_det_jacobian(y, seed=1)
  assert np.abs(
      first - bijector.inverse_log_det_jacobian(y, seed=2)
  ).max() > 1e-3
  flow = tfd.TransformedDistribution(
      tfd.MultivariateNormalDiag(tf.zeros([4], tf.float64)), bijector
  )
  got = flow.log_prob(y, bijector_kwargs={'seed': tf.constant([0, 1])})
  base = flow.distribution.log_prob(bijector.inverse(y))
  np.testing.assert_allclose(got, base + first, rtol=1e-12)
  for bad in ('a', 1.5, [1, 2, 3]):
    with pytest.raises(ValueError, match='seed'):
      bijector.inverse(y, seed=bad)
