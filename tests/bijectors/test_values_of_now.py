"""No value outlives the call that computed it: weights, tapes, conditions.

TFP's cache finds values again as long as their tensors live. Each test keeps
the tensors, and would get what was computed before.
"""

import numpy as np
import pytest
from support import one_weight
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.internal import call_cache

fob, tfb = fo.bijectors, tfp.bijectors

# One of each kind of code: eager flows take long.
SOME = (
    'ActNorm',
    'AffineCoupling',
    'DepthToSpace',
    'FactorOut, all',
    'InvertibleConv1x1',
    'MarginalGaussianization',
    'RadialScaling',
    'RepeatedSteps',
)
# Whose gradients take no loop.
QUICK = [name for name in SOME if name != 'RepeatedSteps']


def bijectors_of(names):
  entries = [registry.ENTRIES[name] for name in names]
  return pytest.mark.parametrize('entry', entries, ids=names)


@pytest.fixture(name='x')
def _x(rng):
  return tf.constant(rng.normal(size=[3, 2]))


each_wrapper = pytest.mark.parametrize(
    'wrap', one_weight.WRAPPERS.values(), ids=one_weight.WRAPPERS.keys()
)
# At its outer end `shifted` has a bijector of TFP's own, with TFP's cache.
OURS = [name for name in one_weight.WRAPPERS if name != 'shifted']


def of_all_methods(bijector, x, y):
  return [
      bijector.forward(x),
      bijector.inverse(y),
      bijector.forward_log_det_jacobian(x),
      bijector.inverse_log_det_jacobian(y),
  ]


def assert_all_close(actual, desired):
  for a, d in zip(actual, desired, strict=True):
    np.testing.assert_allclose(a, d, rtol=1e-9, atol=1e-9)


def points(entry, bijector, rng):
  """Two events of latents, and two of data."""
  shape = bijector.inverse_event_shape(entry.data_shape)
  return (
      tf.constant(rng.normal(size=[2, *shape]))
      for shape in (shape, entry.data_shape)
  )


@bijectors_of(SOME)
def test_values_are_those_of_the_weights(entry, rng):
  bijector = entry.make(tf.float64)
  x, y = points(entry, bijector, rng)
  kept = of_all_methods(bijector, x, y)
  for variable in bijector.variables:
    if variable.dtype.is_floating:
      variable.assign(1.1 * variable)
  now = of_all_methods(bijector, x, y)
  forward, fldj = fob.forward_and_log_det(bijector, tf.identity(x))
  inverse, ildj = fob.inverse_and_log_det(bijector, tf.identity(y))
  assert_all_close(now, [forward, inverse, fldj, ildj])
  # And back from what was computed before.
  assert_all_close(
      [bijector.inverse(kept[0]), bijector.forward(kept[1])],
      [
          bijector.inverse(tf.identity(kept[0])),
          bijector.forward(tf.identity(kept[1])),
      ],
  )
  if bijector.variables:
    assert np.max(np.abs(now[0] - kept[0])) > 1e-3
    assert np.max(np.abs(now[1] - kept[1])) > 1e-3


@bijectors_of(QUICK)
def test_gradients_at_values_of_before(entry, rng):
  """A tape that begins later has not seen where they came from."""
  bijector = entry.make(tf.float64)
  x, y = points(entry, bijector, rng)
  for method, z in (
      ('inverse', bijector.forward(x)), ('forward', bijector.inverse(y))
  ):

    def gradient(z, method=method):
      with tf.GradientTape() as tape:
        tape.watch(z)
        value = getattr(bijector, method)(z)
        log_det = getattr(bijector, method + '_log_det_jacobian')(z)
        loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det)
      return tape.gradient(loss, z)

    assert gradient(z) is not None
    assert_all_close(gradient(z), gradient(z + 0.0))


@pytest.mark.parametrize('name', registry.ENTRIES)
def test_all_bijectors_have_the_same_cache(name):
  bijector = registry.ENTRIES[name].make(tf.float32)
  assert isinstance(bijector, call_cache.CallCachedBijector)
  assert type(bijector._cache).__module__ == call_cache.__name__


@each_wrapper
def test_in_bijectors_of_tfp(wrap, coupling, network, x):
  bijector = wrap(coupling)
  kept = of_all_methods(bijector, x, x)
  network.weight.assign(2.0)
  now = of_all_methods(bijector, x, x)
  assert_all_close(
      now, of_all_methods(bijector, tf.identity(x), tf.identity(x))
  )
  for a, b in zip(now, kept, strict=True):
    assert np.max(np.abs(a - b)) > 1e-3


@each_wrapper
def test_log_prob(wrap, coupling, network, x):
  distribution = one_weight.normal(wrap(coupling))
  log_prob = distribution.log_prob
  sample = distribution.sample(3, seed=[0, 1])
  kept = distribution.bijector.inverse(x)
  network.weight.assign(2.0)
  assert_all_close(
      [log_prob(sample), log_prob(x)],
      [log_prob(sample + 0.0), log_prob(x + 0.0)],
  )
  del kept


@pytest.mark.parametrize('name', OURS)
def test_gradients_at_own_samples(name, coupling):
  distribution = one_weight.normal(one_weight.WRAPPERS[name](coupling))
  sample = distribution.sample(3, seed=[0, 1])
  assert_all_close(
      tfp.math.value_and_gradient(distribution.log_prob, sample),
      tfp.math.value_and_gradient(distribution.log_prob, sample + 0.0),
  )


@pytest.mark.parametrize('name', ['bare', 'shifted'])
def test_a_step_inside_of_a_function(name, coupling, network, x):
  bijector = one_weight.WRAPPERS[name](coupling)

  @tf.function(autograph=False)
  def before_and_after():
    before = bijector.forward(x), bijector.forward_log_det_jacobian(x)
    network.weight.assign_add(1.5)
    after = bijector.forward(x), bijector.forward_log_det_jacobian(x)
    return before, after

  before, after = before_and_after()
  assert_all_close(
      after, [bijector.forward(x), bijector.forward_log_det_jacobian(x)]
  )
  network.weight.assign(0.5)
  assert_all_close(
      before, [bijector.forward(x), bijector.forward_log_det_jacobian(x)]
  )


def test_hmc_from_own_samples(coupling):
  distribution = one_weight.normal(coupling)
  kernel = tfp.mcmc.HamiltonianMonteCarlo(distribution.log_prob, 0.1, 1)

  @tf.function(autograph=False)
  def start():
    return kernel.bootstrap_results(distribution.sample(2, seed=[0, 1]))

  (gradient,) = start().accepted_results.grads_target_log_prob
  _, right = tfp.math.value_and_gradient(
      distribution.log_prob, distribution.sample(2, seed=[0, 1]) + 0.0
  )
  np.testing.assert_allclose(gradient, right, rtol=1e-9)


def test_gradients_of_samples_by_weights(coupling, network):
  """As variational inference takes them: through the sample."""
  distribution = one_weight.normal(coupling)

  def loss():
    y, log_prob = distribution.experimental_sample_and_log_prob(4, seed=[0, 1])
    return tf.reduce_sum(log_prob * tf.sin(y[:, 0] + y[:, 1]))

  with tf.GradientTape() as tape:
    value = loss()
  gradient = tape.gradient(value, network.weight)
  epsilon, values = 1e-6, []
  for weight in (0.5 + epsilon, 0.5 - epsilon):
    network.weight.assign(weight)
    values.append(loss())
  np.testing.assert_allclose(
      gradient, (values[0] - values[1]) / (2.0 * epsilon), rtol=1e-7
  )


class Conditioned(tf.Module):
  """A network that adds what it is conditioned on."""

  conditioning_channels = 1

  def __call__(self, x, conditioning):
    c = tf.cast(conditioning, x.dtype)
    return tf.concat([tf.sin(x + c), x * c], axis=-1)


@pytest.mark.parametrize('chained', [False, True])
def test_a_condition_that_is_filled_anew(chained, x):
  coupling = fob.AffineCoupling(Conditioned(), event_ndims=1, name='coupling')
  bijector, condition, kept = coupling, np.zeros([3, 1]), []
  kwargs = {'conditioning': condition}
  if chained:
    bijector = tfb.Chain([one_weight.shift(), coupling])
    kwargs = {'coupling': kwargs}
  for value in (0.0, 1.0, 2.0):
    condition[:] = value
    fresh = tf.constant(value, tf.float64, [3, 1])
    right = {'conditioning': fresh}
    right = {'coupling': right} if chained else right
    for method in (bijector.forward, bijector.inverse):
      kept.append(method(x, **kwargs))
      assert_all_close([kept[-1]], [method(tf.identity(x), **right)])
    log_prob = one_weight.normal(bijector).log_prob
    assert_all_close(
        [log_prob(x, bijector_kwargs=kwargs)],
        [log_prob(tf.identity(x), bijector_kwargs=right)],
    )
