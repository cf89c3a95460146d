"""What reversible gradients keep, measure and fall back from."""

import numpy as np
import pytest
from support import step_chains
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob, tfb = fo.bijectors, tfp.bijectors


def _function_library(bijector, x):
  @tf.function(autograph=False)
  def function(x):
    return step_chains.value_and_gradients(
        bijector, x, 'inverse', bijector.trainable_variables
    )

  return function.get_concrete_function(x).graph.as_graph_def().library


def test_graph_does_not_grow_and_nothing_is_stored(x):
  def ops(num_steps, memory):
    bijector = fob.RepeatedSteps(
        tfb.Chain(step_chains.make_step(0)), num_steps=num_steps, memory=memory
    )
    return [
        node.op
        for function in _function_library(bijector, x).function
        for node in function.node_def
    ]

  assert len(ops(2, 'reversible')) == len(ops(20, 'reversible'))
  # What TensorFlow stores for a gradient, a loop pushes.
  assert 'TensorListPushBack' not in ops(2, 'reversible')
  assert 'TensorListPushBack' in ops(2, 'stored')
  assert not any('While' in op for op in ops(2, 'unrolled'))


def test_one_network_evaluation_for_inverse_and_gradient(x):
  calls = []

  class Counting(fo.networks.ConvConditioner):

    def __call__(self, x):
      calls.append(x)
      return super().__call__(x)

  coupling = fob.AffineCoupling(Counting(2, 6, 4, dtype=tf.float64))
  bijector = fob.RepeatedSteps(coupling, num_steps=3, memory='reversible')
  with tf.GradientTape() as tape:
    value = step_chains.loss(bijector, x, 'inverse')
  calls_forward = len(calls)
  tape.gradient(value, bijector.trainable_variables)
  assert calls_forward == 3
  assert len(calls) == 6


@pytest.mark.parametrize('in_graph', [False, True])
def test_fall_back_instead_of_a_wrong_gradient(rng, in_graph):
  """Large scales and inputs: nothing of the input can be recomputed."""
  steps = [
      step_chains.make_step(
          seed, tf.float32, 1.0, scale_bound=12.0, tail_bound=np.inf
      )
      for seed in range(4)
  ]
  x = tf.constant(1e4 * rng.normal(size=(3, 4, 4, 4)), tf.float32)
  bijectors = [
      fob.RepeatedSteps(steps, memory=memory)
      for memory in ('reversible', 'stored')
  ]

  def gradients_of(bijector):
    def function(x):
      return step_chains.value_and_gradients(
          bijector, x, 'inverse', bijector.trainable_variables
      )[1]

    if in_graph:
      function = tf.function(function, autograph=False)
    return function(tf.identity(x))

  actual, desired = (gradients_of(bijector) for bijector in bijectors)
  assert all(np.all(np.isfinite(g)) for g in desired)
  for a, d in zip(actual, desired, strict=True):
    np.testing.assert_allclose(
        a, d, rtol=0, atol=1e-4 * float(tf.reduce_max(tf.abs(d)))
    )
  monitor = bijectors[0].monitor
  assert monitor.num_fallbacks == 1
  # An error of NaN is none that is tolerable, either.
  assert not monitor.error <= 1e-4
  # Without it the gradient is wrong: else this test would show nothing.
  careless = fob.RepeatedSteps(steps, tolerance=np.inf, memory='reversible')
  wrong = gradients_of(careless)
  assert careless.monitor.num_fallbacks == 0
  assert not all(
      np.allclose(w, d, rtol=0, atol=0.1 * np.max(np.abs(d)))
      for w, d in zip(wrong, desired, strict=True)
  )


def test_what_the_monitor_keeps():
  monitor = fob.ReconstructionMonitor(tolerance=1e-3)
  assert monitor.record(tf.constant(1e-4))
  assert monitor.record(tf.constant(1e-5))
  np.testing.assert_allclose(monitor.error, 1e-4)
  assert monitor.num_fallbacks == 0
  assert not monitor.record(tf.constant(np.nan))
  assert not monitor.record(tf.constant(1e-2))
  # NaN stays until the account starts anew.
  assert np.isnan(monitor.error)
  assert monitor.num_fallbacks == 2
  monitor.restart()
  assert monitor.error == 0
  assert monitor.num_fallbacks == 2
  with pytest.raises(ValueError, match=r'tolerance.*0'):
    fob.ReconstructionMonitor(tolerance=0)


@pytest.mark.parametrize('scale', [0.1, 0.5])
def test_measured_errors_are_below_the_certified_bound(rng, scale):
  steps = [step_chains.make_step(seed, tf.float32, scale) for seed in range(8)]
  bijector = fob.RepeatedSteps(steps, memory='reversible')
  x = tf.constant(rng.normal(size=(1, 4, 4, 4)), tf.float32)
  norms, value = [tf.norm(x)], x
  for part in bijector.parts:
    value = part.inverse(value)
    norms.append(tf.norm(value))
  bound = fo.lipschitz.reconstruction_error_bound(
      bijector.parts, norms, tf.float32
  )
  step_chains.value_and_gradients(bijector, x, 'inverse', [])
  assert 0 < bijector.monitor.error <= bound / norms[0]
