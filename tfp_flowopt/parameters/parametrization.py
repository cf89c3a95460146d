"""Weights computed from the trained ones: anew, cached or frozen."""

import abc
import contextlib
import threading

import tensorflow as tf

from tfp_flowopt.internal import tapes

__all__ = [
    'GivenWeights',
    'Parametrization',
    'cached',
    'frozen_in_use',
    'using_frozen',
]


class _Scopes(threading.local):
  """The stack of frozen values and the cache that are open in this thread."""

  def __init__(self):
    super().__init__()
    self.frozen = []
    self.cached = None


_scopes = _Scopes()


class Parametrization(tf.Module, metaclass=abc.ABCMeta):
  """A `Tensor` that is computed from variables alone.

  A kernel rescaled to norm 1, say, or an orthogonal matrix. As it does not
  depend on the data, a training step computes it once (`cached`), and a model
  in use not at all (`frozen`). Subclasses implement `compute`; users of it call
  `value`.
  """

  @abc.abstractmethod
  def compute(self):
    """Computes the value anew.

    The variables may have dimensions in front, of weights that are stacked;
    then so has the value.
    """

  def value(self):
    """The value to use now: frozen, cached or new."""
    for values in reversed(_scopes.frozen):
      if self in values:
        return tf.convert_to_tensor(values[self])
    if _scopes.cached is None:
      return self.compute()
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    value = _scopes.cached.get((self, graph))
    if value is None or not tapes.recorded_alike(
        self.trainable_variables, value
    ):
      value = _scopes.cached[self, graph] = self.compute()
    return value

  def __call__(self):
    """The same as `value`."""
    return self.value()


class GivenWeights(tf.Module):
  """Stands for a `Parametrization` whose value is computed already."""

  def __init__(self, value):
    super().__init__()
    self._value = value

  def __call__(self):
    """The value."""
    return self._value


@contextlib.contextmanager
def cached():
  """Context in which each `Parametrization` is computed once.

  For a training step: the rescaling of kernels above all is the same in
  `inverse`, `forward` and log-determinants. The weights must not change inside
  the context.

  ```python
  with tf.GradientTape() as tape, fo.parameters.cached():
    loss = -tf.reduce_mean(distribution.log_prob(x))
  gradients = tape.gradient(loss, distribution.trainable_variables)
  ```

  Values and gradients are those without the context: what another graph, or a
  gradient tape that was opened later, would not see is computed anew. Contexts
  inside another one join it. Threads (replicas of a `tf.distribute.Strategy`,
  say) do not see each other's contexts.
  """
  if _scopes.cached is not None:
    yield
    return
  _scopes.cached = {}
  try:
    yield
  finally:
    _scopes.cached = None


def frozen_in_use():
  """Whether parametrisations are frozen here, so that nothing is trained."""
  return bool(_scopes.frozen)


@contextlib.contextmanager
def using_frozen(values):
  """Context in which `Parametrization`s have the values of a dictionary."""
  _scopes.frozen.append(values)
  try:
    yield
  finally:
    _scopes.frozen.pop()
