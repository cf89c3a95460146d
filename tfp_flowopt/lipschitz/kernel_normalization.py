"""Rescaling of kernels to an operator norm of at most 1."""

import math

import tensorflow as tf

from tfp_flowopt.lipschitz import aol
from tfp_flowopt.lipschitz import operator_norm

__all__ = [
    'NORMALIZATIONS',
    'normalize_kernel',
    'normalize_kernels',
]


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


NORMALIZATIONS = {
    'aol': aol.almost_orthogonal,
    'gram': _divided_by_norm,
}


def normalize_kernel(kernel, method):
  """A kernel of operator norm at most 1, for every image size.

  * `'aol'`: `almost_orthogonal`, a scale for each channel. It wastes least.
  * `'gram'`: `K min(1, 1 / s)`, `s` the certified `operator_norm_bound`, one
    scale for all channels. The gradient goes through `s`.

  Args:
    kernel: float32 or float64 `Tensor`, dense `[in, out]` or convolution
      `[kh, kw, in, out]`.
    method: A key of `NORMALIZATIONS`.

  Returns:
    `Tensor` of the same shape.
  """
  return NORMALIZATIONS[method](kernel)


def normalize_kernels(kernels, method):
  """`normalize_kernel` of each of a stack of kernels, `[K, ...]`."""
  normalize = NORMALIZATIONS[method]
  *taps, inputs, outputs = kernels.shape[1:]
  if (
      method == 'aol'
      and math.prod(taps) * min(inputs, outputs) <= _THIN
      # The shape is that of convolutions.
      and len(taps) == 2
  ):
    return normalize(kernels)

  # One kernel at a time, in both directions: the Gram matrices of all taps of
  # wide kernels, of dozens of steps, would take more memory than the flow.
  @tf.custom_gradient
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
