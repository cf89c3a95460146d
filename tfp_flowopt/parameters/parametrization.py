"""Weights that are computed from the trained ones: anew, shared or frozen."""

import abc
import contextlib
import threading

import tensorflow as tf
from tensorflow.python.ops import gradients_util

from tfp_flowopt.internal import arguments

__all__ = [
    'DerivedWeights',
    'GivenWeights',
    'frozen_in_use',
    'shared_rescaling',
    'using_frozen',
]


class _Scopes(threading.local):
  """The scopes that are open in this thread.

  Attributes:
    frozen: Stack of dictionaries from `DerivedWeights` to their values.
    shared: Dictionary from `DerivedWeights` and graph to values; `None` outside
      of `shared_rescaling`.
  """

  def __init__(self):
    super().__init__()
    self.frozen = []
    self.shared = None


_scopes = _Scopes()


class DerivedWeights(tf.Module, metaclass=abc.ABCMeta):
  """A `Tensor` that is computed from variables alone.

  A kernel rescaled to norm 1, say, or an orthogonal matrix. It does not depend
  on the data, so a training step needs it once (`shared_rescaling`), and a
  model in use not at all (`FrozenKernels`). Subclasses implement `compute`.
  """

  @abc.abstractmethod
  def compute(self):
    """Computes the value anew.

    The variables may have dimensions in front, of weights that are stacked;
    then so has the value.
    """

  def __call__(self):
    """The value to use now: frozen, shared or new."""
    for values in reversed(_scopes.frozen):
      if self in values:
        return tf.convert_to_tensor(values[self])
    if _scopes.shared is None:
      return self.compute()
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    value = _scopes.shared.get((self, graph))
    if value is None or not _recorded_alike(self.trainable_variables, value):
      value = _scopes.shared[self, graph] = self.compute()
    return value


class GivenWeights(tf.Module):
  """Stands for `DerivedWeights` that are computed already."""

  def __init__(self, value):
    super().__init__()
    self._value = value

  def __call__(self):
    """The value."""
    return self._value


def check_shared(name, value):
  """Raises a `ValueError` unless weights can be computed from `value`.

  Args:
    name: Of the argument.
    value: Its value.
  """
  arguments.check_instance(
      name,
      value,
      (DerivedWeights, GivenWeights),
      'a module of this package that computes weights',
  )


def _recorded_alike(variables, value):
  """Whether each open tape that records `variables` has recorded `value` too.

  Args:
    variables: List of trainable variables.
    value: `Tensor`, computed from them before, perhaps when other tapes were
      open.

  Returns:
    Python `bool`; `False` also if it cannot be known.
  """
  # There is no public way to ask. 0: no tape records the tensor; 1: one does;
  # 2: several, or one whose gradient may be recorded itself. All tapes that
  # watch a variable record a new reading of it. A tape that records the value
  # also records the variables that it was computed from, so if one tape records
  # each of them it is the same.
  readings = [tf.convert_to_tensor(v) for v in variables]
  recording = gradients_util.PossibleTapeGradientTypes(readings)
  return recording == 0 or (
      recording == 1
      and gradients_util.PossibleTapeGradientTypes([value]) == 1
  )


@contextlib.contextmanager
def shared_rescaling():
  """Context in which weights that are computed from others are computed once.

  For a training step: what the layers compute from their weights alone, the
  rescaling of kernels above all, is the same in `inverse`, `forward` and
  log-determinants. The weights must not change inside the context.

  ```python
  with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
    loss = -tf.reduce_mean(distribution.log_prob(x))
  gradients = tape.gradient(loss, distribution.trainable_variables)
  ```

  Values and gradients are those without the context. So a kernel is rescaled
  anew in the graph of another `tf.function`, of a branch or of a loop (tensors
  never leave the graph that they were made in); for a gradient tape that was
  opened after it was rescaled; and under nested or persistent tapes. Contexts
  inside another one join it. Threads (replicas of a `tf.distribute.Strategy`,
  say) do not see each other's contexts.

  Yields:
    Nothing.
  """
  if _scopes.shared is not None:
    yield
    return
  _scopes.shared = {}
  try:
    yield
  finally:
    _scopes.shared = None


def frozen_in_use():
  """Whether derived weights are frozen here, so that nothing is trained."""
  return bool(_scopes.frozen)


@contextlib.contextmanager
def using_frozen(values):
  """Context in which derived weights are not computed, but given.

  Args:
    values: Dictionary from `DerivedWeights` to `Tensor`s or variables.

  Yields:
    Nothing.
  """
  _scopes.frozen.append(values)
  try:
    yield
  finally:
    _scopes.frozen.pop()
