"""Parameters that are bounded around a place that the data choose."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.parameters import parametrization

__all__ = ['AnchoredLogScale']


class AnchoredLogScale(parametrization.Parametrization):
  """Logarithms of scales that stay within a factor of their anchor.

  ```none
  log s = anchor + r tanh(rate offset / r),   e^-r < s / s_anchor < e^r
  ```

  The anchor is set from data (the closed-form optimum, say) and not trained;
  the offset is trained, and starts at zero, where the slope is `rate`.
  """

  def __init__(
      self,
      size: int,
      log_range: float,
      dtype: types.DType = tf.float32,
      trainable: bool = True,
      rate: float = 1.0,
      name: str = 'anchored_log_scale',
  ) -> None:
    """Creates scales of 1.

    Args:
      size: Number of scales.
      log_range: Positive Python `float`, the `r` above.
      dtype: Type of the variables.
      trainable: Python `bool`; if not, the scales are at their anchor.
      rate: Positive Python `float`: how far the scales move for a step of the
        offset.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(name=name)
    size = arguments.check_int('size', size)
    dtype = arguments.check_dtype('dtype', dtype)
    self._log_range = arguments.check_positive('log_range', log_range)
    self._rate = arguments.check_positive('rate', rate)
    self._anchor = tf.Variable(
        tf.zeros([size], dtype), trainable=False, name='anchor'
    )
    self._offset = None
    if trainable:
      self._offset = tf.Variable(tf.zeros([size], dtype), name='offset')

  def compute(self) -> tf.Tensor:
    """Returns `log s`, `[size]`."""
    if self._offset is None:
      return tf.identity(self._anchor)
    return self._anchor + self._log_range * tf.tanh(
        self._rate * self._offset / self._log_range
    )

  def assign(self, log_scale: types.TensorLike) -> None:
    """Puts the anchor, and the scales, at `log_scale` `[size]`."""
    self._anchor.assign(tf.cast(log_scale, self._anchor.dtype))
    if self._offset is not None:
      self._offset.assign(tf.zeros_like(self._offset))
