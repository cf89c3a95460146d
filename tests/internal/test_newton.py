"""Newton's method, where plain iteration converges slowly."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flowopt.internal import newton


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_newton_finds_what_the_iteration_would_take_long_for(dtype):
  rng = np.random.default_rng(0)
  kernel = 0.5 * np.linalg.qr(rng.normal(size=(12, 3)))[0].T
  target = rng.normal(size=(50, 3))

  def function(y):
    # Kinks of very different places and steepness, and hardly any slope.
    z = 30.0 * (y @ tf.cast(kernel, y.dtype))
    slope = 100.0 * tf.math.sigmoid(z)[:, tf.newaxis] * kernel.astype(dtype)
    matrix = tf.linalg.matmul(
        slope, tf.zeros_like(slope) + kernel.astype(dtype), transpose_b=True
    )
    value = tf.math.softplus(z) @ kernel.T.astype(dtype) / 0.3 + 0.01 * y
    return value - target.astype(dtype), matrix + 0.01 * np.eye(3, dtype=dtype)

  y = tf.function(newton.solve, autograph=False, reduce_retracing=True)(
      function, tf.zeros([50, 3], dtype)
  )
  assert np.abs(function(y)[0]).max() < 1e3 * np.finfo(dtype).eps


def test_steps_that_overshoot_are_halved():
  """Whole steps go to and fro between two points for ever."""

  def function(y):
    slope = 5.0 * (1.0 - tf.square(tf.tanh(5.0 * y)))
    value = 0.01 * y + tf.tanh(5.0 * y) - 0.5
    return value, tf.linalg.diag(0.01 + slope)

  y = newton.solve(function, tf.constant([[3.0, -2.0], [0.1, 7.0]], tf.float64))
  np.testing.assert_allclose(function(y)[0], np.zeros([2, 2]), atol=1e-14)
