"""The optimal linear flow as a distribution of TFP."""

import copy
import pickle

import numpy as np
import pytest
from support import adversary
from support import jacobians
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions

SHAPE = (4, 6, 2)
CASES = {
    'dense': ('dense', {}),
    'dense, rank': ('dense', {'rank': 3}),
    'dense, bounds': ('dense', {'lipschitz': (0.4, 0.9)}),
    'dense, not centred': ('dense', {'centered': False}),
    'blocks': ('pointwise', {'block_size': 2}),
    'pointwise': ('pointwise', {'lipschitz': (0.0, 0.8)}),
    'circulant': ('circulant', {}),
    'circulant, bounds': ('circulant', {'lipschitz': (0.4, 0.9)}),
    'circulant, pools': ('circulant', {'frequency_pool': 2}),
    'circulant, rank': ('circulant', {'rank': 24, 'frequency_pool': 3}),
}
CONDITIONS = {
    'dense': ('dense', {}),
    'dense, bounds': ('dense', {'lipschitz': (0.4, 0.9)}),
    'blocks': ('pointwise', {'block_size': 2}),
}
each = pytest.mark.parametrize(
    ['structure', 'options'], CASES.values(), ids=CASES
)
each_conditional = pytest.mark.parametrize(
    ['structure', 'options'], CONDITIONS.values(), ids=CONDITIONS
)


def data(rng, structure, n=40):
  """Ill-scaled, correlated, with a mean."""
  x = rng.normal(size=(n, *SHAPE)) @ [[1.0, 0.5], [0.0, 2.0]] + [3.0, -1.0]
  x += 0.5 * np.roll(x, (1, 1), axis=(1, 2))
  return x[:, 0, :3].reshape(n, -1) if structure == 'dense' else x


def event_ndims(structure):
  return 1 if structure == 'dense' else 3


@each
def test_its_mean_is_the_optimum(rng, structure, options):
  x = data(rng, structure)
  best = fo.likelihood_optimum(x, structure, **options)
  distribution = best.distribution()
  assert isinstance(distribution, tfd.Distribution)
  assert distribution.event_shape == x.shape[1:]
  assert distribution.batch_shape == []
  np.testing.assert_allclose(
      np.mean(distribution.log_prob(x)), best.log_likelihood, rtol=1e-10
  )
  np.testing.assert_allclose(
      distribution.bijector.inverse_log_det_jacobian(
          x[:1], event_ndims(structure)
      ),
      best.log_det,
      rtol=1e-10,
  )


@each
def test_it_is_a_linear_map_with_these_constants(rng, structure, options):
  x = data(rng, structure)
  distribution = fo.likelihood_optimum(x, structure, **options).distribution()
  bijector = distribution.bijector
  there, back = (
      np.reshape(
          jacobians.jacobian_of(function)(tf.constant(x[:1])),
          [x[0].size, x[0].size],
      )
      for function in (bijector.inverse, bijector.forward)
  )
  np.testing.assert_allclose(there @ back, np.eye(x[0].size), atol=1e-10)
  values = np.linalg.svd(there, compute_uv=False)
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  np.testing.assert_allclose(bounds.inverse, values[0], rtol=1e-9)
  np.testing.assert_allclose(bounds.forward, 1.0 / values[-1], rtol=1e-9)
  np.testing.assert_allclose(
      bijector.inverse_log_det_jacobian(x[:1], event_ndims(structure)),
      np.linalg.slogdet(there)[1],
      rtol=1e-9,
  )
  found = adversary.largest_expansion(
      bijector.inverse, x.shape[1:], num_steps=30
  )
  assert found <= bounds.inverse * (1.0 + 1e-9)
  for batch in ((), (2, 3)):
    y = np.broadcast_to(x[0], (*batch, *x.shape[1:]))
    again = bijector.forward(tf.identity(bijector.inverse(y)))
    np.testing.assert_allclose(again, y, atol=1e-9)


@pytest.mark.parametrize(
    ['structure', 'options'],
    [('dense', {}), ('pointwise', {'block_size': 2}), ('circulant', {})],
)
def test_samples_have_the_moments_of_the_data(rng, structure, options):
  """Their own optimum is that of the data."""
  x = data(rng, structure, n=200)
  best = fo.likelihood_optimum(x, structure, **options)
  distribution = best.distribution(tf.float32)
  y = distribution.sample(4000, seed=[0, 1])
  assert y.dtype == tf.float32 and y.shape == [4000, *x.shape[1:]]
  again = fo.likelihood_optimum(
      tf.cast(y, tf.float64), structure, bias_correction=True, **options
  )
  size = x[0].size
  error = (size / (2.0 * 4000)) ** 0.5
  assert abs(again.log_likelihood - best.log_likelihood) < 5.0 * error
  np.testing.assert_allclose(again.shift, best.shift, atol=0.3)
  with pytest.raises(ValueError, match='`dtype`'):
    best.distribution(tf.float16)


@pytest.mark.parametrize('labels', [True, False])
@each_conditional
def test_under_a_condition(rng, structure, options, labels):
  x = data(rng, structure)
  c = rng.integers(3, size=len(x)) if labels else rng.normal(size=(len(x), 2))
  given = {'num_classes': 3} if labels else {}
  first = c if labels else c[:, 0]
  x += first.reshape([-1] + [1] * (x.ndim - 1))
  best = fo.likelihood_optimum(
      x, structure, conditioning=c, **options, **given
  )
  distribution = best.distribution()
  kwargs = {'bijector_kwargs': {'conditioning': c}}
  values = distribution.log_prob(x, **kwargs)
  np.testing.assert_allclose(
      np.mean(values), best.log_likelihood, rtol=1e-10
  )
  np.testing.assert_allclose(
      tf.function(distribution.log_prob)(x, **kwargs), values, rtol=1e-10
  )
  # One for all, and a batch of batches.
  one = {'bijector_kwargs': {'conditioning': c[3]}}
  single = distribution.log_prob(x[3:5], **one)
  np.testing.assert_allclose(single[0], values[3], rtol=1e-10)
  many = distribution.log_prob(
      x.reshape([2, -1, *x.shape[1:]]),
      bijector_kwargs={'conditioning': c.reshape([2, -1, *c.shape[1:]])},
  )
  np.testing.assert_allclose(np.reshape(many, [-1]), values, rtol=1e-10)
  # The constants are those of the residuals, whatever the condition.
  bounds = fo.lipschitz.lipschitz_bounds(distribution.bijector)
  if not options:
    np.testing.assert_allclose(
        [bounds.forward, bounds.inverse],
        np.sqrt(best.eigenvalues.numpy()[[0, -1]]) ** [1, -1],
        rtol=1e-9,
    )
  # Samples are about the mean of their condition.
  y = distribution.sample(len(x), seed=[0, 1], **kwargs)
  z = distribution.bijector.inverse(tf.identity(y), conditioning=c)
  np.testing.assert_allclose(
      distribution.bijector.forward(tf.identity(z), conditioning=c), y
  )
  normal = distribution.distribution.sample(len(x), seed=[0, 1])
  assert normal.shape == z.shape
  for wrong, message in (
      (None, 'bijector_kwargs'),
      (c[:7], 'of them'),
      ('x', '`conditioning`'),
  ):
    with pytest.raises(ValueError, match=message):
      distribution.log_prob(x, bijector_kwargs={'conditioning': wrong})


def test_of_a_stream(rng):
  x = data(rng, 'circulant')
  stream = fo.AutoCorrelation('circulant', SHAPE)
  stream.update(x)
  want = fo.likelihood_optimum(x, 'circulant').distribution().log_prob(x)
  for distribution in (
      stream.optimum(dtype=tf.float64).distribution(),
      stream.linear_flow().distribution(),
  ):
    np.testing.assert_allclose(distribution.log_prob(x), want, rtol=1e-10)
  np.testing.assert_allclose(stream.linear_flow().log_prob(x), want)


@pytest.mark.parametrize(
    'duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_of_the_optimum_have_it(rng, duplicate):
  x, labels = rng.normal(size=(30, 2)), rng.integers(2, size=30)
  best = fo.likelihood_optimum(x, conditioning=labels, num_classes=2)
  copied = duplicate(best)
  assert copied.mutual_information == best.mutual_information
  kwargs = {'bijector_kwargs': {'conditioning': labels}}
  np.testing.assert_array_equal(
      copied.distribution().log_prob(x, **kwargs),
      best.distribution().log_prob(x, **kwargs),
  )


def test_noise_is_part_of_it(rng):
  """It is the density of data with noise, whose covariance is larger."""
  x = rng.normal(size=(50, 2)) @ [[1.0, 0.3], [0.0, 0.5]]
  distribution = fo.likelihood_optimum(x, noise_variance=0.2).distribution()
  want = tfd.MultivariateNormalFullCovariance(
      x.mean(0), np.cov(x.T, bias=True) + 0.2 * np.eye(2)
  )
  np.testing.assert_allclose(
      distribution.log_prob(x), want.log_prob(x), rtol=1e-10
  )


def test_few_long_vectors(rng):
  """Of which the optimum needs inner products only."""
  x = rng.normal(size=(6, 20))
  best = fo.likelihood_optimum(x, lipschitz=(0.1, 2.0))
  np.testing.assert_allclose(
      np.mean(best.distribution().log_prob(x)),
      best.log_likelihood,
      rtol=1e-10,
  )


def test_units_cost_nothing(rng):
  """Variances of 1e-20 and 1e20 are no reason for a wrong density."""
  units = np.array([1e-10, 1.0, 1e10])
  x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3))
  want = fo.likelihood_optimum(x).distribution().log_prob(x)
  got = fo.likelihood_optimum(x * units).distribution().log_prob(x * units)
  np.testing.assert_allclose(got, want - np.sum(np.log(units)), rtol=1e-9)


def test_it_trains_and_is_saved(rng, tmp_path):
  """As any bijector: gradients by the events, a copy, a SavedModel."""
  x = tf.constant(data(rng, 'circulant', n=20))
  distribution = fo.likelihood_optimum(x, 'circulant').distribution()
  want = distribution.log_prob(x)
  copied = distribution.copy(bijector=distribution.bijector.copy())
  np.testing.assert_array_equal(copied.log_prob(x), want)
  module = tf.Module()
  module.log_prob = tf.function(
      distribution.log_prob,
      input_signature=[tf.TensorSpec([None, *SHAPE], tf.float64)],
  )
  tf.saved_model.save(module, str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  np.testing.assert_allclose(loaded.log_prob(x), want, rtol=1e-12)
  value, gradient = tfp.math.value_and_gradient(distribution.log_prob, x)
  step = 1e-4 * np.cos(np.arange(x[0].shape.num_elements()))
  step = step.reshape(SHAPE)
  ahead, behind = (distribution.log_prob(x + s * step) for s in (1, -1))
  np.testing.assert_allclose(
      tf.reduce_sum(gradient * step, axis=[1, 2, 3]),
      (ahead - behind) / 2.0,
      rtol=1e-6,
      atol=1e-9,
  )
  np.testing.assert_allclose(value, want)


def test_where_there_is_none(rng):
  x = data(rng, 'individual', n=3)
  with pytest.raises(ValueError, match='matrix for each image'):
    fo.likelihood_optimum(x, 'individual').distribution()
  with pytest.raises(ValueError, match='call `likelihood_optimum` for each'):
    fo.likelihood_optimum(rng.normal(size=(2, 9, 3))).distribution()
  with pytest.raises(ValueError, match='made without it'):
    distribution = fo.likelihood_optimum(rng.normal(size=(9, 3))).distribution()
    distribution.log_prob(
        np.ones([2, 3]), bijector_kwargs={'conditioning': [1, 2]}
    )
