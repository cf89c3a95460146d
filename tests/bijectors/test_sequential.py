"""What `Sequential` has beyond the contract: conditions, and TFP's `Chain`."""

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions
fob = fo.bijectors


def coupling(name, features=3, scale=0.5):
  network = fo.networks.DenseConditioner(
      1, 8, 2, conditioning_features=features, dtype=tf.float64
  )
  registry.randomize(network, scale, seed=len(name))
  return fob.AffineCoupling(network, event_ndims=1, name=name)


@pytest.fixture(name='parts')
def _parts():
  return [coupling('a'), tfb.Permute([1, 0]), coupling('bc')]


@pytest.fixture(name='y')
def _y(rng):
  return tf.constant(rng.normal(size=[4, 2]))


@pytest.fixture(name='c')
def _c(rng):
  return tf.constant(rng.normal(size=[4, 3]))


def test_it_is_the_chain_whose_parts_are_named(parts, y, c):
  bijector, chain = fob.Sequential(parts), tfb.Chain(parts)
  named = {'a': {'conditioning': c}, 'bc': {'conditioning': c}}
  x = bijector.inverse(y, conditioning=c)
  np.testing.assert_allclose(x, chain.inverse(y, **named))
  np.testing.assert_allclose(
      bijector.inverse_log_det_jacobian(y, conditioning=c),
      chain.inverse_log_det_jacobian(y, event_ndims=1, **named),
  )
  assert np.max(np.abs(x - bijector.inverse(y))) > 0.01
  np.testing.assert_allclose(bijector.forward(x, conditioning=c), y)
  assert fo.lipschitz.lipschitz_bounds(
      bijector
  ) == fo.lipschitz.lipschitz_bounds(chain)


def test_a_distribution_needs_the_condition_alone(parts, y, c):
  zero = tf.zeros([], tf.float64)
  base = tfd.Sample(tfd.Normal(zero, 1.0), 2)
  # A sequence in a sequence is a part like others.
  bijector = fob.Sequential([fob.Sequential(parts[:2]), parts[2]])
  distribution = tfd.TransformedDistribution(base, bijector)
  kwargs = {'bijector_kwargs': {'conditioning': c}}
  x = bijector.inverse(y, conditioning=c)
  np.testing.assert_allclose(
      distribution.log_prob(y, **kwargs),
      base.log_prob(x) + bijector.inverse_log_det_jacobian(y, conditioning=c),
  )
  z, log_prob = distribution.experimental_sample_and_log_prob(
      4, seed=[0, 1], **kwargs
  )
  np.testing.assert_allclose(
      log_prob, distribution.log_prob(tf.identity(z), **kwargs)
  )


def test_constants_hold_for_any_condition(parts, y, c):
  bijector = fob.Sequential(parts)
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  for scale in (0.1, 10.0, 1e3):
    with tf.GradientTape() as tape:
      tape.watch(y)
      x = bijector.inverse(y, conditioning=scale * c)
    values = np.linalg.svd(tape.batch_jacobian(x, y), compute_uv=False)
    assert np.max(values) <= bounds.inverse
    assert np.max(1.0 / values) <= bounds.forward


def test_log_determinants_of_smaller_events_are_summed(y):
  """Of parts of no and of one dimension, in events of two."""
  bijector = fob.Sequential([
      tfb.Scale(tf.constant([2.0, 3.0], tf.float64)),
      tfb.Shift(tf.constant(1.0, tf.float64)),
      tfb.ScaleMatvecDiag(tf.constant([0.5, 4.0], tf.float64)),
      tfb.Reshape([4, 2], event_shape_in=[8]),
  ])
  want = 4 * (np.log([0.5, 4.0]).sum() + np.log([2.0, 3.0]).sum())
  assert bijector.inverse_min_event_ndims == 2
  x = bijector.inverse(y)
  assert x.shape == [8]
  np.testing.assert_allclose(bijector.inverse_log_det_jacobian(y), -want)
  np.testing.assert_allclose(
      bijector.forward_log_det_jacobian(tf.identity(x)), want
  )


def test_repeated_steps_take_a_sequence(parts, y, c):
  step = fob.Sequential([parts[0], parts[2]])
  repeated = fob.RepeatedSteps([step, step], memory='reversible')
  assert len(repeated.parts) == 4
  once = step.inverse(y, conditioning=c)
  np.testing.assert_allclose(
      repeated.inverse(y, conditioning=c),
      step.inverse(once, conditioning=c),
      rtol=1e-6,
  )


def test_what_takes_no_condition_refuses_one(y, c):
  bijector = fob.Sequential([coupling('a', features=0)])
  with pytest.raises(ValueError, match='no part of sequential takes it'):
    bijector.inverse(y, conditioning=c)
  with pytest.raises(ValueError, match='at least one'):
    fob.Sequential([])
