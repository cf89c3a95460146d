"""Almost-orthogonal rescaling: kernels of operator norm at most 1."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import gram

__all__ = ['almost_orthogonal']


def _gram_row_sums(kernel):
  """`t_i = sum over lags and j of |G[lag, i, j]|`, `[..., in]`."""
  return tf.reduce_sum(tf.abs(gram.gram_kernel(kernel)), axis=[-4, -3, -1])


def almost_orthogonal(kernel: types.TensorLike) -> tf.Tensor:
  """Rescales the channels of a kernel so that its operator norm is at most 1.

  With `t_i` the absolute row sums of the Gram operator `K^T K`, channel `i` is
  multiplied by `min(1, t_i^-1/2)`. Then `D K^T K D` is similar to
  `D^2 K^T K`, whose absolute row sums are `d_i^2 t_i <= 1`; so no eigenvalue
  exceeds 1. (AOL: Prach & Lampert 2022. The `min` is ours: it keeps the bound,
  and lets a zero kernel stay zero with a finite gradient.)

  It holds for stride 1 and every image size, with zero padding or none (a
  compression of the convolution of infinite images) and with circular padding
  (its Gram row sums are not larger). The thinner side of the kernel is
  rescaled; the transposed operator has the same norm.

  Args:
    kernel: Floating-point `Tensor`, dense `[in, out]` or convolution
      `[kh, kw, in, out]`; or a stack of convolutions, `[K, kh, kw, in, out]`.

  Returns:
    `Tensor` of the same shape.

  Raises:
    ValueError: If `kernel` is not floating-point, or has another rank.
  """
  kernel = arguments.check_tensor('kernel', kernel)
  if kernel.shape.rank == 2:
    return almost_orthogonal(gram.as_convolution(kernel))[0, 0]
  if kernel.shape.rank != 5:
    kernel = gram.as_convolution(kernel)
  # The squares of a large kernel are out of range, so they are those of
  # `K / scale`: channel `i` of that is multiplied by
  # `min(scale, t_i^-1/2)`. The result does not depend on the scale, so nor
  # does the gradient.
  scale = tf.stop_gradient(
      tf.maximum(
          tf.reduce_max(tf.abs(kernel), axis=[-4, -3, -2, -1], keepdims=True),
          1.0,
      )
  )
  kernel /= scale
  if kernel.shape[-2] <= kernel.shape[-1]:
    sums = _gram_row_sums(kernel)[..., tf.newaxis, tf.newaxis, :, tf.newaxis]
  else:
    sums = _gram_row_sums(tf.linalg.matrix_transpose(kernel))
    sums = sums[..., tf.newaxis, tf.newaxis, tf.newaxis, :]
  # 1e-24 limits the gradient, a cube, of channels that are 1e12 times smaller
  # than others.
  smallest = tf.maximum(1.0 / scale / scale, 1e-24)
  return kernel * tf.math.rsqrt(tf.maximum(sums, smallest))
