"""Functions that are traced once and recomputed for their gradients."""

import concurrent.futures
import functools

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['recomputed']


def recomputed(function, input_signature, with_gradient=False):
  """A graph that many calls share, and whose gradient keeps only its inputs.

  `function` makes a tuple of `Tensor`s from `Tensor`s, without variables; with
  `with_gradient` it returns that, and a function from the gradients by the
  tuple to those by the inputs. `tf.recompute_grad` has neither a shared graph
  nor gradients of gradients.
  """
  num_inputs = len(input_signature)

  def gradients(*args):
    inputs, upstream = args[:num_inputs], args[num_inputs:]
    if with_gradient:
      return function(*inputs)[1](*upstream)
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = function(*inputs)
    return tape.gradient(
        outputs,
        inputs,
        upstream,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )

  def values(*inputs):
    return function(*inputs)[0] if with_gradient else function(*inputs)

  @functools.cache
  def forward():
    return _traced(values, input_signature)

  @functools.cache
  def backward():
    outputs = forward().structured_outputs
    specs = [tf.TensorSpec(t.shape, t.dtype) for t in outputs]
    return _traced(gradients, [*input_signature, *specs])

  @custom_gradients.custom_gradient
  def call(*inputs):
    given = inputs
    if tf.executing_eagerly():
      # Else what TensorFlow's own gradient would need is kept. In a graph
      # nothing is kept before a gradient asks, and forward mode needs it.
      given = [tf.stop_gradient(x) for x in inputs]
    outputs = forward()(*given)
    return outputs, lambda *upstream: backward()(*inputs, *upstream)

  return call


def _traced(function, input_signature):
  """The `ConcreteFunction`: to call it costs nothing but the call."""
  graph = tf.function(
      function,
      input_signature=input_signature,
      autograph=False,
      # A call stays a call: optimised once, not once for each.
      experimental_attributes={'_noinline': True},
  )
  # In a thread of its own, devices and name scopes of the first caller are not
  # in the graph, and gradients are recorded even if a `ForwardAccumulator`
  # around that caller stopped it.
  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    return thread.submit(graph.get_concrete_function).result()
