"""Targets without a normal that is nearest to them."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo


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


@pytest.mark.parametrize('scale, most', [(1.0, 1), (1e2, 1), (1e6, 5)])
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


def test_samples_of_another_size():
  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  samples = np.random.default_rng(0).normal(size=[50, 3]).astype(np.float32)
  with pytest.raises(ValueError, match=r'`samples` must be .*\[50, 3\]'):
    fo.flows.initialize_surrogate(surrogate, samples=samples)


def test_a_target_that_returns_nothing():
  surrogate = fo.flows.surrogate_posterior(2, num_steps=0)
  with pytest.raises(ValueError, match='must return float32, got None'):
    fo.flows.initialize_surrogate(surrogate, lambda y: None)
