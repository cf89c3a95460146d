"""Graphs of which each object has its own."""

import functools
import weakref

import tensorflow as tf

__all__ = ['own_graph', 'own_graph_method']


def own_graph(function, **options):
  """`tf.function` of a function that is made anew for each object.

  TensorFlow counts the traces of all functions with the same code together, and
  warns of the fifth: of the fifth flow that a program trains. A partial has no
  code of its own.

  Args:
    function: Callable.
    **options: Further arguments of `tf.function`.

  Returns:
    `tf.function` without autograph.
  """
  return tf.function(functools.partial(function), autograph=False, **options)


class own_graph_method:
  """Decorates a method: `own_graph` of it, for each instance.

  The graph does not keep the instance, which must be there when it is called:
  no cycle holds its variables.
  """

  def __init__(self, method):
    self._method = method
    functools.update_wrapper(self, method)

  def __set_name__(self, owner, name):
    self._name = name

  def __get__(self, instance, owner=None):
    if instance is None:
      return self
    method, weak = self._method, weakref.ref(instance)
    graph = own_graph(lambda *args, **kwargs: method(weak(), *args, **kwargs))
    # Found before this descriptor, the next time.
    instance.__dict__[self._name] = graph
    return graph
