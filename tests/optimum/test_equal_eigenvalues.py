"""Ranks that part equal eigenvalues, and few vectors under a condition."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo


@pytest.mark.parametrize('scales', [(4, 4, 2, 2), (2, 2, 2, 2), (3, 2, 2, 1)])
@pytest.mark.parametrize('rank', [1, 2])
def test_the_flow_is_the_optimum(scales, rank):
  x = np.concatenate([np.eye(4), -np.eye(4)]) * np.array(scales, float)
  best = fo.likelihood_optimum(x, rank=rank)
  flow = best.distribution()
  found = np.mean(flow.log_prob(x))
  assert found == pytest.approx(float(best.log_likelihood), abs=1e-9)
  log_det = flow.bijector.inverse_log_det_jacobian(x[0], 1)
  assert float(log_det) == pytest.approx(float(best.log_det), abs=1e-9)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('rank', [1, 2, 5])
def test_a_convolution_is_one_of_real_images(seed, rank):
  """Conjugate frequencies have one eigenvalue, which a rank may part."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(30, 6, 4, 3))
  x = x + 0.5 * np.roll(x, 1, 2) + np.arange(3)
  best = fo.likelihood_optimum(x, 'circulant', rank=rank, noise_variance=0.3)
  flow = best.distribution().bijector
  np.testing.assert_allclose(flow.forward(flow.inverse(x)), x, atol=1e-9)
  size = 6 * 4 * 3
  basis = tf.reshape(tf.eye(size, dtype=tf.float64), [size, 6, 4, 3])
  columns = flow.inverse(basis) - flow.inverse(tf.zeros_like(basis))
  _, log_det = np.linalg.slogdet(np.reshape(columns, [size, size]))
  stated = float(flow.inverse_log_det_jacobian(x[0], 3))
  assert stated == pytest.approx(log_det, abs=1e-9)


@pytest.mark.parametrize('num_features', [1, 3, 12])
def test_mutual_information_of_few_vectors(num_features, rng):
  x, c = rng.normal(size=(8, 10)), rng.normal(size=(8, num_features))
  moments = fo.AutoCorrelation('dense', 10, conditioning=[num_features])
  moments.update(x, c)
  expected = moments.optimum(noise_variance=0.1).mutual_information
  best = fo.likelihood_optimum(x, noise_variance=0.1, conditioning=c)
  np.testing.assert_allclose(best.mutual_information, expected, rtol=1e-9)
