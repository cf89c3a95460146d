"""Linear layers with a certified Lipschitz constant."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import image_batch
from tfp_flowopt.lipschitz import aol

__all__ = ['LipschitzConv2D', 'LipschitzDense', 'max_min']


def max_min(x):
  """MaxMin activation: sorts pairs of channels (Anil, Lucas & Grosse 2019).

  1-Lipschitz, and a permutation wherever it is differentiable: it loses no
  gradient norm.

  Args:
    x: `Tensor` `[..., C]`, `C` even; channel `i` is paired with `i + C/2`.

  Returns:
    `Tensor` of the same shape.
  """
  a, b = tf.split(x, 2, axis=-1)
  return tf.concat([tf.maximum(a, b), tf.minimum(a, b)], axis=-1)


def _initial_kernel(shape, dtype, seed):
  """Orthonormal on the central tap, so nearly an isometry after rescaling."""
  kernel = np.zeros(shape)
  rows, columns = shape[-2:]
  gaussian = np.random.default_rng(seed).normal(
      size=(max(rows, columns), min(rows, columns))
  )
  orthonormal, _ = np.linalg.qr(gaussian)
  centre = tuple(size // 2 for size in shape[:-2])
  kernel[centre] = orthonormal.T if rows < columns else orthonormal
  return tf.cast(kernel, dtype)


class _LipschitzLinear(tf.Module):
  """A kernel that is rescaled to operator norm 1, and a bias."""

  def __init__(self, kernel_shape, zero_initial, dtype, seed, name):
    super().__init__(name=name)
    dtype = tf.as_dtype(dtype)
    initial = (
        tf.zeros(kernel_shape, dtype)
        if zero_initial
        else _initial_kernel(kernel_shape, dtype, seed)
    )
    self._kernel = tf.Variable(initial, name='kernel')
    self._bias = tf.Variable(
        tf.zeros(kernel_shape[-1:], dtype), name='bias'
    )

  @property
  def lipschitz(self):
    """The certified Lipschitz constant, whatever the weights are."""
    return 1.0

  def effective_kernel(self):
    """The rescaled kernel, of operator norm at most 1."""
    return aol.almost_orthogonal(self._kernel)


class LipschitzDense(_LipschitzLinear):
  """Dense layer with Lipschitz constant 1, by almost-orthogonal rescaling.

  `y = x K + b`, where `K` is the rescaled kernel (see `almost_orthogonal`).
  """

  def __init__(
      self,
      in_features,
      out_features,
      zero_initial=False,
      dtype=tf.float32,
      seed=0,
      name='lipschitz_dense',
  ):
    """Creates the layer.

    Args:
      in_features: Size of the last axis of the input.
      out_features: Size of the last axis of the output.
      zero_initial: Whether the kernel starts at zero instead of orthonormal.
      dtype: Type of the variables.
      seed: Python `int`, of the initial kernel.
      name: Python `str`.
    """
    super().__init__(
        [in_features, out_features], zero_initial, dtype, seed, name
    )

  def __call__(self, x):
    """Maps `[..., in_features]` to `[..., out_features]`."""
    return tf.linalg.matmul(x, self.effective_kernel()) + self._bias


class LipschitzConv2D(_LipschitzLinear):
  """Convolution, stride 1, zero padding, with Lipschitz constant 1.

  `y = K * x + b`, where `K` is the rescaled kernel (see `almost_orthogonal`).
  The constant holds for every image size.
  """

  def __init__(
      self,
      in_channels,
      out_channels,
      kernel_size=3,
      zero_initial=False,
      dtype=tf.float32,
      seed=0,
      name='lipschitz_conv2d',
  ):
    """Creates the layer.

    Args:
      in_channels: Size of the last axis of the input.
      out_channels: Size of the last axis of the output.
      kernel_size: Side of the square kernel.
      zero_initial: Whether the kernel starts at zero instead of orthonormal.
      dtype: Type of the variables.
      seed: Python `int`, of the initial kernel.
      name: Python `str`.
    """
    super().__init__(
        [kernel_size, kernel_size, in_channels, out_channels],
        zero_initial,
        dtype,
        seed,
        name,
    )

  def __call__(self, x):
    """Maps `[..., H, W, in_channels]` to `[..., H, W, out_channels]`."""
    kernel = self.effective_kernel()
    y = image_batch.on_image_batch(
        lambda x: tf.nn.conv2d(x, kernel, strides=1, padding='SAME'), x
    )
    return y + self._bias
