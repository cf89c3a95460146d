"""The largest and the smallest numbers: constants, weights and values."""

import math

import numpy as np
import pytest
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rescaled_kernel
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import anchored_log_scale

fob = fo.bijectors
lip = fo.lipschitz


def test_helpers_round_upwards(rng):
  for a, b in np.exp(rng.uniform(-300, 300, size=(20, 2))).tolist():
    pairs = [rounding.product(a, b), rounding.reciprocal(a)]
    exact = [np.longdouble(a) * np.longdouble(b), 1 / np.longdouble(a)]
    for rounded, value in zip(pairs, exact, strict=True):
      assert value <= rounded <= float(value) * (1 + 4e-16)
  for x in (-1e4, -740.0, -1.0, 0.0, 1.0, 709.0, 710.0, 1e4):
    value = np.exp(np.longdouble(x))
    assert value <= rounding.exponential(x)
  assert rounding.exponential(-1e4) > 0
  assert rounding.exponential(710.0) == math.inf
  assert rounding.reciprocal(0.0) == rounding.reciprocal(5e-324) == math.inf
  assert rounding.product(0.0, math.inf) == math.inf
  assert 0 < rounding.product(1e-300, 1e-300) < 1e-300
  assert rounding.product(1e300, 1e300) == math.inf


@pytest.mark.parametrize('c', [0.0, 1e-200, 1.0, 1e200, 1e308, math.inf])
@pytest.mark.parametrize('d', [1e-200, 1.0, 1e200, math.inf])
def test_coupling_norms_at_the_limits(c, d):
  norm = bounds.coupling_norm(c, d)
  assert max(c, d, 1.0) <= norm
  assert norm == math.inf or norm <= (c + max(d, 1.0)) * (1 + 1e-12)
  assert (norm == math.inf) == (math.inf in (c, d))


def _radial(weight, dtype, num_terms=200):
  bijector = fob.RadialScaling(num_terms=num_terms, dtype=dtype)
  slopes = bijector.log_slopes.variables[0]
  slopes.assign(tf.fill(slopes.shape, tf.constant(weight, dtype)))
  return bijector


def _act_norm(variance, dtype):
  bijector = fob.ActNorm(1, dtype=dtype)
  bijector.initialize([0.0], [variance])
  return bijector


def _conv1x1(value, dtype):
  bijector = fob.InvertibleConv1x1(2, dtype=dtype)
  bijector.initialize(singular_values=[value, 1.0])
  return bijector


def _marginals(step, dtype):
  bijector = fob.MarginalGaussianization(1, num_knots=3, dtype=dtype)
  bijector.initialize([[0.0, step, 1.0]], [[0.0, 1.0, 2.0]])
  return bijector


class Stated:
  """A network that states a constant."""

  def __init__(self, lipschitz):
    self.lipschitz = lipschitz

  def __call__(self, x):
    return tf.concat([x, x], -1)


# A bijector, and logarithms of its constants, or infinity.
OVERFLOWS = {
    'RadialScaling': (lambda: _radial(1.0, tf.float64), 0.0, math.inf),
    'RadialScaling, shrinking': (
        lambda: _radial(-1.0, tf.float64), math.inf, 0.0
    ),
    'RadialScaling, float32': (
        lambda: _radial(1.0, tf.float32, 30), 0.0, math.inf
    ),
    'ActNorm': (
        lambda: _act_norm(1e-78, tf.float32), -39 * math.log(10), math.inf
    ),
    'ActNorm, in range': (
        lambda: _act_norm(1e-90, tf.float64),
        -45 * math.log(10),
        45 * math.log(10),
    ),
    'InvertibleConv1x1': (
        lambda: _conv1x1(1e30, tf.float32), 0.0, 30 * math.log(10)
    ),
    'MarginalGaussianization': (
        lambda: _marginals(1e-309, tf.float64), 0.0, math.inf
    ),
    'AffineCoupling': (
        lambda: fob.AffineCoupling(Stated(1e200), 1.0, 1e200, 1),
        math.inf,
        math.inf,
    ),
    'AffineCoupling, in range': (
        lambda: fob.AffineCoupling(Stated(1e200), 0.1, 1e-9, 1),
        200 * math.log(10) + 0.1,
        200 * math.log(10),
    ),
}


@pytest.mark.filterwarnings('ignore:overflow')
@pytest.mark.parametrize('name', OVERFLOWS)
def test_what_overflows_is_infinite(name):
  make, *logarithms = OVERFLOWS[name]
  constants = lip.lipschitz_bounds(make())
  for constant, logarithm in zip(constants, logarithms, strict=True):
    if logarithm == math.inf:
      assert constant == math.inf
    else:
      assert math.log(constant) == pytest.approx(logarithm, abs=0.02)
  size, most = 3, 3 * max(logarithms[1], -1e9)
  assert constants.log_det_range(size)[1] == pytest.approx(most, abs=0.1)


def test_an_infinite_scaling_has_parts():
  from tfp_flowopt.lipschitz import flow_bounds

  part = flow_bounds.bounds_by_part(_radial(1.0, tf.float64))
  assert part.linear == (1.0, 1.0) and part.nonlinear.inverse == math.inf
  part = flow_bounds.bounds_by_part(_radial(-0.07, tf.float64, 100))
  # Slopes of -0.7, in each of 100 terms.
  half = math.exp(0.5 * 100 * 4 * math.tanh(0.7 / 4))
  assert part.nonlinear == pytest.approx((half, half), rel=1e-9)
  assert part.linear == pytest.approx((half, 1 / half), rel=1e-9)


def test_reconstruction_errors_that_overflow_are_infinite():
  layers = [lip.LipschitzBounds(1e300, 1e300)] * 3
  with np.errstate(all='raise'):
    assert lip.reconstruction_error_bound(
        layers, [1e300] * 4, tf.float32
    ) == math.inf
    mixed = [lip.LipschitzBounds(0.0, 1.0), *layers]
    assert lip.reconstruction_error_bound(
        mixed, [0.0, 1.0, 1.0, 1.0, 1.0], tf.float32
    ) == math.inf


LARGEST = float(tf.float32.max)
EXTREMES = (LARGEST, -LARGEST, 1e30, -1e30, 1e-30, 1e-45, 0.0)


def _budgeted():
  slopes = [lip.LogSlopes(3) for _ in range(2)]
  budget = lip.LipschitzBudget(2.0)
  budget.add_path(slopes)
  budget.add_path(slopes[:1], 0.5)
  return slopes[0], slopes[1]


def _kernel(shape, normalization, rate=1.0):
  return rescaled_kernel.RescaledKernel(
      tf.ones(shape), normalization, 1.0, rate
  )


PARAMETRISATIONS = {
    'log-slopes': lambda: [lip.LogSlopes(3)],
    'log-slopes, narrow': lambda: [lip.LogSlopes(3, bound=1e-3)],
    'budget': _budgeted,
    'anchored': lambda: [anchored_log_scale.AnchoredLogScale(3, 1.0)],
    'anchored, fast': lambda: [
        anchored_log_scale.AnchoredLogScale(3, 0.01, rate=100.0)
    ],
    'orthogonal': lambda: [lip.Orthogonal(3)],
    'orthogonal, fast': lambda: [lip.Orthogonal(3, rate=100.0)],
    'aol': lambda: [_kernel([3, 3, 2, 3], 'aol')],
    'aol, dense': lambda: [_kernel([3, 2], 'aol')],
    'aol, fast': lambda: [_kernel([3, 2], 'aol', rate=100.0)],
    'gram, fast': lambda: [_kernel([3, 2], 'gram', rate=100.0)],
}


@pytest.mark.parametrize('name', PARAMETRISATIONS)
def test_any_finite_weights_give_finite_values_and_gradients(rng, name):
  modules = PARAMETRISATIONS[name]()
  variables = [v for module in modules for v in module.trainable_variables]
  variables = list({v.ref(): v for v in variables}.values())

  @tf.function(autograph=False)
  def evaluate():
    with tf.GradientTape() as tape:
      values = [module() for module in modules]
      loss = tf.add_n([tf.reduce_sum(tf.sin(value)) for value in values])
    return values, tape.gradient(loss, variables)

  for extreme in (*EXTREMES, 'mixed', 'mixed'):
    for variable in variables:
      variable.assign(
          rng.choice(EXTREMES, size=variable.shape)
          if extreme == 'mixed'
          else tf.fill(variable.shape, tf.constant(extreme, tf.float32))
      )
    values, gradients = evaluate()
    for value in (*values, *gradients):
      assert np.all(np.isfinite(value)), extreme
    if name == 'budget':
      assert 0.5 * np.sum(np.abs(values)) <= 2.0
    if 'aol' in name or 'gram' in name:
      kernel = np.reshape(values[0], [-1, values[0].shape[-1]])
      # One tap after the other: no more than the sum.
      norm = np.linalg.norm(kernel, ord=2)
      assert norm <= 3 * (1 + 1e-4)
      if extreme in (LARGEST, 1e30):  # and not nothing
        assert norm > 0.3


def test_scalings_within_a_budget_survive_any_log_slopes(rng):
  cascade = fob.ScalingCascade(1, (1,), num_terms=2)
  lip.LipschitzBudget(1.0).add_path([cascade.log_slopes])
  slopes = cascade.log_slopes.variables[0]
  y = tf.constant(rng.normal(size=(2, 1, 1, 1)), tf.float32)
  for weights in ([5e37, 5e37], [LARGEST, -LARGEST], [-LARGEST, 1.0]):
    slopes.assign(weights)
    with tf.GradientTape() as tape:
      z, log_det = fob.inverse_and_log_det(cascade, y)
      loss = tf.reduce_sum(tf.square(z)) - tf.reduce_sum(log_det)
    for value in (z, loss, *tape.gradient(loss, cascade.trainable_variables)):
      assert np.all(np.isfinite(value))
    back, _ = fob.forward_and_log_det(cascade, z)
    np.testing.assert_allclose(back, y, rtol=1e-4)
    constants = lip.lipschitz_bounds(cascade)
    # The larger one has all of it: stretching by e^2 around the scalar e.
    assert 1.9 < np.log(constants.forward * constants.inverse) <= 2.0 + 1e-3


@pytest.mark.parametrize('dtype', [tf.float16, tf.float32, tf.float64])
def test_activations_have_the_range_of_their_type(dtype):
  largest = 0.4 * float(dtype.max)
  sizes = np.array([0.0, 1e-3, 0.1, 3.0, 200.0, 1e5, 1e9, 1e19, 1e30, largest])
  sizes = sizes[sizes <= largest]
  for name in ('max_min', 'smooth_max_min'):
    x = tf.cast(np.stack([sizes, -sizes], -1), dtype)
    for values in (x, x[:, ::-1], tf.abs(x)):
      with tf.GradientTape() as tape:
        tape.watch(values)
        y = getattr(lip, name)(values)
      gradient = np.asarray(tape.gradient(y, values), np.float64)
      assert np.all(np.isfinite(y)) and np.all(np.isfinite(gradient))
      exact = np.sort(np.asarray(values, np.float64))[:, ::-1]
      # It rounds the corner by at most 0.1.
      np.testing.assert_allclose(
          np.asarray(y, np.float64), exact, rtol=2e-3, atol=0.11
      )


@pytest.mark.parametrize('name', ['RadialScaling', 'AffineCoupling'])
def test_values_of_any_size_pass_scalings(name):
  bijector = registry.ENTRIES[name].make(tf.float32)
  shape = registry.ENTRIES[name].data_shape
  for size in (0.0, 1e-40, 1e-20, 1e19, 1e30):
    y = tf.fill([1, *shape], tf.constant(size))
    with tf.GradientTape() as tape:
      tape.watch(y)
      x = bijector.inverse(y)
      log_det = bijector.inverse_log_det_jacobian(y, len(shape))
      loss = tf.reduce_sum(tf.sin(x / max(size, 1.0))) + tf.reduce_sum(log_det)
    for value in (x, log_det, tape.gradient(loss, y)):
      assert np.all(np.isfinite(value)), size
