"""The convolution of the layers against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flowopt.internal import convolution

# Pointwise; few outputs, padded to eight or not, even kernels; many outputs.
SHAPES = [
    (1, 1, 4, 6),
    (1, 1, 6, 4),
    (3, 3, 7, 4),
    (3, 5, 17, 16),
    (2, 2, 5, 3),
    (3, 3, 3, 6),
]


def plain(x, kernel):
  return tf.nn.conv2d(x, kernel, strides=1, padding='SAME')


@pytest.mark.parametrize('shape', SHAPES)
def test_value_gradients_and_their_gradients(rng, shape):
  x = tf.constant(rng.normal(size=(2, 5, 6, shape[2])))
  kernel = tf.constant(rng.normal(size=shape))

  def derivatives(function):
    sources = [x, kernel]
    with tf.GradientTape() as outer:
      outer.watch(sources)
      with tf.GradientTape() as inner:
        inner.watch(sources)
        y = function(x, kernel)
        value = tf.reduce_sum(tf.sin(y))
      first = inner.gradient(value, sources)
      product = sum(tf.reduce_sum(tf.cos(g)) for g in first)
    return [y, *first, *outer.gradient(product, sources)]

  for actual, desired in zip(
      derivatives(convolution.convolution), derivatives(plain), strict=True
  ):
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, rtol=0, atol=1e-10)


def test_in_a_graph_of_unknown_sizes(rng):
  kernel = tf.constant(rng.normal(size=(3, 3, 5, 2)))

  @tf.function(
      input_signature=[tf.TensorSpec([None, None, None, 5], tf.float64)]
  )
  def gradient(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      value = tf.reduce_sum(tf.sin(convolution.convolution(x, kernel)))
    return tape.gradient(value, x)

  x = tf.constant(rng.normal(size=(2, 4, 3, 5)))
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = tf.reduce_sum(tf.sin(plain(x, kernel)))
  np.testing.assert_allclose(gradient(x), tape.gradient(value, x), atol=1e-12)
