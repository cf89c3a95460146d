"""Gradients of convex potentials under a condition, which costs nothing."""

import functools

import numpy as np
import pytest
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo


def points(num=3, size=4, seed=0):
  return tf.constant(np.random.default_rng(seed).normal(size=(num, size)))


def conditional(size=3, units=8):
  """One with a network of the condition, and weights as if trained."""
  network = fo.networks.DenseConditioner(
      0, 6, units + size, conditioning_features=2, dtype=tf.float64
  )
  bijector = fo.bijectors.ConvexPotentialResidual(
      fo.lipschitz.LipschitzDense(size, units, dtype=tf.float64),
      smallest=0.2,
      largest=5.0,
      conditioner=network,
  )
  return registry.randomize(bijector, 0.7)


def test_a_condition_costs_nothing_and_changes_all():
  bijector = conditional()
  y = 2.0 * points(5, 3)
  log_dets = []
  for scale in (1.0, 100.0):
    kwargs = {'conditioning': scale * points(1, 2, seed=1)[0]}
    matrices = jacobians.jacobian_of(
        functools.partial(bijector.inverse, **kwargs)
    )(y)
    np.testing.assert_allclose(
        matrices, np.swapaxes(matrices, 1, 2), atol=1e-12
    )
    values = np.linalg.eigvalsh(matrices)
    assert values.min() >= 0.2 - 1e-12 and values.max() <= 5.0 + 1e-12
    x = bijector.inverse(tf.identity(y), **kwargs)
    log_det = bijector.inverse_log_det_jacobian(tf.identity(y), **kwargs)
    np.testing.assert_allclose(log_det, np.log(values).sum(axis=1), atol=1e-10)
    back, bound = tf.function(bijector.forward_with_error)(
        tf.identity(x), **kwargs
    )
    error = np.linalg.norm(back - y, axis=1)
    assert np.all(error <= bound) and np.all(bound < 1e-9)
    log_dets.append(log_det)
    # At 0 there is what the network adds to the output, nothing else.
    shift = bijector.conditioner(tf.zeros([1, 0], tf.float64), **kwargs)[0, 8:]
    zero = bijector.inverse(tf.zeros([3], tf.float64), **kwargs)
    np.testing.assert_allclose(zero, shift, atol=1e-12)
  assert np.all(np.std(log_dets, axis=0) > 1e-3)
  # One event alone, and a condition for each.
  c = points(5, 2, seed=2)
  together = bijector.inverse(tf.identity(y), conditioning=c)
  alone = bijector.inverse(y[3], conditioning=c[3])
  np.testing.assert_allclose(alone, together[3], rtol=1e-12)
  np.testing.assert_allclose(
      bijector.forward(tf.identity(alone), conditioning=c[3]), y[3], rtol=1e-9
  )


def test_gradients_of_the_solution_by_the_condition():
  bijector = conditional()
  x, c, weights = points(4, 3), points(4, 2, seed=1), points(4, 3, seed=2)

  @tf.function(autograph=False)
  def solved(c):
    y = bijector.forward(x, conditioning=c)
    return tf.reduce_sum(weights * y, axis=-1)

  with tf.GradientTape() as tape:
    tape.watch(c)
    value = solved(c)
  variables = bijector.conditioner.trainable_variables
  got, *others = tape.gradient(value, [c, *variables])
  step = 1e-5
  for i in range(2):
    change = step * tf.eye(2, dtype=tf.float64)[i]
    want = (solved(c + change) - solved(c - change)) / (2.0 * step)
    np.testing.assert_allclose(got[:, i], want, rtol=1e-4, atol=1e-6)
  assert np.abs(others[-1]).max() > 0


def test_conditions_pass_through_what_is_of_tfp():
  bijector = conditional()
  base = tfp.distributions.Sample(
      tfp.distributions.Normal(tf.zeros([], tf.float64), 1.0), [3]
  )
  chain = tfp.bijectors.Chain([bijector, bijector.copy(log_det='lanczos')])
  y, c = points(5, 3), points(5, 2, seed=1)
  name = bijector.name
  other = chain.bijectors[1].inverse(
      bijector.inverse(y, conditioning=c), conditioning=c
  )
  distribution = tfp.distributions.TransformedDistribution(base, chain)
  kwargs = {name: {'conditioning': c}}
  np.testing.assert_allclose(chain.inverse(tf.identity(y), **kwargs), other)
  samples = distribution.sample(5, seed=[0, 1], bijector_kwargs=kwargs)
  assert samples.shape == [5, 3]
  assert np.all(np.isfinite(
      distribution.log_prob(tf.identity(samples), bijector_kwargs=kwargs)
  ))


def test_networks_that_are_no_conditioner():
  layer = fo.lipschitz.LipschitzDense(3, 8)
  bijector = fo.bijectors.ConvexPotentialResidual
  network = functools.partial(
      fo.networks.DenseConditioner, conditioning_features=2
  )
  with pytest.raises(ValueError, match=r'`conditioner`.*in_features=0'):
    bijector(layer, conditioner=network(3, 4, 11))
  with pytest.raises(ValueError, match=r'`conditioner`.*8 \+ 3 outputs'):
    bijector(layer, conditioner=network(0, 4, 8)).inverse(tf.ones([2, 3]))
  with pytest.raises(ValueError, match='`conditioning`'):
    bijector(layer).inverse(tf.ones([2, 3]), conditioning=tf.ones([2, 2]))
