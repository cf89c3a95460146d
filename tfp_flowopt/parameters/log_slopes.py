"""Log-slopes that are trained within a bound, or within a shared budget."""

from collections.abc import Callable
import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['LogSlopes', 'unscaled']

# Adam moves every variable by its learning rate in a step; slopes have to
# change by factors, weights by hundredths.
_RATE = 10.0


class LogSlopes(tf.Module):
  """Trained numbers `s_j` that stay bounded, each alone or all together.

  ```none
  s_j = bound tanh(10 v_j / bound)      alone
  s_j = factor() 10 v_j                 within a LipschitzBudget
  ```

  They start at zero. A budget's `factor` holds a sum over many of them; a bound
  of each would end their competition as soon as all have reached it.
  """

  def __init__(
      self,
      num_slopes: int,
      bound: float = 4.0,
      dtype: types.DType = tf.float32,
      name: str = 'log_slopes',
  ) -> None:
    """Creates slopes of zero.

    Args:
      num_slopes: Number of slopes.
      bound: Positive Python `float`, bound of each of them without a budget.
      dtype: Type of the variable.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(name=name)
    num_slopes = arguments.check_int('num_slopes', num_slopes)
    self._bound = arguments.check_positive('bound', bound)
    dtype = arguments.check_dtype('dtype', dtype)
    self._raw = tf.Variable(tf.zeros([num_slopes], dtype), name='raw')
    self._budget: Callable[[], tf.Tensor] | None = None

  @property
  def dtype(self) -> tf.DType:
    """Type of the slopes."""
    return self._raw.dtype

  @property
  def num_slopes(self) -> int:
    """Number of slopes."""
    return self._raw.shape[-1]

  @property
  def bound(self) -> float:
    """Bound of each slope without a budget."""
    return self._bound

  @property
  def budget(self) -> Callable[[], tf.Tensor] | None:
    """The `LipschitzBudget` that they share, or `None`."""
    return self._budget

  def initialize(self, values: types.TensorLike) -> None:
    """Sets the slopes, `[num_slopes]`.

    Within a budget they are these as long as it holds them all.

    Raises:
      ValueError: If one is not within the bound, without a budget.
    """
    values = np.asarray(values, np.float64)
    if self._budget is None:
      if not np.all(np.abs(values) < self._bound):
        raise ValueError(
            f'Argument `values` must be below {self._bound} in size, got '
            f'{values}.'
        )
      values = np.arctanh(values / self._bound) * self._bound
    self._raw.assign(tf.cast(values / _RATE, self.dtype))

  def join(self, budget: Callable[[], tf.Tensor]) -> None:
    """Takes the common factor from a `LipschitzBudget`; `add_path` calls it."""
    self._budget = budget

  def __call__(self) -> tf.Tensor:
    """Returns the slopes, `[num_slopes]`."""
    if self._budget is None:
      return self._bound * tf.tanh(_RATE * self._raw / self._bound)
    return unscaled([self]) * self._budget()[..., tf.newaxis]


def unscaled(modules):
  """The slopes of all modules side by side, without their budget's factor."""
  raw = [module._raw for module in modules]  # pylint: disable=protected-access
  raw = tf.concat(raw, axis=-1)  # steps that are stacked are in front
  # Their sum is a divisor: were it infinite, the slopes would be NaN.
  largest = math.sqrt(float(raw.dtype.max)) / _RATE
  return _RATE * tf.clip_by_value(raw, -largest, largest)
