"""Steps to repeat, and what a chain of them does."""

import numpy as np
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob = fo.bijectors


class Holder(tf.Module):
  """Tracks variables in the order in which `RepeatedSteps` has them."""

  def __init__(self, parts):
    super().__init__()
    self.parts = parts


def make_step(seed, dtype=tf.float64, scale=0.3, **coupling):
  network = fo.networks.ConvConditioner(2, 6, 4, dtype=dtype, seed=seed)
  parts = [
      fob.ActNorm(4, dtype=dtype),
      fob.InvertibleConv1x1(4, dtype=dtype),
      fob.AdditiveCoupling(
          fo.lipschitz.LipschitzConv2D(2, 2, use_bias=False, dtype=dtype)
      ),
      fob.AffineCoupling(network, **coupling),
  ]
  return [registry.randomize(part, scale, seed) for part in parts]


def chained(steps):
  return tfp.bijectors.Chain([part for step in steps for part in step])


def loss(bijector, x, direction):
  """Depends on every value and on each log-determinant."""
  y, log_det = getattr(fob, f'{direction}_and_log_det')(bijector, x)
  weights = tf.range(1.0, tf.cast(tf.shape(x)[0], x.dtype) + 1.0, dtype=x.dtype)
  return tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(weights * log_det)


def value_and_gradients(bijector, x, direction, variables):
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = loss(bijector, x, direction)
  return value, tape.gradient(
      value, [x, *variables], unconnected_gradients='zero'
  )


def expected(steps, x, direction):
  """Value and gradients of the chain, with gradients of weights stacked."""
  columns = [Holder(step).trainable_variables for step in steps]
  value, (dx, *flat) = value_and_gradients(
      chained(steps), tf.identity(x), direction, sum(columns, ())
  )
  n = len(columns[0])
  return value, [
      dx, *(tf.stack(flat[i::n]) for i in range(n))
  ]


def assert_all_close(actual, desired, rtol=1e-9):
  scale = max(float(tf.reduce_max(tf.abs(d))) for d in desired)
  for a, d in zip(actual, desired, strict=True):
    assert a.shape == d.shape
    np.testing.assert_allclose(a, d, rtol=0, atol=rtol * scale)
