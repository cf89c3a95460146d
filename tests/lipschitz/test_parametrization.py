import threading

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.lipschitz import rescaled_kernel
from tfp_flowopt.parameters import orthogonal
from tfp_flowopt.parameters import parametrization

lip = fo.lipschitz


@pytest.fixture
def rescalings(monkeypatch):
  """Kernels that were rescaled, a list that grows."""
  seen = []
  rescale = rescaled_kernel.NORMALIZATIONS['aol']
  monkeypatch.setitem(
      rescaled_kernel.NORMALIZATIONS,
      'aol',
      lambda kernel: seen.append(kernel) or rescale(kernel),
  )
  return seen


@pytest.fixture
def layer():
  layer = lip.LipschitzDense(3, 2, dtype=tf.float64)
  return registry.randomize(layer, 1.0)


def kernel_of(layer):
  return layer.trainable_variables[-1]


def both_ways(bijector, x):
  y = bijector.inverse(x)
  back = bijector.forward(tf.identity(y))
  return tf.reduce_sum(tf.sin(y) + back) + tf.reduce_sum(
      bijector.inverse_log_det_jacobian(tf.identity(x), event_ndims=3)
  )


def test_once_in_a_graph_with_the_same_values_and_gradients(rng):
  network = fo.networks.ConvConditioner(2, 6, 4, dtype=tf.float64)
  registry.randomize(network, 0.3)
  bijector = fo.bijectors.AffineCoupling(network)
  x = tf.constant(rng.normal(size=(2, 4, 4, 4)))
  variables = bijector.trainable_variables

  def traced(share):
    def function(x):
      with tf.GradientTape() as tape:
        if share:
          with fo.parameters.cached():
            value = both_ways(bijector, x)
        else:
          value = both_ways(bijector, x)
      return value, tape.gradient(value, variables)

    return tf.function(function).get_concrete_function(x)

  def count(function, op):
    return sum(o.type == op for o in function.graph.get_operations())

  plain, shared = traced(False), traced(True)
  # Three layers, three evaluations of the network.
  assert [count(plain, op) for op in ('Rsqrt', 'RsqrtGrad')] == [9, 9]
  assert [count(shared, op) for op in ('Rsqrt', 'RsqrtGrad')] == [3, 3]
  want, got = plain(x), shared(x)
  np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
  for a, b in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-11)


def test_contexts_join_and_end(layer, rescalings):
  x = tf.ones([1, 3], tf.float64)
  with fo.parameters.cached():
    layer(x)
    with fo.parameters.cached():
      layer(x)
    layer(x)
  assert len(rescalings) == 1
  layer(x)
  layer(x)
  assert len(rescalings) == 3
  with pytest.raises(KeyError), fo.parameters.cached():
    layer(x)
    raise KeyError
  layer(x)
  assert len(rescalings) == 5
  # A new context sees new weights.
  kernel_of(layer).assign(tf.zeros([3, 2], tf.float64))
  with fo.parameters.cached():
    np.testing.assert_array_equal(layer.effective_kernel(), np.zeros([3, 2]))


@pytest.mark.parametrize('compiled', [False, True])
def test_a_tape_opened_later_gets_its_gradient(layer, compiled):
  x = tf.ones([1, 3], tf.float64)
  variable = kernel_of(layer)

  def value():
    return tf.reduce_sum(tf.sin(layer(x)))

  def gradients():
    results = []
    with fo.parameters.cached():
      value()  # before any tape
      with tf.GradientTape() as tape:
        y = value()
      results.append(tape.gradient(y, variable))
      with tf.GradientTape() as tape:  # after another tape
        y = value()
      results.append(tape.gradient(y, variable))
      with tf.GradientTape() as outer:
        value()
        with tf.GradientTape() as inner:  # inside another tape
          y = value()
        first = inner.gradient(y, variable)
        results.append(first)
        total = tf.reduce_sum(tf.square(first))
      results.append(outer.gradient(total, variable))
      with tf.GradientTape(persistent=True) as tape:
        value()
        with tf.GradientTape() as inner:
          y = value()
        results.append(inner.gradient(y, variable))
      with tf.autodiff.ForwardAccumulator(
          variable, tf.ones_like(variable)
      ) as forward:
        y = value()
      results.append(forward.jvp(y))
    return results

  got = (tf.function(gradients) if compiled else gradients)()
  with tf.GradientTape() as outer:
    with tf.GradientTape() as inner:
      y = value()
    first = inner.gradient(y, variable)
    total = tf.reduce_sum(tf.square(first))
  second = outer.gradient(total, variable)
  want = [first, first, first, second, first, tf.reduce_sum(first)]
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_one_tape_is_enough_for_sharing(layer, rescalings):
  with tf.GradientTape() as tape, fo.parameters.cached():
    y = layer(tf.ones([1, 3], tf.float64)) + layer(tf.zeros([1, 3], tf.float64))
  assert len(rescalings) == 1
  assert tape.gradient(y, kernel_of(layer)) is not None


def test_tensors_stay_in_their_graph(layer):
  x = tf.ones([1, 3], tf.float64)
  want = np.sum(layer(x))

  @tf.function
  def inner():
    return tf.reduce_sum(layer(x))

  @tf.function
  def outer(flag):
    with fo.parameters.cached():
      # First in a branch and in a loop, then outside, then inside again.
      a = tf.cond(flag, inner, lambda: tf.reduce_sum(layer(x)))
      _, b = tf.while_loop(
          lambda i, _: i < 2,
          lambda i, total: (i + 1, total + tf.reduce_sum(layer(x))),
          [0, tf.zeros([], tf.float64)],
      )
      c = tf.reduce_sum(layer(x))
      d = tf.cond(flag, lambda: tf.reduce_sum(layer(x)), inner)
      return a + b + c + d + inner()

  for flag in (True, False):
    np.testing.assert_allclose(outer(tf.constant(flag)), 6 * want)

  # `inner` was traced inside of a context; other graphs can call it.
  @tf.function
  def other():
    with fo.parameters.cached():
      return tf.reduce_sum(layer(x)) + inner()

  np.testing.assert_allclose(other(), 2 * want)
  np.testing.assert_allclose(inner(), want)
  compiled = tf.function(other.python_function, jit_compile=True)
  np.testing.assert_allclose(compiled(), 2 * want)


def test_threads_do_not_share(layer, rescalings):
  x = tf.ones([1, 3], tf.float64)

  def call():
    layer(x)
    layer(x)

  with fo.parameters.cached():
    layer(x)
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    layer(x)
  assert len(rescalings) == 3


def test_orthogonal_matrices_alike_are_inverted_together():
  sizes_and_rates = [(4, 1.0), (3, 1.0), (4, 1.0), (4, 2.0)]
  matrices = [
      registry.randomize(
          orthogonal.Orthogonal(size, tf.float64, rate=rate), seed=seed
      )
      for seed, (size, rate) in enumerate(sizes_and_rates)
  ]
  matrices.append(orthogonal.Orthogonal(4, tf.float64, trainable=False))
  weights = [w for matrix in matrices for w in matrix.trainable_variables]

  def function(evaluate):
    @tf.function
    def values_and_gradients():
      with tf.GradientTape() as tape, fo.parameters.cached():
        values = evaluate()
        loss = sum(
            tf.reduce_sum(tf.sin((i + 1.0) * value))
            for i, value in enumerate(values)
        )
      return values, tape.gradient(loss, weights)

    graph = values_and_gradients.get_concrete_function().graph
    inverses = [op.type for op in graph.get_operations()].count('MatrixInverse')
    return values_and_gradients(), inverses

  got, inverses = function(lambda: parametrization.values(matrices))
  want, _ = function(lambda: [matrix() for matrix in matrices])
  assert inverses == 3
  for value, matrix in zip(got[0], matrices, strict=True):
    lower = [w.numpy() for w in matrix.trainable_variables]
    if not lower:
      np.testing.assert_array_equal(value, np.eye(4))
      continue
    size = value.shape[0]
    skew = np.array(tfp.math.fill_triangular(lower[0]))
    skew = np.pad(10.0 * np.tanh(matrix._rate * skew / 10.0), [[1, 0], [0, 1]])
    skew = (skew - skew.T) / size**0.5
    cayley = (np.eye(size) - skew) @ np.linalg.inv(np.eye(size) + skew)
    np.testing.assert_allclose(value, cayley, atol=1e-12)
  for a, b in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-12)
