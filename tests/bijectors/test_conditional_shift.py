"""A shift that a condition chooses."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions


@pytest.mark.parametrize('shape', [(3,), (2, 4, 3), (1, 1, 3)])
@pytest.mark.parametrize('labels', [True, False])
def test_it_adds_the_prediction(rng, shape, labels):
  matrix, shift = rng.normal(size=(*shape, 5)), rng.normal(size=shape)
  c = rng.integers(5, size=7) if labels else rng.normal(size=(7, 5))
  bijector = fo.bijectors.ConditionalShift(
      matrix, shift, num_classes=5 if labels else None
  )
  # Sizes of 1 broadcast.
  x = rng.normal(size=(7, *(4 if n == 1 else n for n in shape)))
  features = np.eye(5)[c] if labels else c
  want = x + np.einsum('...f,nf->n...', matrix, features) + shift
  y = bijector.forward(x, conditioning=c)
  np.testing.assert_allclose(y, want, rtol=1e-12)
  np.testing.assert_allclose(
      bijector.inverse(tf.identity(y), conditioning=c), x, atol=1e-12
  )
  for log_det in (
      bijector.forward_log_det_jacobian(x, len(shape), conditioning=c),
      bijector.inverse_log_det_jacobian(x, len(shape), conditioning=c),
  ):
    assert not np.any(log_det)
  # One condition for all.
  np.testing.assert_allclose(
      bijector.forward(x, conditioning=c[2])[2], want[2], rtol=1e-12
  )
  assert fo.lipschitz.lipschitz_bounds(bijector) == (1.0, 1.0)


def test_of_a_distribution_it_is_the_mean(rng):
  """Each event by its own condition, in a chain and traced."""
  matrix, c = rng.normal(size=(2, 3)), rng.normal(size=(6, 3))
  shift = fo.bijectors.ConditionalShift(tf.Variable(matrix), name='shift')
  normal = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), 2)
  x = rng.normal(size=(6, 2))
  want = tfd.MultivariateNormalDiag(c @ matrix.T).log_prob(x)
  kwargs = {'conditioning': c}
  alone = tfd.TransformedDistribution(normal, shift)
  np.testing.assert_allclose(
      alone.log_prob(x, bijector_kwargs=kwargs), want, rtol=1e-12
  )
  chain = tfd.TransformedDistribution(
      normal, tfb.Chain([shift, tfb.Scale(tf.constant(2.0, tf.float64))])
  )
  want = tfd.MultivariateNormalDiag(c @ matrix.T, [2.0, 2.0]).log_prob(x)

  @tf.function
  def log_prob(x, c):
    return chain.log_prob(x, bijector_kwargs={'shift': {'conditioning': c}})

  np.testing.assert_allclose(log_prob(x, c), want, rtol=1e-12)
  sample = alone.sample(6, seed=[0, 1], bijector_kwargs=kwargs)
  noise = sample - c @ matrix.T
  np.testing.assert_allclose(
      noise,
      alone.sample(6, seed=[0, 1], bijector_kwargs={'conditioning': 0.0 * c}),
      atol=1e-12,
  )
  # The variable is trained, and shared by a copy.
  with tf.GradientTape() as tape:
    loss = -tf.reduce_sum(alone.log_prob(x, bijector_kwargs=kwargs))
  (gradient,) = tape.gradient(loss, alone.trainable_variables)
  np.testing.assert_allclose(gradient, -(x - c @ matrix.T).T @ c, rtol=1e-9)
  copied = shift.copy(name='copy')
  shift.matrix.assign(2.0 * matrix)
  np.testing.assert_array_equal(copied.matrix, 2.0 * matrix)


def test_least_squares_is_its_best(rng):
  """`likelihood_optimum` tells matrix and shift."""
  c = rng.normal(size=(50, 2)) + 1.0
  x = c @ rng.normal(size=(2, 3)) + rng.normal(size=(50, 3)) + 4.0
  best = fo.likelihood_optimum(x, conditioning=c)
  bijector = fo.bijectors.ConditionalShift(best.shift_matrix, best.shift)
  residuals = bijector.inverse(x, conditioning=c)
  np.testing.assert_allclose(np.mean(residuals, 0), np.zeros(3), atol=1e-12)
  np.testing.assert_allclose(
      np.transpose(residuals) @ c, np.zeros([3, 2]), atol=1e-10
  )
  alone = fo.likelihood_optimum(residuals)
  np.testing.assert_allclose(
      alone.log_likelihood, best.log_likelihood, rtol=1e-12
  )
  assert math.isclose(
      best.log_likelihood - fo.likelihood_optimum(x).log_likelihood,
      best.mutual_information,
  )


@pytest.mark.parametrize(
    ['value', 'error', 'message'],
    [
        (None, ValueError, 'bijector_kwargs'),
        (np.ones([5, 3]), ValueError, r'labels from 0 to 2|integer labels'),
        ([0, 1], ValueError, r'got \(2,\) of them'),
        ([[0], [1], [2], [0], [1]], ValueError, r'got \(5, 1\) of them'),
        ([0, 1, 2, 3, 0], tf.errors.InvalidArgumentError, 'from 0 to 2'),
    ],
)
def test_wrong_conditions(value, error, message):
  bijector = fo.bijectors.ConditionalShift(np.ones([2, 3]), num_classes=3)
  with pytest.raises(error, match=message):
    bijector.inverse(np.zeros([5, 2]), conditioning=value)
