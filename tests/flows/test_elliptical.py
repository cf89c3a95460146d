"""Linear maps and a function of the norm, at their common optimum."""

import numpy as np
import pytest
from scipy import optimize
from scipy import special
from scipy import stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.flows import radial_curve

tfb, tfd = tfp.bijectors, tfp.distributions
CENTER = np.array([1.0, -2.0, 0.0, 3.0])
CURVE = radial_curve.RadialCurve(1.3, -0.4, -0.9)
ONLY_RADIUS = {'gaussianize_marginals': False, 'num_steps': 1,
               'hidden_units': 2}


def heavy(rng, num=4000, size=4):
  """Draws of a multivariate t of 3 degrees of freedom, and that."""
  root = rng.normal(size=[size, size])
  truth = stats.multivariate_t(
      CENTER, root @ root.T + 0.1 * np.eye(size), df=3
  )
  return truth.rvs(num, random_state=rng).astype(np.float32), truth


def of_radius(x):
  """A flow at its start on `x`, and what was predicted."""
  distribution = fo.vector_flow(x.shape[1], **ONLY_RADIUS)
  return distribution, fo.initialize_at_optimum(distribution, x)


def test_densities_of_curves_integrate_to_one():
  for size in (2, 5):
    x = np.linspace(1e-4, 60.0, 400_001)  # the norm
    area = 2.0 * np.pi ** (size / 2) / special.gamma(size / 2)
    density = np.exp(CURVE.log_prob(x / np.sqrt(size), size))
    total = np.trapezoid(density * area * x ** (size - 1), x)
    assert total == pytest.approx(1.0, abs=1e-4)


def test_weights_are_derivatives_of_the_density():
  r, step, size = np.array([0.05, 0.4, 1.0, 7.0]), 1e-6, 6
  by_radius = (
      CURVE.log_prob(r + step, size) - CURVE.log_prob(r - step, size)
  ) / (2.0 * step)
  weights = CURVE.weights(r, size)
  np.testing.assert_allclose(weights, -by_radius / (size * r), rtol=1e-6)
  assert np.all(np.diff(weights) < 0)
  np.testing.assert_allclose(radial_curve.RadialCurve().weights(r, size), 1.0)


def test_curves_are_the_best_that_an_optimizer_finds(rng):
  size = 5
  x = stats.multivariate_t(np.zeros(size), df=4).rvs(3000, random_state=rng)
  r = np.sqrt(np.mean(x**2, axis=1))
  found = radial_curve.RadialCurve.fitted(r, size)
  best = optimize.minimize(
      lambda p: -radial_curve.RadialCurve(*p).log_prob(r, size).mean(),
      [1.0, 0.0, 0.0],
      bounds=[(0.0, 4.0), (-4.0, 4.0), (None, None)],
  )
  assert found.log_prob(r, size).mean() == pytest.approx(-best.fun, abs=1e-5)


def test_heavy_tails_are_found(rng):
  x, truth = heavy(rng)
  distribution, predicted = of_radius(x)
  measured = np.mean(distribution.log_prob(x))
  assert measured == pytest.approx(predicted, abs=1e-3)
  # Most of what a normal distribution loses.
  exact = truth.logpdf(x).mean()
  normal = float(fo.likelihood_optimum(x).log_likelihood)
  assert exact - 0.05 < predicted < exact + 0.02
  assert exact - normal > 0.5
  # Far out, where one vector would decide the mean of a normal one.
  far = CENTER + 300.0 * np.ones(4)
  normal = stats.multivariate_normal(x.mean(axis=0), np.cov(x.T))
  assert normal.logpdf(far) < -1000.0
  assert distribution.log_prob(far.astype(np.float32)) > -400.0
  # The centre is that of the many.
  center = distribution.bijector.forward(np.zeros(4, np.float32))
  assert np.max(np.abs(center - CENTER)) < 0.1


def test_normal_data_have_no_curve(rng):
  x = (rng.normal(size=[2000, 3]) @ rng.normal(size=[3, 3])).astype(np.float32)
  distribution, predicted = of_radius(x)
  assert float(distribution.bijector.radius.log_slopes()[0]) == 0.0
  optimum = float(fo.likelihood_optimum(x).log_likelihood)
  assert predicted == pytest.approx(optimum, abs=1e-5)


def test_conditions_are_weighted_too(rng):
  """A few vectors far out do not move what the condition predicts."""
  c = rng.normal(size=[1000, 1]).astype(np.float32)
  x = (c * [[2.0, -1.0]] + 0.1 * rng.normal(size=[1000, 2])).astype(np.float32)
  x[:20] -= 30.0 * c[:20]
  predicted = []
  for radius in (False, True):
    distribution = fo.vector_flow(
        2, conditioning=[1], gaussianize_radius=radius, **ONLY_RADIUS
    )
    predicted.append(
        fo.initialize_at_optimum(distribution, x, conditioning=c)
    )
    matrix = distribution.bijector.shift.matrix / c.std()
    error = np.max(np.abs(matrix - [[2.0], [-1.0]]))
    assert error < 0.05 if radius else error > 0.3
  assert predicted[1] > predicted[0] + 2.0


def test_vectors_at_the_centre_and_constant_ones(rng):
  x, _ = heavy(rng, num=300)
  half = np.concatenate([x[:150], 2.0 * CENTER - x[:150], CENTER[np.newaxis]])

  def check(data):
    distribution, predicted = of_radius(data.astype(np.float32))
    assert np.isfinite(predicted)
    assert np.all(np.isfinite(distribution.log_prob(data.astype(np.float32))))
    for variable in distribution.bijector.variables:
      assert np.all(np.isfinite(np.asarray(variable, np.float64)))

  check(half)
  with pytest.warns(UserWarning, match='too few differ'):
    check(np.repeat(x[:1], 20, axis=0))


@pytest.mark.parametrize('num', [1, 2])
def test_one_vector_far_out_does_not_decide(num, rng):
  """A code for missing values, say: it widened the covariance of all."""
  x = rng.normal(size=[1600, 5])
  x[:num, 2] = -999.0
  distribution = fo.vector_flow(5, num_steps=0, gaussianize_marginals=False)
  fo.initialize_at_optimum(distribution, x[:600].astype(np.float32))
  others = x[600:].astype(np.float32)
  entropy = 2.5 * np.log(2.0 * np.pi * np.e)
  assert np.mean(distribution.log_prob(others)) > -entropy - 0.7


def test_without_steps_a_flow_is_its_closed_form(rng):
  """And a certificate loses little to an attack along the radius."""
  x, _ = heavy(rng, 2000)
  distribution = fo.vector_flow(4, num_steps=0, gaussianize_marginals=False)
  predicted = fo.initialize_at_optimum(distribution, x)
  assert distribution.bijector.steps is None
  log_prob = distribution.log_prob(x).numpy()
  assert log_prob.mean() == pytest.approx(predicted, abs=1e-3)
  x, log_prob = x[:50], log_prob[:50]
  lower, upper = fo.diagnostics.certified_log_prob(distribution, x, 0.02)
  assert np.all(lower < log_prob) and np.all(log_prob < upper)
  # Of the ellipsoids of equal density, towards others.
  with tf.GradientTape() as tape:
    point = tf.constant(x)
    tape.watch(point)
    value = distribution.log_prob(point)
  slope = tape.gradient(value, point).numpy()
  step = 0.02 * slope / np.linalg.norm(slope, axis=1, keepdims=True)
  least, most = (distribution.log_prob(x + k * step) for k in (-1.0, 1.0))
  assert np.all(lower <= least + 1e-4) and np.all(most <= upper + 1e-4)
  widths, found = np.median(upper - lower), np.median(most - least)
  assert found < widths < 1.05 * found
  # As a part of another bijector, too.
  doubled = tfd.TransformedDistribution(
      distribution.distribution,
      tfb.Chain([tfb.Scale(2.0), distribution.bijector]),
  )
  certified = fo.diagnostics.CertifiedLogProb(doubled)
  assert certified._radial is not None
  half = certified(2.0 * x, 0.04)
  log_det = 4.0 * np.log(2.0)
  assert np.all(half.lower + log_det <= lower + 1e-3)
  assert np.median(half.upper - half.lower) < 2.0 * widths
