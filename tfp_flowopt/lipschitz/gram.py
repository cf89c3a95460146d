"""The Gram operator of a convolution, as a kernel."""

import tensorflow as tf

__all__ = ['as_convolution', 'gram_kernel']


def as_convolution(kernel):
  """Views a dense kernel `[in, out]` as a 1x1 convolution.

  Args:
    kernel: `[in, out]` or `[kh, kw, in, out]`.

  Returns:
    `[kh, kw, in, out]`.

  Raises:
    ValueError: If `kernel` has another rank.
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

  the kernel of `K^T K` for the convolution of infinite images.

  Args:
    kernel: `[kh, kw, in, out]`.

  Returns:
    `[2 kh - 1, 2 kw - 1, in, in]`, lags in ascending order.
  """
  height, width = kernel.shape[0], kernel.shape[1]
  if height == width == 1:
    gram = tf.linalg.matmul(kernel[0, 0], kernel[0, 0], transpose_b=True)
    return gram[tf.newaxis, tf.newaxis]
  images = tf.pad(
      tf.transpose(kernel, [2, 0, 1, 3]),
      [[0, 0], [height - 1] * 2, [width - 1] * 2, [0, 0]],
  )
  filters = tf.transpose(kernel, [0, 1, 3, 2])
  gram = tf.nn.conv2d(images, filters, strides=1, padding='VALID')
  return tf.transpose(gram, [1, 2, 3, 0])
