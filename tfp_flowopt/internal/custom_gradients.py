"""Gradients written out by hand, which graphs take with them when they go."""

import functools
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops

__all__ = ['custom_gradient']


def custom_gradient(function):
  """`tf.custom_gradient`, for positional arguments, that keeps no graph alive.

  In a graph, TensorFlow registers a gradient under a name of its own for each
  call, for ever; the gradient holds tensors, and they the graph. Here the graph
  holds the gradient, and the name is gone when the graph is.
  """
  decorated = tf.custom_gradient(function)

  @tf.autograph.experimental.do_not_convert
  @functools.wraps(function)
  def call(*args):
    outputs = decorated(*args)
    if not tf.executing_eagerly():
      _hand_over(tf.nest.flatten(outputs)[0].op)
    return outputs

  return call


def _hand_over(op):
  """Makes the graph of an operation the owner of its registered gradient."""
  # There is no public way to take a name out of the registry. One name for all
  # would do within a process, but saved models know gradients by their names.
  name = op.get_attr('_gradient_op_type').decode()
  registered = ops.gradient_registry._registry  # pylint: disable=protected-access
  gradient = registered[name]['type']
  setattr(op.graph, name, gradient)
  registered[name]['type'] = _weak(gradient)
  weakref.finalize(op.graph, registered.pop, name, None).atexit = False


def _weak(function):
  """Calls a function that somebody else holds."""
  reference = weakref.ref(function)
  return lambda *args: reference()(*args)
