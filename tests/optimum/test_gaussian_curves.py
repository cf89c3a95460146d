"""Curves of columns of data, of ties and constants, too."""

import numpy as np
import pytest
from scipy import optimize
from scipy import stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions


def draw(num, rng):
  """Normal, exponential, bimodal, heavy tails; three values; a constant."""
  modes = np.where(
      rng.random(num) < 0.4,
      rng.normal(-2.0, 0.3, size=num),
      rng.normal(1.0, 0.5, size=num),
  )
  return np.stack(
      [
          rng.normal(5.0, 2.0, size=num),
          rng.exponential(size=num),
          modes,
          rng.standard_t(3, size=num),
          rng.integers(3, size=num),
          np.full(num, 7.0),
      ],
      axis=-1,
  )


def fitted(x, **kwargs):
  curves = fo.bijectors.MarginalGaussianization(
      x.shape[-1], event_ndims=1, dtype=tf.float64
  )
  curves.initialize(*fo.optimum.gaussian_curves(x, **kwargs))
  return curves


def test_held_out_likelihood_is_near_that_of_the_true_density(rng):
  x, held_out = (draw(4000, rng)[:, :4] for _ in range(2))
  z, _ = fo.bijectors.inverse_and_log_det(fitted(x), held_out)
  for column in z.numpy().T:
    assert stats.kstest(column, 'norm').statistic < 0.06
  got = [
      np.mean(
          tfd.TransformedDistribution(
              tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), 1),
              fitted(x[:, i : i + 1]),
          ).log_prob(held_out[:, i : i + 1])
      )
      for i in range(4)
  ]
  modes = 0.4 * stats.norm.pdf(held_out[:, 2], -2.0, 0.3)
  modes += 0.6 * stats.norm.pdf(held_out[:, 2], 1.0, 0.5)
  best = [
      np.mean(stats.norm.logpdf(held_out[:, 0], 5.0, 2.0)),
      np.mean(stats.expon.logpdf(held_out[:, 1])),
      np.mean(np.log(modes)),
      np.mean(stats.t.logpdf(held_out[:, 3], 3)),
  ]
  np.testing.assert_allclose(got, best, atol=0.08)
  assert np.all(np.asarray(got) < np.asarray(best) + 0.01)


@pytest.mark.parametrize('num', [2, 5, 1000])
def test_slopes_are_bounded_for_any_data(num, rng):
  x = draw(num, rng)
  x = np.concatenate([x, 1e-6 * x[:, :1] ** 9, 1e3 + x[:, :1]], axis=-1)
  low, high = 0.2, 5.0
  inputs, outputs = fo.optimum.gaussian_curves(x, 321, low, high)
  slopes = np.diff(outputs) / np.diff(inputs)
  scale = np.std(x, axis=0, keepdims=True).T
  scale[5] = 1.0
  assert np.all(slopes * scale >= low * (1 - 1e-9))
  assert np.all(slopes * scale <= high * (1 + 1e-9))
  # float32 tells the knots apart.
  assert np.all(np.diff(inputs.astype(np.float32)) > 0)
  bijector = fitted(x, min_slope=low, max_slope=high)
  log_det = bijector.inverse_log_det_jacobian(x)
  assert np.all(log_det <= np.sum(np.log(high / scale)) + 1e-6)


def test_a_constant_column_is_shifted():
  bijector = fitted(np.full([10, 1], 7.0))
  z, log_det = fo.bijectors.inverse_and_log_det(
      bijector, np.array([[7.0], [8.5], [70.0]])
  )
  np.testing.assert_allclose(z[:, 0], [0.0, 1.5, 63.0], atol=1e-12)
  np.testing.assert_allclose(log_det, 0.0, atol=1e-12)


def test_the_knots_are_the_nearest_that_each_bound_allows(rng):
  """By a solver of quadratic programs; one knot for each that is fitted."""
  x = np.concatenate([rng.normal(size=40) * 0.01, rng.normal(size=60) + 5.0])
  inputs, outputs = fo.optimum.gaussian_curves(x[:, np.newaxis], 12, 0.6, 1.8)
  inputs, z = inputs[0], outputs[0]
  want = np.quantile(x, stats.norm.cdf(z))
  step, scale = z[1] - z[0], np.std(x)
  steps = np.diff(np.eye(12), axis=0)
  # First no slope above, then none below.
  for bounds in ((scale * step / 1.8, np.inf), (-np.inf, scale * step / 0.6)):
    solution = optimize.minimize(
        lambda q, target=want: np.sum((q - target) ** 2),
        np.mean(x) + scale * z,
        jac=lambda q, target=want: 2 * (q - target),
        constraints=optimize.LinearConstraint(steps, *bounds),
        method='SLSQP',
        options={'ftol': 1e-14, 'maxiter': 500},
    )
    assert solution.success
    want = solution.x
  np.testing.assert_allclose(inputs, want, atol=1e-5)
