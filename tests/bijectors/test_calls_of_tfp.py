"""What one call of TFP computes is computed once, and is gone with it."""

import gc
import weakref

import numpy as np
import pytest
from support import one_weight
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob, tfb = fo.bijectors, tfp.bijectors


@pytest.fixture(name='x')
def _x(rng):
  return tf.constant(rng.normal(size=[3, 2]))


def assert_all_close(actual, desired):
  for a, d in zip(actual, desired, strict=True):
    np.testing.assert_allclose(a, d, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ('name', 'in_graph'),
    [*((name, False) for name in one_weight.WRAPPERS), ('shifted', True)],
)
def test_one_evaluation(name, in_graph, coupling, network, x):
  """Where both directions are asked for, or a value and a log-determinant."""
  bijector = one_weight.WRAPPERS[name](coupling)
  distribution = one_weight.normal(bijector)
  kernel = tfp.mcmc.TransformedTransitionKernel(
      tfp.mcmc.RandomWalkMetropolis(lambda y: -tf.reduce_sum(y**2, axis=-1)),
      bijector,
  )
  for evaluate in (
      distribution.log_prob,
      distribution.prob,
      lambda x: distribution.experimental_sample_and_log_prob(3, seed=[0, 1]),
      one_weight.normal(tfb.Chain([one_weight.shift(), bijector])).log_prob,
      lambda x: fob.forward_and_log_det(bijector, x),
      lambda x: fob.inverse_and_log_det(bijector, x),
      bijector.forward_log_det_jacobian,
      bijector.inverse_log_det_jacobian,
      lambda x: kernel.bootstrap_results(
          transformed_init_state=x
      ).transformed_state,
  ):
    network.calls.clear()
    if in_graph:
      tf.function(evaluate, autograph=False).get_concrete_function(x)
    else:
      evaluate(x)
    assert len(network.calls) == 1


class Outside(tfb.Bijector):
  """Of a user, who takes a log-determinant by a tape of his own."""

  def __init__(self, inner):
    super().__init__(forward_min_event_ndims=1, dtype=tf.float64)
    self.inner = inner

  def _forward(self, x):
    return self.inner.forward(x)

  def _inverse(self, y):
    return self.inner.inverse(y)

  def _forward_log_det_jacobian(self, x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = self.inner.forward(x)
    return tf.linalg.slogdet(tape.batch_jacobian(y, x))[1]


def test_a_tape_inside_of_the_call(coupling, x):
  np.testing.assert_allclose(
      one_weight.normal(Outside(coupling)).log_prob(x),
      one_weight.normal(coupling).log_prob(x),
      rtol=1e-9,
  )


# Not `shifted`: shifts are kept by TFP.
@pytest.mark.parametrize(
    'name', [name for name in one_weight.WRAPPERS if name != 'shifted']
)
def test_nothing_is_kept(name, coupling, network, x):
  """Neither the input of an output, nor what a call has computed."""
  bijector = one_weight.WRAPPERS[name](coupling)
  distribution = one_weight.normal(bijector)
  given = tf.identity(x)
  alive = [weakref.ref(given)]
  kept = [bijector.forward(given), distribution.log_prob(given)]
  kept += distribution.experimental_sample_and_log_prob(2, seed=[0, 1])
  latent = bijector.inverse(given)
  alive.append(weakref.ref(latent))
  kept.append(bijector.forward_log_det_jacobian(latent))
  function = tf.function(distribution.log_prob, autograph=False)
  alive.append(weakref.ref(function.get_concrete_function(given).graph))
  network.calls.clear()
  del given, latent, function
  gc.collect()
  assert [ref() for ref in alive] == [None, None, None]


class Failing(fob.JointBijector):
  """Raises an error in `forward`."""

  def __init__(self):
    super().__init__(forward_min_event_ndims=1, dtype=tf.float64)

  def _forward_and_log_det(self, x):
    raise ValueError('on purpose')

  def _inverse_and_log_det(self, y):
    return y, tf.zeros([], y.dtype)


def test_a_call_that_a_traceback_keeps_alive(coupling, network, x):
  inner = tfb.Chain([coupling])
  with pytest.raises(ValueError, match='on purpose') as error:
    tfb.Chain([Failing(), inner]).forward(x)
  network.weight.assign(2.0)
  assert_all_close([inner.forward(x)], [inner.forward(tf.identity(x))])
  del error


def test_a_chain_stays_itself(coupling, x):
  """Hashes change for TFP's cache alone."""
  chain = tfb.Chain([coupling, one_weight.shift()])
  known = {chain: 1, coupling: 2}
  chain.forward(x)
  one_weight.normal(chain).log_prob(x)
  assert known[chain] == 1 and known[coupling] == 2
  assert chain == chain and hash(chain) == hash(chain)
