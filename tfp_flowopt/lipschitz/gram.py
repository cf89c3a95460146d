"""The Gram operator of a convolution, as a kernel."""

import numpy as np
import tensorflow as tf

__all__ = ['as_convolution', 'gram_kernel']

# The pairs of more taps than this (5x5) take too much memory.
_MANY_TAPS = 25


def as_convolution(kernel):
  """Views a dense kernel `[in, out]` as a 1x1 convolution `[1, 1, in, out]`.

  A convolution stays as it is; another rank is a `ValueError`.
  """
  if kernel.shape.rank == 2:
    return kernel[tf.newaxis, tf.newaxis]
  if kernel.shape.rank != 4:
    raise ValueError(
        'Argument `kernel` must have shape [in, out] or [kh, kw, in, out], '
        f'got {kernel.shape}.'
    )
  return kernel


def gram_kernel(kernel):
  """Autocorrelation of a kernel, summed over its outputs.

  ```none
  G[lag, i, j] = sum_{p,o} K[p, i, o] K[p + lag, j, o]
  ```

  the kernel `[2 kh - 1, 2 kw - 1, in, in]` of `K^T K` for the convolution `K`
  `[kh, kw, in, out]` of infinite images. A stack `[K, ...]` gives a stack.
  """
  stack, (height, width, inputs, outputs) = kernel.shape[:-4], kernel.shape[-4:]
  taps = height * width
  if taps == 1:
    return tf.linalg.matmul(kernel, kernel, transpose_b=True)
  if taps > _MANY_TAPS:
    if kernel.shape.rank == 5:
      return tf.map_fn(_gram_by_convolution, kernel)
    return _gram_by_convolution(kernel)
  # All pairs of taps at once, then the sum over those with the same lag. That
  # is a third of the products of a convolution, which multiplies padding, too.
  rows = tf.reshape(kernel, [*stack, taps * inputs, outputs])
  pairs = tf.linalg.matmul(rows, rows, transpose_b=True)
  pairs = tf.reshape(pairs, [-1, taps, inputs, taps, inputs])
  pairs = tf.reshape(
      tf.transpose(pairs, [0, 1, 3, 2, 4]), [*stack, taps**2, inputs**2]
  )
  same_lag = tf.constant(_pairs_of_each_lag(height, width), kernel.dtype)
  return tf.reshape(
      tf.linalg.matmul(same_lag, pairs),
      [*stack, 2 * height - 1, 2 * width - 1, inputs, inputs],
  )


def _pairs_of_each_lag(height, width):
  """Indicator `[lags, pairs of taps]` of the pairs with a lag."""

  def one_axis(size):
    taps = np.arange(size)
    lags = np.arange(1 - size, size)
    return taps - taps[:, np.newaxis] == lags[:, np.newaxis, np.newaxis]

  pairs = np.einsum('apq,brs->abprqs', one_axis(height), one_axis(width))
  return pairs.reshape(-1, (height * width) ** 2)


def _gram_by_convolution(kernel):
  """`gram_kernel` in memory that grows with the taps, not with their square."""
  height, width = kernel.shape[:2]
  images = tf.pad(
      tf.transpose(kernel, [2, 0, 1, 3]),
      [[0, 0], [height - 1] * 2, [width - 1] * 2, [0, 0]],
  )
  filters = tf.transpose(kernel, [0, 1, 3, 2])
  gram = tf.nn.conv2d(images, filters, strides=1, padding='VALID')
  return tf.transpose(gram, [1, 2, 3, 0])
