"""Gradients written out by hand: what they are, and that they go."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

import tfp_flowopt as fo
from tfp_flowopt.internal import custom_gradients

X = tf.constant([0.5, -2.0, 3.0], tf.float64)


# Not the gradients of the values, to know them from TensorFlow's own.


@custom_gradients.custom_gradient
def product(x, y):
  return x * y, lambda dz: (10.0 * dz * y, 100.0 * dz * x)


def looped(x):
  _, x = tf.while_loop(
      lambda i, _: i < 3,
      lambda i, x: (i + 1, product(x, x[::-1])),
      (0, x),
      maximum_iterations=3,
  )
  return x


def looped_gradient(x):
  """The same by hand, in numpy."""
  inputs = [np.asarray(x)]
  for _ in range(2):
    inputs.append(inputs[-1] * inputs[-1][::-1])
  d = np.ones_like(inputs[0])
  for x in reversed(inputs):
    d = 10.0 * d * x[::-1] + (100.0 * d * x)[::-1]
  return d


def gradient(function, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = tf.reduce_sum(function(x))
  return tape.gradient(value, x)


COMPILERS = {
    'eager': lambda f: f,
    'graph': lambda f: tf.function(f, autograph=False),
    'autograph': tf.function,
    'xla': lambda f: tf.function(f, jit_compile=True),
    'nested': lambda f: tf.function(lambda x: gradient(tf.function(looped), x)),
    'replica': lambda f: tf.function(
        lambda x: tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
        .run(f, (x,))
        .values[1]
    ),
}


@pytest.mark.parametrize('compiler', COMPILERS)
def test_gradients_in_loops(compiler):
  function = COMPILERS[compiler](lambda x: gradient(looped, x))
  np.testing.assert_allclose(function(X), looped_gradient(X), rtol=1e-12)


@pytest.mark.parametrize('compiler', ['eager', 'graph', 'xla'])
def test_gradients_of_gradients(compiler):
  # 10 x + 100 x, of which each factor's gradient is TensorFlow's own.
  function = COMPILERS[compiler](
      lambda x: gradient(lambda x: gradient(lambda x: product(x, x), x), x)
  )
  np.testing.assert_allclose(function(X), [110.0] * 3)


@pytest.mark.parametrize('compiler', ['eager', 'graph'])
def test_variables_that_the_function_reads(compiler):
  weight = tf.Variable(X)

  @custom_gradients.custom_gradient
  def scaled(x):
    def gradient(dy, variables):
      assert variables[0] is weight
      return 10.0 * dy * weight, [100.0 * dy * x]

    return x * weight, gradient

  @COMPILERS[compiler]
  def gradients(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      value = scaled(x)
    return tape.gradient(value, [x, weight])

  found = gradients(2.0 * X)
  np.testing.assert_allclose(found[0], 10.0 * X)
  np.testing.assert_allclose(found[1], 200.0 * X)


def test_saved_models_have_each_gradient(tmp_path):
  module = tf.Module()
  specification = tf.TensorSpec([3], tf.float64)
  module.function = tf.function(
      lambda x: product(x, tf.ones_like(x)) + product(tf.ones_like(x), x),
      input_signature=[specification],
  )
  tf.saved_model.save(module, tmp_path)
  del module
  gc.collect()
  loaded = tf.saved_model.load(tmp_path)
  np.testing.assert_allclose(gradient(loaded.function, X), [110.0] * 3)


def steps_gradient(memory):
  steps = fo.bijectors.RepeatedSteps(
      fo.bijectors.Sequential([
          fo.bijectors.ScalingCascade(2, tile_sizes=[1]),
          fo.bijectors.AffineCoupling(fo.networks.ConvConditioner(1, 4, 2)),
      ]),
      num_steps=2,
      memory=memory,
  )
  return lambda x: gradient(steps.inverse, x)


FUNCTIONS = {
    'plain': (lambda: lambda x: gradient(lambda x: product(x, x), x), [3]),
    'loop': (lambda: lambda x: gradient(looped, x), [3]),
    'stored': (lambda: steps_gradient('stored'), [2, 4, 4, 2]),
    'reversible': (lambda: steps_gradient('reversible'), [2, 4, 4, 2]),
}


@pytest.mark.parametrize('name', FUNCTIONS)
def test_graphs_are_freed(name):
  make, shape = FUNCTIONS[name]
  function = make()
  dtype = tf.float64 if shape == [3] else tf.float32

  def trace():
    traced = tf.function(function, autograph=False)
    concrete = traced.get_concrete_function(tf.TensorSpec(shape, dtype))
    assert np.all(np.isfinite(concrete(tf.ones(shape, dtype))))
    return weakref.ref(concrete.graph)

  trace()  # what is shared by all graphs is there now
  gc.collect()
  registered = set(ops.gradient_registry.list())
  graph = trace()
  gc.collect()
  assert graph() is None
  assert set(ops.gradient_registry.list()) == registered
