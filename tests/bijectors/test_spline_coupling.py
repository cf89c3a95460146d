"""`SplineCoupling`: its slopes, its digits and its constants."""

import math

import numpy as np
import pytest
from support import adversary
import tensorflow as tf

import tfp_flowopt as fo


class Constant(tf.Module):
  """A conditioner with the same parameters everywhere."""

  def __init__(self, params):
    super().__init__()
    self.params = params

  def __call__(self, x):
    params = tf.constant(self.params, x.dtype)
    return tf.zeros_like(x) + params


def spline(params, **kwargs):
  return fo.bijectors.SplineCoupling(
      Constant(params), num_bins=len(params), event_ndims=1, **kwargs
  )


def vectors(second, dtype=tf.float64):
  second = np.asarray(second, np.float64)
  return tf.constant(np.stack([np.zeros_like(second), second], -1), dtype)


def slopes(params, smallest, largest):
  """At all knots, by the formula."""
  raw = np.asarray(params[:-1])
  a = np.where(raw > 0, math.log(largest), -math.log(smallest))
  return np.exp(np.concatenate([[0.0], a * np.tanh(raw / a), [0.0]]))


@pytest.mark.parametrize('num_bins', [2, 5, 8])
def test_the_curve_is_the_integral_of_its_slopes(num_bins, rng):
  params = rng.normal(scale=3.0, size=num_bins)
  coupling = spline(params, min_slope=0.1, max_slope=4.0, bound=2.0)
  y = np.linspace(-3.0, 3.0, 120_001)
  x = coupling.inverse(vectors(y))[:, 1].numpy()
  slope = np.exp(coupling.inverse_log_det_jacobian(vectors(y)))
  integral = np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(y))
  np.testing.assert_allclose(np.diff(x).cumsum(), integral, atol=1e-7)
  knots = np.linspace(-2.0, 2.0, num_bins + 1)
  at_knots = slopes(params, 0.1, 4.0)
  got = np.exp(coupling.inverse_log_det_jacobian(vectors(knots)))
  np.testing.assert_allclose(got, at_knots, rtol=1e-12)
  # Between two of them, in every bin, and 1 beyond.
  bins = np.searchsorted(knots, y[(y > -2) & (y < 2)], side='right') - 1
  inner = slope[(y > -2) & (y < 2)]
  both = np.stack([at_knots[bins], at_knots[bins + 1]])
  assert np.all(inner >= both.min(0) * (1 - 1e-12))
  assert np.all(inner <= both.max(0) * (1 + 1e-12))
  np.testing.assert_allclose(slope[np.abs(y) > 2], 1.0, rtol=1e-12)
  # No jump: `f''` is bounded in a bin, by its formula.
  assert np.max(np.abs(np.diff(slope))) < 1e-2
  # The knot in the middle moves by the shift alone.
  middle = knots[num_bins // 2]
  np.testing.assert_allclose(
      coupling.inverse(vectors([middle]))[0, 1], middle + params[-1]
  )


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
@pytest.mark.parametrize('size', [0.0, 1.0, 1e30])
def test_any_input_and_any_parameters(dtype, size, rng):
  """Slopes in their bounds, values back, no NaN in values or gradients."""
  far = [1e4, 1e10, 1e20, 1e30]
  y = np.concatenate([np.linspace(-4, 4, 33), far, np.negative(far), [1e-30]])
  eps = np.finfo(dtype.as_numpy_dtype).eps
  for _ in range(4):
    params = size * rng.normal(size=8)
    params[-1] = rng.normal()
    coupling = spline(params, min_slope=1e-2, max_slope=50.0, bound=4.0)
    point = vectors(y, dtype)
    x = coupling.inverse(point)
    log_slope = coupling.inverse_log_det_jacobian(point).numpy()
    assert np.all(log_slope >= math.log(1e-2) - 100 * eps)
    assert np.all(log_slope <= math.log(50.0) + 100 * eps)
    back = coupling.forward(tf.identity(x))[:, 1]
    # By how much rounding of `x` moves `y`.
    scale = np.maximum(np.abs(x[:, 1]), 400.0) / np.exp(log_slope)
    assert np.all(np.abs(back - point[:, 1]) <= 8 * eps * scale)
    if size == 0:
      shifted = point[:, 1] + tf.constant(params[-1], dtype)
      np.testing.assert_allclose(x[:, 1], shifted, rtol=8 * eps, atol=16 * eps)
    for function, at, sign in (
        (coupling.inverse, point, 1),
        (coupling.forward, tf.identity(x), -1),
    ):
      with tf.GradientTape() as tape:
        tape.watch(at)
        value = function(at)
      gradient = tape.gradient(value, at)[:, 1]
      # Also at knots, where one of two bins must have it.
      if dtype == tf.float64 or sign == 1:
        np.testing.assert_allclose(
            gradient, np.exp(sign * log_slope), rtol=1e5 * eps
        )
      assert np.all(np.isfinite(gradient))


def test_gradients_at_the_knots_of_a_new_coupling():
  for num_bins in (4, 5, 16):
    coupling = spline([0.0] * num_bins)
    y = np.linspace(-3.0, 3.0, num_bins + 1)
    for function in (coupling.forward, coupling.inverse):
      point = vectors(y, tf.float32)
      with tf.GradientTape() as tape:
        tape.watch(point)
        value = function(point)
      np.testing.assert_allclose(tape.gradient(value, point), 1.0, rtol=1e-5)


@pytest.mark.parametrize('num_bins', [2, 3, 8])
def test_constants_by_the_worst_conditioner(num_bins):
  """A search for parameters and a point; the bound holds and is not idle."""
  smallest, largest, bound = 0.2, 5.0, 3.0
  params = tf.Variable(tf.zeros([60, num_bins], tf.float64))
  y = tf.Variable(tf.zeros([60, 1], tf.float64))

  class Network(tf.Module):
    lipschitz = 1.0
    dtype = tf.float64

    def __call__(self, x):
      return x

  coupling = fo.bijectors.SplineCoupling(
      Network(), num_bins, smallest, largest, bound, event_ndims=1
  )
  certified = fo.lipschitz.lipschitz_bounds(coupling)
  for transform, constant, slope, sharp in (
      (coupling._normalize, certified.inverse, largest, 0.4),
      (coupling._generate, certified.forward, 1.0 / smallest, 0.15),
  ):
    rng = np.random.default_rng(0)
    params.assign(rng.normal(scale=2.0, size=params.shape))
    y.assign(rng.uniform(-4.0, 4.0, size=y.shape))
    optimizer = tf.keras.optimizers.Adam(0.1)
    optimizer.build([params, y])

    @tf.function(autograph=False)
    def ascend(transform=transform, optimizer=optimizer):
      with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
          tape.watch(params)
          value, _ = transform(y, tf.identity(params))
        norm = tf.norm(tape.gradient(value, params), axis=-1)
        loss = -tf.reduce_sum(tf.math.log(norm))
      optimizer.apply_gradients(
          zip(outer.gradient(loss, [params, y]), [params, y], strict=True)
      )
      return tf.reduce_max(norm)

    found = max(float(ascend()) for _ in range(150))
    # What the certificate takes for the norm of the gradient.
    low, high = 0.0, 1e6
    for _ in range(100):
      middle = 0.5 * (low + high)
      norm = np.linalg.norm([[1.0, 0.0], [middle, slope]], ord=2)
      low, high = (middle, high) if norm < constant else (low, middle)
    assert sharp * high < found <= high * (1 + 1e-9)


def test_constants_against_an_adversary():
  network = fo.networks.DenseConditioner(
      1, 8, 12, lipschitz=3.0, zero_initial=False, dtype=tf.float64
  )
  coupling = fo.bijectors.SplineCoupling(network, num_bins=6, max_slope=6.0)
  assert coupling.inverse_min_event_ndims == 1
  certified = fo.lipschitz.lipschitz_bounds(coupling)
  for function, bound in (
      (coupling.forward, certified.forward),
      (coupling.inverse, certified.inverse),
  ):
    found = adversary.largest_expansion(function, (3,), num_steps=20)
    assert found <= bound


def test_without_a_certificate_and_without_a_cross_term():
  free = fo.bijectors.SplineCoupling(lambda x: tf.tile(x, [1, 4]), 4)
  assert fo.lipschitz.lipschitz_bounds(free) == (math.inf, math.inf)
  fixed = Constant(np.zeros(4))
  fixed.lipschitz = 0.0
  coupling = fo.bijectors.SplineCoupling(fixed, 4, min_slope=0.25)
  np.testing.assert_allclose(
      fo.lipschitz.lipschitz_bounds(coupling), [4.0, 20.0]
  )
