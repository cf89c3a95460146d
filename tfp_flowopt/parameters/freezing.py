"""Rescaled kernels without the rescaling, for evaluation and export."""

from collections.abc import Iterator
import contextlib

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import not_copied
from tfp_flowopt.internal import types
from tfp_flowopt.parameters import parametrization

__all__ = ['FrozenKernels', 'computed', 'computed_once', 'frozen']


class FrozenKernels(not_copied.NotCopied):
  """The rescaled kernels of the layers of a module, in variables of their own.

  And all other `Parametrization`s, such as orthogonal matrices. While they are
  in use, the layers read them instead of rescaling their trained kernels. The
  module, its variables and its checkpoints stay as they are. (Rescaling the
  trained kernels in place would be another map: almost-orthogonal rescaling is
  not idempotent.)

  A function that was traced while they were in use reads them ever after, so
  they must be kept as long as it is. `update` brings them up to date.

  #### Example

  ```python
  kernels = fo.lipschitz.FrozenKernels(distribution)

  @tf.function(autograph=False)
  def log_prob(x):
    with kernels.in_use():
      return distribution.log_prob(x)  # no rescaling in this graph

  log_prob(x)
  ...  # after more training
  kernels.update()
  log_prob(x)
  ```
  """

  _instead = 'copy the module that it froze, and freeze the copy'

  def __init__(self, module: tf.Module) -> None:
    """Freezes the kernels of a `module`, a `tf.Module`, as they are now.

    Raises:
      ValueError: If `module` is another object, or inside a `tf.function`.
    """
    arguments.check_instance('module', module, tf.Module, 'a tf.Module')
    arguments.check_eager('module', 'this makes variables. Freeze it before.')
    self._kernels = {
        derived: tf.Variable(value, trainable=False, name='frozen_weights')
        for derived, value in computed(module).items()
    }

  @property
  def variables(self) -> list[tf.Variable]:
    """The frozen kernels, a list of variables."""
    return list(self._kernels.values())

  def update(self) -> None:
    """Freezes the kernels as they are now, in the same variables."""
    for derived, variable in self._kernels.items():
      variable.assign(derived.compute())

  def in_use(self) -> types.Context:
    """Context manager in which the layers use these kernels, in this thread.

    They are not trained there: their gradients are `None`.
    """
    return parametrization.using_frozen(self._kernels)


@contextlib.contextmanager
def frozen(module: tf.Module) -> Iterator[FrozenKernels]:
  """Context in which the layers of a module use their rescaled kernels frozen.

  It yields the `FrozenKernels`; keep them as long as functions traced here.
  Values are the same, and graphs traced in it contain no rescaling. Training
  inside does not change the kernels in use.

  ```python
  with fo.lipschitz.frozen(distribution) as kernels:
    function = tf.function(distribution.log_prob).get_concrete_function(spec)
  ```

  Args:
    module: `tf.Module`.

  Raises:
    ValueError: If `module` is not a `tf.Module`, or inside a `tf.function`.
  """
  kernels = FrozenKernels(module)
  with kernels.in_use():
    yield kernels


def computed_once(module):
  """Context manager in which a module computes what its weights give once.

  For functions of the data that evaluate a module many times. Unlike `frozen`
  it makes no variables, so it works in any graph; what is traced inside cannot
  be used outside of that graph.
  """
  return parametrization.using_frozen(computed(module))


def computed(module):
  """Dictionary from all `Parametrization`s of a module to their values now."""
  return {
      derived: derived.compute()
      for derived in (module, *module.submodules)
      if isinstance(derived, parametrization.Parametrization)
  }
