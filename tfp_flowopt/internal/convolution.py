"""Convolutions whose gradients are fast on CPUs, too."""

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['convolution', 'transposed_convolution']

# Vector registers hold eight numbers; TensorFlow's kernels are slow for the
# rest of a division by it.
_LANES = 8


def convolution(x, kernel):
  """Zero-padded convolution of `[N, H, W, in]` and `[kh, kw, in, out]`.

  Values and gradients are those of `tf.nn.conv2d`. On CPUs, TensorFlow's
  gradients run at 10 to 20 GFLOP/s where its convolutions run at 50: most of
  all those of kernels with few outputs, as every coupling has one. But they are
  convolutions themselves, of other arguments:

  ```none
  y[p] = sum_t x[p + t] K[t],     K'[t] = K[-t]^T
  dx   = dy * K'
  dK[t] = (sum_q dy[q - t] x[q]^T)^T      the gradient of a kernel from y to x
  ```

  Taps of one position are matrix products; other kernels need odd sides.
  """
  height, width, inputs, outputs = kernel.shape
  if tf.config.list_logical_devices('GPU') or None in (inputs, outputs):
    return _plain(x, kernel)
  if height == width == 1:
    return tf.tensordot(x, kernel[0, 0], axes=1)
  if outputs < inputs and height % 2 and width % 2:
    return _few_outputs(x, kernel)
  return _plain(x, kernel)


def _plain(x, kernel):
  y = tf.nn.conv2d(x, kernel, strides=1, padding='SAME')
  if x.shape[0]:
    return y
  # On CPUs, an empty batch comes back with the channels of `x`.
  return tf.reshape(y, tf.concat([tf.shape(x)[:3], kernel.shape[3:]], axis=0))


@custom_gradients.custom_gradient
def _few_outputs(x, kernel):
  """A convolution with fewer outputs than inputs."""
  outputs = kernel.shape[-1]
  padding = -outputs % _LANES
  if padding:
    wider = tf.pad(kernel, [[0, 0], [0, 0], [0, 0], [0, padding]])
    y = _plain(x, wider)[..., :outputs]
  else:
    y = _plain(x, kernel)

  def gradient(dy):
    reflected = _reflected(kernel)
    d_reflected = tf.raw_ops.Conv2DBackpropFilter(
        input=dy,
        filter_sizes=reflected.shape,
        out_backprop=x,
        strides=[1, 1, 1, 1],
        padding='SAME',
    )
    return _plain(dy, reflected), _reflected(d_reflected)

  return y, gradient


def _reflected(kernel):
  """`K'[t] = K[-t]^T`, the kernel of the transposed operator."""
  return tf.reverse(tf.linalg.matrix_transpose(kernel), [0, 1])


def transposed_convolution(x, kernel):
  """The transpose of the convolution with zero padding, on `[N, H, W, C]`."""
  shape = tf.concat([tf.shape(x)[:3], [kernel.shape[2]]], axis=0)
  return tf.nn.conv2d_transpose(x, kernel, shape, strides=1, padding='SAME')
