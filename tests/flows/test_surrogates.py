"""Surrogate posteriors: structures, bounds, and the normal they start at."""

import math

import numpy as np
import pytest
from scipy import special
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions
SMALL = {'num_steps': 2, 'hidden_units': 8}


def joint(dtype=tf.float32):
  """Parts of a scale, a simplex, a vector and a matrix."""

  def number(x):
    return tf.constant(x, dtype)

  return tfd.JointDistributionNamed({
      'scale': tfd.HalfNormal(number(1.0)),
      'shares': tfd.Dirichlet(number([1.0, 2.0, 3.0])),
      'effects': lambda scale: tfd.Sample(tfd.Normal(number(0.0), scale), 2),
      'table': tfd.Sample(tfd.Normal(number(0.0), number(1.0)), [2, 3]),
  })


def moved(surrogate, scale=0.3):
  """The same with layers that were trained, as it were."""
  registry.randomize(fo.flows.latent_map(surrogate), scale)
  return surrogate


def normal_target(rng, size):
  """Mean, covariance and log-density of a normal far from N(0, I)."""
  root = rng.normal(size=[size, size]) * 10.0 ** rng.uniform(-2, 1, size)
  mean, covariance = 20.0 * rng.normal(size=size), root @ root.T
  target = tfd.MultivariateNormalTriL(mean, np.linalg.cholesky(covariance))
  return mean, covariance, target.log_prob


@pytest.mark.parametrize(
    'coupling', ['affine', 'spline', 'autoregressive', 'residual', 'convex']
)
def test_density_of_draws_is_that_of_the_jacobian(coupling):
  surrogate = moved(
      fo.flows.surrogate_posterior(3, coupling=coupling, dtype=tf.float64,
                                   **SMALL)
  )
  latents = fo.flows.latent_map(surrogate)
  x, log_prob = surrogate.experimental_sample_and_log_prob(5, seed=[0, 1])
  z = tf.constant(surrogate.bijector.inverse(x + 0.0).numpy())
  np.testing.assert_allclose(latents.forward(z), x, rtol=1e-5)
  expected = -0.5 * np.sum(z**2 + math.log(2 * math.pi), axis=1)
  expected -= np.linalg.slogdet(
      jacobians.jacobian_of(latents.forward)(z)
  )[1]
  np.testing.assert_allclose(log_prob, expected, atol=1e-5)


def test_samples_have_the_structure_and_support_of_the_model():
  model = joint()
  surrogate = moved(
      fo.flows.surrogate_posterior(model, num_steps=1, hidden_units=8)
  )
  x = surrogate.sample(50, seed=[0, 1])
  assert surrogate.event_shape == model.event_shape
  assert {k: v.shape[1:] for k, v in x.items()} == model.event_shape
  assert np.all(x['scale'] > 0)
  np.testing.assert_allclose(np.sum(x['shares'], axis=1), 1, rtol=1e-5)
  # 1 + 2 + 2 + 6 numbers.
  assert surrogate.distribution.event_shape == [11]
  assert np.all(np.isfinite(surrogate.log_prob(x)))
  losses = tfp.vi.fit_surrogate_posterior(
      lambda **parts: model.log_prob(parts),
      surrogate,
      tf_keras.optimizers.legacy.Adam(0.03),
      num_steps=30,
      sample_size=32,
      seed=[0, 2],
  )
  assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


def test_an_event_of_any_shape_on_a_support():
  surrogate = fo.flows.surrogate_posterior(
      [3, 3], support=tfb.CholeskyOuterProduct()(tfb.FillScaleTriL()), **SMALL
  )
  x = surrogate.sample(4, seed=[0, 1]).numpy()
  assert x.shape == (4, 3, 3) and np.all(np.linalg.eigvalsh(x) > 0)
  x = fo.flows.surrogate_posterior(2, support=tfb.Sigmoid(1.0, 2.0)).sample(9)
  assert x.shape == (9, 2) and np.all((x > 1) & (x < 2))


@pytest.mark.parametrize('covariance', ['full', 'diagonal'])
def test_the_start_is_the_closed_form_of_a_normal_target(covariance, rng):
  mean, matrix, log_prob = normal_target(rng, 5)
  surrogate = fo.flows.surrogate_posterior(
      5, covariance=covariance, dtype=tf.float64, **SMALL
  )
  elbo = fo.flows.initialize_surrogate(surrogate, log_prob)
  y = fo.flows.latent_map(surrogate)
  jacobian = y.forward(tf.eye(5, dtype=tf.float64)) - y.forward(
      tf.zeros([5], tf.float64)
  )
  found = np.asarray(jacobian).T @ jacobian
  np.testing.assert_allclose(
      y.forward(tf.zeros([5], tf.float64)), mean, atol=1e-2
  )
  if covariance == 'full':
    root = np.linalg.inv(np.linalg.cholesky(matrix))
    np.testing.assert_allclose(root @ found @ root.T, np.eye(5), atol=1e-3)
    assert elbo == pytest.approx(0.0, abs=1e-3)
  else:
    # KL(q, p) is least at the diagonal of the precision.
    precision = np.linalg.inv(matrix)
    np.testing.assert_allclose(
        np.diag(found) * np.diag(precision), 1.0, rtol=0.2
    )
    kl = 0.5 * np.sum(np.log(np.diag(precision)))
    kl -= 0.5 * np.linalg.slogdet(precision)[1]
    assert elbo == pytest.approx(-kl, abs=0.3)


def test_the_start_is_the_best_normal_of_a_target_that_is_none():
  # y = log of a gamma variable of shape 3: E grad = 3 - E e^y = 0 and
  # C^-1 = E e^y give C = 1/3, m = log 3 - 1/6.
  surrogate = fo.flows.surrogate_posterior(
      1, num_steps=0, support=tfb.Exp(), dtype=tf.float64
  )
  target = tfd.Gamma(tf.constant([3.0], tf.float64), 1.0)
  elbo = fo.flows.initialize_surrogate(
      surrogate, lambda x: target.log_prob(x)[..., 0], num_draws=20000
  )
  shift, scale = fo.flows.latent_map(surrogate).bijectors[:2]
  assert float(shift.shift[0]) == pytest.approx(math.log(3) - 1 / 6, abs=0.01)
  assert float(scale.scale.to_dense()[0, 0]) ** 2 == pytest.approx(
      1 / 3, abs=0.01
  )
  expected = 3 * math.log(3) - 0.5 - 3 - special.gammaln(3)
  expected += 0.5 * math.log(2 * math.pi * math.e / 3)
  assert elbo == pytest.approx(expected, abs=0.02)


def test_the_start_at_samples_is_their_mean_and_covariance(rng):
  model = joint(tf.float64)
  samples = model.sample(300, seed=[0, 1])
  surrogate = fo.flows.surrogate_posterior(model, **SMALL)
  assert surrogate.dtype == model.dtype
  value = fo.flows.initialize_surrogate(surrogate, samples=samples)
  to_vectors = tfb.Chain(surrogate.bijector.bijectors[:-1])
  y = np.asarray(to_vectors.inverse(samples))
  z = np.asarray(fo.flows.latent_map(surrogate).inverse(tf.constant(y)))
  np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
  np.testing.assert_allclose(z.T @ z / 300, np.eye(11), atol=1e-9)
  expected = tfd.MultivariateNormalFullCovariance(
      y.mean(axis=0), np.cov(y.T, bias=True)
  )
  assert value == pytest.approx(np.mean(expected.log_prob(y)), rel=1e-9)


@pytest.mark.filterwarnings('ignore:.*the ELBO still rises')
def test_a_start_out_of_range_is_made_smaller():
  # The density of half of the draws of N(0, 1) is 0.
  surrogate = fo.flows.surrogate_posterior(2, **SMALL)
  fo.flows.initialize_surrogate(
      surrogate,
      lambda x: tf.reduce_sum(tf.math.log(x + 1.0) - x, axis=-1),
  )
  assert np.all(surrogate.sample(200, seed=[0, 1]) > -3)


@pytest.mark.parametrize('budget', [None, 3.0])
def test_draws_are_as_far_from_the_centre_as_certified(budget, rng):
  _, matrix, log_prob = normal_target(rng, 4)
  surrogate = fo.flows.surrogate_posterior(
      4, lipschitz_budget=budget, dtype=tf.float64, **SMALL
  )
  fo.flows.initialize_surrogate(surrogate, log_prob)
  latents = fo.flows.latent_map(moved(surrogate, 3.0 if budget else 0.3))
  constants = fo.lipschitz.lipschitz_bounds(latents)
  if budget:
    largest = np.linalg.eigvalsh(matrix)[-1] ** 0.5
    assert constants.forward < 1.01 * largest * math.exp(3.0 + budget)
  z = tf.constant(rng.normal(size=[500, 4]) * 10.0 ** rng.uniform(-2, 2))
  y, centre = latents.forward(z), latents.forward(tf.zeros([4], tf.float64))
  radius = np.linalg.norm(z, axis=1)
  distance = np.linalg.norm(y - centre, axis=1)
  assert np.all(distance <= constants.forward * radius)
  assert np.all(radius <= constants.inverse * distance)
  log_prob = surrogate.log_prob(y) + 2.0 * math.log(2 * math.pi)
  log_prob += 0.5 * radius**2
  assert np.all(log_prob >= -4.0 * math.log(constants.forward))
  assert np.all(log_prob <= 4.0 * math.log(constants.inverse))


@pytest.mark.parametrize(
    ('event', 'kwargs', 'message'),
    [
        (0, {}, '`event`'),
        ([None], {}, '`event`'),
        ('x', {}, '`event`'),
        (tfd.JointDistributionSequential([tfd.Categorical([0.0])]), {},
         'parts of'),
        (tfd.JointDistributionSequential([tfd.Gamma([1.0, 2.0], 1.0)]), {},
         'batch shape'),
        (tfd.JointDistributionSequential([tfd.Poisson(3.0)]), {}, 'continuous'),
        (tfd.Poisson(3.0), {}, 'continuous'),
        (1, {}, '`coupling`'),
        (3, {'coupling': 'x'}, '`coupling`'),
        (3, {'covariance': 'x'}, '`covariance`'),
        (3, {'num_steps': -1}, '`num_steps`'),
        (3, {'support': 1.0}, '`support`'),
        (3, {'lipschitz_budget': 0.0}, '`lipschitz_budget`'),
        (3, {'dtype': tf.int32}, '`dtype`'),
    ],
)
def test_wrong_arguments(event, kwargs, message):
  with pytest.raises(ValueError, match=message):
    fo.flows.surrogate_posterior(event, **kwargs)


def test_wrong_arguments_of_the_start():
  surrogate = fo.flows.surrogate_posterior(2, **SMALL)
  start = fo.flows.initialize_surrogate
  target = tfd.MultivariateNormalDiag([0.0, 0.0]).log_prob
  with pytest.raises(ValueError, match='`surrogate`'):
    start(tfd.Normal(0.0, 1.0), target)
  with pytest.raises(ValueError, match='`target_log_prob_fn` or `samples`'):
    start(surrogate)
  with pytest.raises(ValueError, match='one number for each'):
    start(surrogate, tfd.Normal(0.0, 1.0).log_prob)
  with pytest.raises(ValueError, match='not finite'):
    start(surrogate, lambda x: tf.reduce_sum(tf.math.log(-(x**2)), axis=-1))
  with pytest.raises(ValueError, match='must return float32, got float64'):
    start(surrogate, lambda x: tf.cast(target(x), tf.float64))
  with pytest.raises(ValueError, match='must be bounded above'):
    start(surrogate, lambda x: tf.reduce_sum(x, axis=-1))
  with pytest.raises(ValueError, match='do not vary'):
    start(surrogate, samples=np.ones([5, 2], np.float32))
  registry.randomize(fo.flows.latent_map(surrogate), 1.0)
  with pytest.raises(ValueError, match='has been trained'):
    start(surrogate, target)


@pytest.mark.parametrize('num_data', [3, 7, 1000])
def test_data_that_are_not_summed_are_no_draws(num_data):
  """As many data as draws are one number each, but not of each draw."""
  y = tf.constant(np.random.default_rng(0).normal(size=num_data), tf.float32)

  @tfd.JointDistributionCoroutine
  def model():
    root = tfd.JointDistributionCoroutine.Root
    mean = yield root(tfd.Normal(0.0, 10.0, name='mean'))
    yield root(tfd.Normal(0.0, 10.0, name='other'))
    yield tfd.Normal(mean, 1.0, name='y')

  posterior = model.experimental_pin(y=y)
  surrogate = fo.flows.surrogate_posterior(posterior, num_steps=0)
  with pytest.raises(ValueError, match=r'`target_log_prob_fn` must.*tfd.Indep'):
    fo.flows.initialize_surrogate(surrogate, posterior.unnormalized_log_prob)


def test_an_ascent_ends_where_little_is_left():
  """Along a funnel each iteration gains a little less than the one before."""

  def funnel(x):
    width = x[..., 0]
    rest = tfd.Normal(0.0, tf.exp(0.5 * width)[..., tf.newaxis])
    return tfd.Normal(0.0, 3.0).log_prob(width) + tf.reduce_sum(
        rest.log_prob(x[..., 1:]), axis=-1
    )

  found = []
  for tolerance in (1e-3, 1e-8):
    surrogate = fo.flows.surrogate_posterior([6], num_steps=0)
    found.append(fo.flows.initialize_surrogate(
        surrogate, funnel, samples=np.random.default_rng(0).normal(
            size=[100, 6]).astype(np.float32) * 3.0,
        tolerance=tolerance, max_iterations=1000,
    ))
  assert found[0] == pytest.approx(found[1], abs=5e-3)
