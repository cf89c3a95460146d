"""Where a layer takes its rescaled kernel from: shared, frozen or new."""

import contextlib
import threading

import tensorflow as tf
from tensorflow.python.ops import gradients_util

__all__ = ['scoped_kernel', 'shared_rescaling', 'using_frozen']


class _Scopes(threading.local):
  """The scopes that are open in this thread.

  Attributes:
    frozen: Stack of dictionaries from layers to kernels.
    shared: Dictionary from layer and graph to kernels; `None` outside of
      `shared_rescaling`.
  """

  def __init__(self):
    super().__init__()
    self.frozen = []
    self.shared = None


_scopes = _Scopes()


@contextlib.contextmanager
def shared_rescaling():
  """Context in which each layer rescales its kernel once, not at every call.

  For a training step: what the layers compute from their weights alone is the
  same in `inverse`, `forward` and log-determinants. The weights must not change
  inside the context.

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


@contextlib.contextmanager
def using_frozen(kernels):
  """Context in which layers use given kernels instead of rescaling theirs.

  Args:
    kernels: Dictionary from layers to `Tensor`s or variables.

  Yields:
    Nothing.
  """
  _scopes.frozen.append(kernels)
  try:
    yield
  finally:
    _scopes.frozen.pop()


def scoped_kernel(layer, variable, rescale):
  """The kernel for a layer to use now.

  Args:
    layer: The layer.
    variable: `tf.Variable`, its trained kernel.
    rescale: Function from the value of `variable` to the kernel to use.

  Returns:
    `Tensor`.
  """
  for kernels in reversed(_scopes.frozen):
    if layer in kernels:
      return tf.convert_to_tensor(kernels[layer])
  value = tf.convert_to_tensor(variable)
  if _scopes.shared is None:
    return rescale(value)
  graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
  kernel = _scopes.shared.get((layer, graph))
  if kernel is None or not _recorded_alike(value, kernel):
    kernel = _scopes.shared[layer, graph] = rescale(value)
  return kernel


def _recorded_alike(value, kernel):
  """Whether each open tape that records `value` has recorded `kernel` too.

  Args:
    value: `Tensor`, just read from a variable: all tapes that watch the
      variable record it.
    kernel: `Tensor`, computed from the same variable before, perhaps when other
      tapes were open.

  Returns:
    Python `bool`; `False` also if it cannot be known.
  """
  # There is no public way to ask. 0: no tape records the tensor; 1: one does;
  # 2: several, or one whose gradient may be recorded itself. A tape that
  # records the kernel also records the variable that it was computed from, so
  # if one tape records each of them it is the same.
  recording = gradients_util.PossibleTapeGradientTypes([value])
  return recording == 0 or (
      recording == 1
      and gradients_util.PossibleTapeGradientTypes([kernel]) == 1
  )
