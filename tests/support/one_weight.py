"""A coupling of one weight, alone and in bijectors of TFP."""

import tensorflow as tf
import tensorflow_probability as tfp

tfb, tfd = tfp.bijectors, tfp.distributions


class Network(tf.Module):
  """A network of one weight, which notes its calls."""

  def __init__(self):
    super().__init__()
    self.weight = tf.Variable(0.5, dtype=tf.float64)
    self.calls = []

  def __call__(self, x):
    self.calls.append(x)
    return tf.concat([tf.sin(self.weight * x), self.weight * x], axis=-1)


def normal(bijector):
  """A normal distribution of two numbers, transformed."""
  zero = tf.zeros([], tf.float64)
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(zero, 1.0), [2]), bijector
  )


def shift():
  return tfb.Shift(tf.constant(0.25, tf.float64))


WRAPPERS = {
    'bare': lambda b: b,
    'chain': lambda b: tfb.Chain([b]),
    'inverted': lambda b: tfb.Chain([tfb.Invert(tfb.Chain([tfb.Invert(b)]))]),
    'shifted': lambda b: tfb.Chain([shift(), tfb.Chain([b, shift()])]),
}
