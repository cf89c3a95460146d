"""A trained kernel, and its rescaling to an operator norm of at most 1."""

import math

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients
from tfp_flowopt.lipschitz import aol
from tfp_flowopt.lipschitz import operator_norm
from tfp_flowopt.parameters import parametrization

__all__ = ['NORMALIZATIONS', 'RescaledKernel']

# Up to here, taps times channels, all kernels are rescaled at once: faster.
_THIN = 256


def _divided_by_norm(kernel):
  """`K / max(1, bound)`, with a certified bound of its operator norm."""
  # Of `K / scale`, as the bound of a large kernel is out of range. The result
  # does not depend on the scale, so nor does the gradient.
  scale = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(kernel)), 1.0))
  kernel /= scale
  # A division, not a product with the reciprocal, whose gradient would square
  # the bound.
  return kernel / tf.maximum(
      operator_norm.operator_norm_bound(kernel), 1.0 / scale
  )


# Functions of a kernel, dense `[in, out]` or convolution `[kh, kw, in, out]`,
# that make its operator norm at most 1 for every image size: by a scale for
# each channel, which wastes least, or by one for all.
NORMALIZATIONS = {'aol': aol.almost_orthogonal, 'gram': _divided_by_norm}


class RescaledKernel(parametrization.Parametrization):
  """A kernel of operator norm at most `lipschitz`, whatever is trained."""

  def __init__(
      self, initial_value, normalization, lipschitz, rate, mask=None
  ):
    """Creates the trained kernel, which is multiplied by `rate` and `mask`."""
    super().__init__(name='rescaled_kernel')
    self._normalization = normalization
    self._lipschitz = lipschitz
    self._rate = rate
    self._mask = mask
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
    if self._mask is not None:
      # Scales of rows or columns leave zeros where they are.
      kernel *= tf.constant(self._mask, kernel.dtype)
    with tf.name_scope('rescale_kernel'):
      if kernel.shape.rank == self._rank:
        kernel = NORMALIZATIONS[self._normalization](kernel)
      else:
        kernel = _normalized_stack(kernel, self._normalization)
      if self._lipschitz in (1.0, math.inf):
        return kernel
      return self._lipschitz * kernel

  def assign(self, kernel):
    """Sets the trained kernel, times `rate`."""
    self._trained.assign(tf.cast(kernel, self._trained.dtype) / self._rate)


def _normalized_stack(kernels, normalization):
  """Each of a stack of kernels, `[K, ...]`."""
  normalize = NORMALIZATIONS[normalization]
  *taps, inputs, outputs = kernels.shape[1:]
  if (
      normalization == 'aol'
      and math.prod(taps) * min(inputs, outputs) <= _THIN
      # The shape is that of convolutions.
      and len(taps) == 2
  ):
    return normalize(kernels)

  # One kernel at a time, in both directions: the Gram matrices of all taps of
  # wide kernels, of dozens of steps, would take more memory than the flow.
  @custom_gradients.custom_gradient
  def normalize_all(kernels):

    def gradient(d_normalized):
      return tf.map_fn(
          gradient_of_one,
          (kernels, d_normalized),
          parallel_iterations=1,
          fn_output_signature=kernels.dtype,
      )

    return tf.map_fn(normalize, kernels, parallel_iterations=1), gradient

  def gradient_of_one(kernel_and_gradient):
    kernel, d_normalized = kernel_and_gradient
    with tf.GradientTape() as tape:
      tape.watch(kernel)
      normalized = normalize(kernel)
    return tape.gradient(normalized, kernel, d_normalized)

  return normalize_all(kernels)
