"""Targets without a normal that is nearest to them."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.flows import normal_ascent


def not_identified(y):
  return -0.5 * y[..., 0] ** 2


def rising(y):
  return -0.5 * y[..., 0] ** 2 + y[..., 1]


def of_a_sum(y):  # which has a maximum among diagonal normals
  return -0.5 * (y[..., 0] + y[..., 1]) ** 2 - y[..., 2] ** 2


def flat(y):
  return 0.0 * y[..., 0]


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
@pytest.mark.parametrize(
    ('target', 'size', 'covariance'),
    [
        *((target, 2, covariance)
          for target in (not_identified, rising, flat)
          for covariance in ('full', 'diagonal')),
        (of_a_sum, 3, 'full'),
    ],
)
def test_a_target_that_is_flat_somewhere(target, size, covariance, dtype):
  surrogate = fo.flows.surrogate_posterior(
      size, num_steps=0, covariance=covariance, dtype=dtype
  )
  before = [v.numpy() for v in surrogate.variables]
  with pytest.raises(ValueError, match='`target_log_prob_fn`'):
    fo.flows.initialize_surrogate(surrogate, target)
  for variable, value in zip(surrogate.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize('full', [True, False])
def test_the_direction_without_end_is_told_from_rounding(full):
  """Beside slopes of 1e13 the curvature of the narrow one is lost."""
  z = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
  scales = np.array([30.0, 1e13])
  factor = np.diag(scales) if full else scales
  normal = normal_ascent.Normal(np.zeros(2), factor)
  curvatures = np.array([-6e-5, 3e-5])
  gradients = (1e13 - z * curvatures) / scales
  with pytest.raises(ValueError, match=r'direction \[0. 1.\]'):
    normal_ascent._check_maximum(
        normal, factor / scales, z, normal_ascent.Values(1e28, gradients)
    )


@pytest.mark.parametrize('scale, most', [(1e2, 1), (1e6, 4)])
def test_an_ascent_that_is_cut_short_is_told(scale, most):
  """It is not for good: a wide target takes some iterations."""

  def target(y):
    return -0.5 * tf.reduce_sum((y / scale - 9.0) ** 2 / [0.3, 1.5], axis=-1)

  def initialize(**kwargs):
    surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
    return fo.flows.initialize_surrogate(surrogate, target, **kwargs)

  with pytest.warns(UserWarning, match=f'after {most} the ELBO still rises'):
    initialize(max_iterations=most)
  best = 0.5 * np.log(0.3 * 1.5) + np.log(2.0 * np.pi * scale**2)
  assert initialize() == pytest.approx(best, abs=1e-2)


def test_a_target_that_is_curved_upwards_on_the_way(monkeypatch):
  """Between two far modes, no ascent that is cut short is refused."""
  monkeypatch.setattr(normal_ascent, '_MANY', 1)

  def target(y):
    return -tf.reduce_sum((y**2 / 1e6 - 1.0) ** 2, axis=-1)

  def initialize(**kwargs):
    surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
    return fo.flows.initialize_surrogate(surrogate, target, **kwargs)

  with pytest.warns(UserWarning, match='after 2 the ELBO still rises'):
    initialize(max_iterations=2)
  assert initialize() > 2.0 * np.log(1e3)


@pytest.mark.parametrize('rough, ends', [(1, [0, 0]), (1000, [4, 4])])
def test_a_long_ascent_is_made_by_another_route(rough, ends, monkeypatch):
  """Of two maxima the one with the higher ELBO is the start."""
  monkeypatch.setattr(normal_ascent, '_ROUGH', rough)
  climb = normal_ascent._climb

  def climb_elsewhere(evaluate, normal, *args):
    if normal.factor.ndim == 1:  # the detour leads astray
      normal = normal._replace(mean=normal.mean + 4.0)
    return climb(evaluate, normal, *args)

  monkeypatch.setattr(normal_ascent, '_climb', climb_elsewhere)

  def target(y):  # a mode at 4 of half the mass of the one at 0
    modes = [-2.0 * tf.reduce_sum((y - at) ** 2, axis=-1) for at in (0.0, 4.0)]
    return tf.reduce_logsumexp([modes[0], modes[1] - np.log(2.0)], axis=0)

  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  fo.flows.initialize_surrogate(surrogate, target)
  shift = fo.flows.latent_map(surrogate).bijectors[0].shift
  np.testing.assert_allclose(shift, ends, atol=0.1)


def test_a_target_of_too_few_digits_is_told():
  """Neighbours of 1e9 differ by 64 in float32."""

  def target(y):
    return 1e9 - tf.reduce_sum((y / 1e3 - 1.0) ** 4, axis=-1)

  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  with pytest.warns(UserWarning, match='below a maximum'):
    fo.flows.initialize_surrogate(surrogate, target)


def test_samples_of_another_size():
  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  samples = np.random.default_rng(0).normal(size=[50, 3]).astype(np.float32)
  with pytest.raises(ValueError, match=r'`samples` must be .*\[50, 3\]'):
    fo.flows.initialize_surrogate(surrogate, samples=samples)


def test_a_target_that_returns_nothing():
  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  with pytest.raises(ValueError, match='must return float32, got None'):
    fo.flows.initialize_surrogate(surrogate, lambda y: None)


@pytest.mark.parametrize('covariance', ['full', 'diagonal'])
@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
def test_parameters_of_very_different_scales(covariance, dtype):
  """A steep direction must not hide another one from the draws."""
  rates = tf.constant([1e-3, 1e3], dtype)
  gamma = tfp.distributions.Gamma(tf.constant(2.0, dtype), rates)
  surrogate = fo.flows.surrogate_posterior(
      2, support=tfp.bijectors.Exp(), num_steps=0, covariance=covariance,
      dtype=dtype,
  )
  found = fo.flows.initialize_surrogate(
      surrogate, lambda x: tf.reduce_sum(gamma.log_prob(x), axis=-1)
  )
  assert -0.12 < found < 0.0


@pytest.mark.parametrize('scales', [(0.1, 30.0), (0.01, 1000.0)])
def test_a_model_of_two_scales(scales, rng):
  """Correlated or not, in its own units."""
  rate, deviation = scales
  y = tf.constant(deviation * rng.normal(size=50), tf.float32)
  k = tf.constant(rng.exponential(rate, size=50), tf.float32)
  tfd = tfp.distributions

  def target(x):
    mean, scale = tf.exp(x[..., :1]), tf.exp(x[..., 1:])
    return (
        tf.reduce_sum(tfd.Normal(0.0, 10.0).log_prob(x), axis=-1)
        + tf.reduce_sum(tfd.Exponential(1.0 / mean).log_prob(k), axis=-1)
        + tf.reduce_sum(tfd.Normal(0.0, scale).log_prob(y), axis=-1)
    )

  values = [
      fo.flows.initialize_surrogate(
          fo.flows.surrogate_posterior(
              2, num_steps=0, covariance=covariance
          ),
          target,
      )
      for covariance in ('full', 'diagonal')
  ]
  assert values[0] == pytest.approx(values[1], abs=0.02)
  # The logarithms of both have deviations 50^(-1/2) and 100^(-1/2), nearly.
  mode = tf.math.log([tf.reduce_mean(k), tf.reduce_mean(y**2) ** 0.5])
  expected = target(mode) + np.log(2.0 * np.pi / np.sqrt(5000.0))
  assert values[0] == pytest.approx(float(expected), abs=0.1)


def test_samples_of_very_different_scales(rng):
  x = rng.normal(size=[1000, 2]) * [1e4, 1e-3]
  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  found = fo.flows.initialize_surrogate(
      surrogate, samples=x.astype(np.float32)
  )
  expected = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(x.T))[1]
  assert found == pytest.approx(expected, abs=0.02)
