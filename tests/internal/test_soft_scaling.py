"""Gradients of the soft scaling, which are written out."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flowopt.internal import soft_scaling

BOUND = 0.7


def plain_scaled(y, scale, bound):
  u = tf.abs(y) / bound
  slope = (scale + 2.0 * u + u**2) / (1.0 + u) ** 2
  return y * (scale + u) / (1.0 + u), tf.math.log(slope)


def plain_unscaled(x, scale, bound):
  v = tf.abs(x) / bound
  b = scale - v
  y = 2.0 * x / (b + tf.sqrt(b**2 + 4.0 * v))
  return y, plain_scaled(y, scale, bound)[1]


def derivatives(function, x, scale):
  """Values, their gradients, and gradients of those."""
  with tf.GradientTape() as outer:
    outer.watch([x, scale])
    with tf.GradientTape() as inner:
      inner.watch([x, scale])
      y, log_slope = function(x, scale, BOUND)
      loss = tf.reduce_sum(tf.sin(y) + tf.cos(2.0 * y) * log_slope)
    first = inner.gradient(loss, [x, scale])
    mixed = tf.reduce_sum(first[0] ** 2 + tf.sin(first[1]))
  return [y, log_slope, *first, *outer.gradient(mixed, [x, scale])]


@pytest.mark.parametrize(
    ('function', 'plain'),
    [
        (soft_scaling.scaled, plain_scaled),
        (soft_scaling.unscaled, plain_unscaled),
    ],
)
@pytest.mark.parametrize('in_graph', [False, True])
def test_derivatives_are_those_of_the_formula(rng, function, plain, in_graph):
  x = tf.constant(rng.normal(size=[40]) * np.exp(rng.normal(size=[40])))
  scale = tf.constant(np.exp(rng.normal(size=[40])))

  def got(x, scale):
    return derivatives(function, x, scale)

  if in_graph:
    got = tf.function(got)
  for a, b in zip(got(x, scale), derivatives(plain, x, scale), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
