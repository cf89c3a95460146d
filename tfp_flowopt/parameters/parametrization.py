"""Weights computed from the trained ones: anew, cached or frozen."""

import abc
from collections.abc import Hashable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import threading
from typing import Self

import tensorflow as tf

from tfp_flowopt.internal import tapes

__all__ = [
    'GivenWeights',
    'Parametrization',
    'cached',
    'frozen_in_use',
    'using_frozen',
    'values',
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
  def compute(self) -> tf.Tensor:
    """Computes the value anew.

    The variables may have dimensions in front, of weights that are stacked;
    then so has the value.
    """

  def alike(self) -> Hashable:
    """A key that others have whose values `compute_together` gives, too."""
    return None

  @classmethod
  def compute_together(
      cls, parametrizations: Sequence[Self]
  ) -> list[tf.Tensor]:
    """The values of several with one `alike`, in the operations of one."""
    return [each.compute() for each in parametrizations]

  def value(self) -> tf.Tensor:
    """The value to use now: frozen, cached or new."""
    [value] = values([self])
    return value

  def _known(self, graph):
    """The value that is frozen or cached, or `None`."""
    for frozen in reversed(_scopes.frozen):
      if self in frozen:
        return tf.convert_to_tensor(frozen[self])
    value = (_scopes.cached or {}).get((self, graph))
    if value is not None and tapes.recorded_alike(
        self.trainable_variables, value
    ):
      return value
    return None

  def __call__(self) -> tf.Tensor:
    """The same as `value`."""
    return self.value()


def values(parametrizations):
  """The values to use now of several, those alike computed together."""
  graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
  found = {each: each._known(graph) for each in parametrizations}  # pylint: disable=protected-access
  groups = {}
  for each, value in found.items():
    if value is None:
      key = each.alike()
      groups.setdefault((type(each), each if key is None else key), []).append(
          each
      )
  for (kind, _), group in groups.items():
    for each, value in zip(group, kind.compute_together(group), strict=True):
      found[each] = value
      if _scopes.cached is not None:
        _scopes.cached[each, graph] = value
  return [found[each] for each in parametrizations]


class GivenWeights(tf.Module):
  """Stands for a `Parametrization` whose value is computed already."""

  def __init__(self, value):
    super().__init__()
    self._value = value

  def __call__(self):
    """The value."""
    return self._value


@contextlib.contextmanager
def cached() -> Iterator[None]:
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


def frozen_in_use() -> bool:
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
