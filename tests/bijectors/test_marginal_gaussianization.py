import numpy as np
import pytest
from scipy import stats
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


def make(dtype=tf.float64):
  return registry.ENTRIES['MarginalGaussianization'].make(dtype)


def test_a_new_one_is_the_identity(rng):
  bijector = fo.bijectors.MarginalGaussianization(3, dtype=tf.float64)
  y = rng.normal(size=(2, 4, 4, 3))
  np.testing.assert_allclose(bijector.inverse(y), y, atol=1e-12)
  np.testing.assert_allclose(
      bijector.inverse_log_det_jacobian(y), np.zeros(2), atol=1e-10
  )
  assert not bijector.trainable_variables


def test_it_interpolates_and_goes_on(rng):
  bijector = make()
  y = rng.uniform(-1.0, 1.0, size=(50, 2, 3, 2))
  for c in range(2):
    inside = np.clip(y[..., c], bijector.inputs[c, 0], bijector.inputs[c, -1])
    z = bijector.inverse(np.stack([inside] * 2, -1))
    np.testing.assert_allclose(
        z[..., c],
        np.interp(inside, bijector.inputs[c], bijector.outputs[c]),
        atol=1e-12,
    )
  # From the first knot to the last, 1.85.
  z = bijector.inverse(np.full([1, 2, 3, 2], -5.0))
  np.testing.assert_allclose(z[..., 0], -9.4)
  z = bijector.inverse(np.full([1, 2, 3, 2], 2.0))
  np.testing.assert_allclose(z[..., 0], 3.55)


def test_knots_that_are_no_curve_are_refused():
  bijector = make(tf.float32)
  line = np.tile(np.linspace(0, 1, 4), [2, 1])
  bad = {
      'increase': np.array([[0.0, 1.0, 1.0, 2.0]] * 2),
      # Different numbers, but not in float32.
      'rounding': np.array([[0.0, 1.0, 1.0 + 1e-12, 2.0]] * 2),
      'shape': line[:, :3],
      'finite': np.array([[0.0, 1.0, 2.0, np.inf]] * 2),
  }
  before = bijector.inputs.numpy()
  for match, knots in bad.items():
    with pytest.raises(ValueError, match=f'(?s)`inputs`.*{match}'):
      bijector.initialize(knots, line)
    with pytest.raises(ValueError, match='`outputs`'):
      bijector.initialize(line, knots)
  np.testing.assert_array_equal(bijector.inputs, before)
  with pytest.raises(ValueError, match='num_knots'):
    fo.bijectors.MarginalGaussianization(3, num_knots=1)


@pytest.mark.parametrize('bits', [3, 8])
def test_knots_make_a_histogram_normal(bits, rng):
  weights = rng.gamma(0.3, size=2**bits)
  weights[0] = weights.sum()  # a background
  counts = np.round(1e6 * weights / weights.sum())
  inputs, outputs = fo.optimum.gaussian_knots(counts, 321)
  assert inputs.shape == outputs.shape == (321,)
  assert np.all(np.diff(inputs) > 0) and np.all(np.diff(outputs) > 0)
  assert (inputs[0], inputs[-1]) == (-0.5, 0.5)
  # Dequantised values of that histogram, through the curve.
  values = rng.choice(2**bits, p=counts / counts.sum(), size=200_000)
  x = (values + rng.random(200_000)) / 2**bits - 0.5
  z = np.interp(x, inputs, outputs)
  assert stats.kstest(z, 'norm').statistic < 0.01
  # Their likelihood is that of the histogram, the optimum of functions of one
  # value: bits/dim is its entropy.
  slopes = np.diff(outputs) / np.diff(inputs)
  piece = np.searchsorted(inputs, x, side='right') - 1
  log_prob = stats.norm.logpdf(z) + np.log(slopes[piece])
  entropy = stats.entropy(counts, base=2)
  got = bits - np.mean(log_prob) / np.log(2)
  assert got == pytest.approx(entropy, abs=0.02)


def test_numbers_of_knots():
  counts = np.ones(8)
  with pytest.raises(ValueError, match='at least 9'):
    fo.optimum.gaussian_knots(counts, 8)
  with pytest.raises(ValueError, match='too large'):
    fo.optimum.gaussian_knots(counts, 100_000)
  with pytest.raises(ValueError, match='zero'):
    fo.optimum.gaussian_knots(np.zeros(8), 20)
  inputs, _ = fo.optimum.gaussian_knots(counts, 9)
  np.testing.assert_allclose(inputs, np.linspace(-0.5, 0.5, 9))
