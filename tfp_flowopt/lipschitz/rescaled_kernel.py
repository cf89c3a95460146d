"""A trained kernel, and what it is rescaled to."""

import math

import tensorflow as tf

from tfp_flowopt.lipschitz import kernel_normalization
from tfp_flowopt.parameters import parametrization

__all__ = ['RescaledKernel']


class RescaledKernel(parametrization.Parametrization):
  """A kernel of operator norm at most `lipschitz`, whatever is trained."""

  def __init__(
      self,
      initial_value,
      normalization,
      lipschitz,
      rate=1.0,
      name='rescaled_kernel',
  ):
    """Creates the trained kernel.

    Args:
      initial_value: Of the kernel before it is rescaled, dense `[in, out]` or
        convolution `[kh, kw, in, out]`.
      normalization: See `normalize_kernel`.
      lipschitz: Python `float`, a factor of the normalised kernel.
      rate: Python `float`, a factor of the trained kernel.
      name: Python `str`.
    """
    super().__init__(name=name)
    self._normalization = normalization
    self._lipschitz = lipschitz
    self._rate = rate
    self._rank = initial_value.shape.rank
    self._trained = tf.Variable(initial_value / rate, name='kernel')

  def compute(self):
    """Returns the rescaled kernel, of the shape of the trained one."""
    kernel = tf.convert_to_tensor(self._trained)
    if self._rate > 1.0:
      # Half of it: the quotient is rounded.
      largest = 0.5 * float(kernel.dtype.max) / self._rate
      kernel = tf.clip_by_value(kernel, -largest, largest)
    if self._rate != 1.0:
      kernel *= self._rate
    with tf.name_scope('rescale_kernel'):
      normalize = (
          kernel_normalization.normalize_kernel
          if kernel.shape.rank == self._rank
          else kernel_normalization.normalize_kernels
      )
      kernel = normalize(kernel, self._normalization)
      if self._lipschitz in (1.0, math.inf):
        return kernel
      return self._lipschitz * kernel
