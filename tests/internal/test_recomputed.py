"""Functions that are traced once and recomputed for their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flowopt.internal import recomputed

X = tf.constant([1.0, 2.0], tf.float64)
SCALE = tf.constant(3.0, tf.float64)


def plain(x, scale):
  return tf.sin(scale * x), tf.reduce_sum(x**2)


@pytest.fixture
def function():
  return recomputed.recomputed(
      plain, [tf.TensorSpec([None], tf.float64), tf.TensorSpec([], tf.float64)]
  )


def gradients(function, x, scale):
  """Gradients, and gradients of them."""
  with tf.GradientTape() as outer:
    outer.watch([x, scale])
    with tf.GradientTape() as inner:
      inner.watch([x, scale])
      value, total = function(x, scale)
      result = tf.reduce_sum(value * tf.constant([1.0, -2.0], x.dtype)) * total
    first = inner.gradient(result, [x, scale])
    square = tf.reduce_sum(first[0] ** 2) * first[1]
  return [*first, *outer.gradient(square, [x, scale])]


def tangents(function, x, scale):
  with tf.autodiff.ForwardAccumulator([x], [tf.ones_like(x)]) as accumulator:
    outputs = function(x, scale)
  return accumulator.jvp(outputs)


@pytest.mark.parametrize('derivatives', [gradients, tangents])
@pytest.mark.parametrize('in_graph', [False, True])
def test_it_has_the_derivatives_of_the_function(
    function, derivatives, in_graph
):
  def got(x, scale):
    return derivatives(function, x, scale)

  if in_graph:
    got = tf.function(got)
  np.testing.assert_array_equal(function(X, SCALE)[0], plain(X, SCALE)[0])
  for a, b in zip(got(X, SCALE), derivatives(plain, X, SCALE), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_gradients_first_asked_for_in_forward_mode_are_right(function):
  """No tape records inside a ForwardAccumulator, where it is traced here."""
  tangents(function, X, SCALE)
  np.testing.assert_allclose(
      gradients(function, X, SCALE)[0], gradients(plain, X, SCALE)[0]
  )


def test_it_is_traced_once():
  traces = []

  def traced(x):
    traces.append(x)
    return (tf.sin(x),)

  function = recomputed.recomputed(traced, [tf.TensorSpec([None], tf.float64)])

  @tf.function
  def loss(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = x
      for _ in range(10):
        (y,) = function(y)
    return tape.gradient(y, x)

  loss(X)
  loss(tf.ones([5], tf.float64))
  # For values, and for gradients.
  assert len(traces) == 2


def test_gradients_keep_inputs_alone():
  def many(x):
    for _ in range(30):
      x = tf.sin(x)
    return (x,)

  def values_of_calls(function):
    """How many values each call in the graph of a gradient hands on."""

    @tf.function
    def gradient(x):
      with tf.GradientTape() as tape:
        tape.watch(x)
        (y,) = function(x)
      return tape.gradient(y, x)

    graph = gradient.get_concrete_function(X).graph
    return [
        len(op.outputs)
        for op in graph.get_operations()
        if 'PartitionedCall' in op.type
    ]

  signature = [tf.TensorSpec([None], tf.float64)]
  assert values_of_calls(recomputed.recomputed(many, signature)) == [1, 1]
  assert values_of_calls(tf.function(many))[0] > 30
