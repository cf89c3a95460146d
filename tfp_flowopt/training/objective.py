"""From stored images to the numbers that a flow models."""

import tensorflow as tf

__all__ = ['dequantize', 'quantize']


def dequantize(images, bits, seed=None):
  """Scales integer images to [-0.5, 0.5), with dequantisation noise.

  ```none
  x = (image + u) / 2^bits - 1/2,   u uniform on [0, 1), or 1/2 without a seed
  ```

  With the noise, a log-density of `x` is on average a lower bound of the
  log-probability of the image (Theis, van den Oord & Bethge 2016).

  Args:
    images: Integer `Tensor` `[..., H, W, C]` with values in `0..2^bits - 1`.
    bits: Number of bits of a value.
    seed: `[2]` integer `Tensor` for the stateless noise; `None` takes the
      middle of each bin.

  Returns:
    float32 `Tensor` of the same shape.
  """
  shape = tf.shape(images)
  noise = 0.5
  if seed is not None:
    noise = tf.random.stateless_uniform(shape, seed)
  # In float32, 255 + u rounds to 256 for some u < 1; the bin stays half-open.
  noise = tf.minimum(noise, 1.0 - 2.0**-15)
  return (tf.cast(images, tf.float32) + noise) * 2.0**-bits - 0.5


def quantize(x, bits):
  """The image whose bins hold `x`; inverts `dequantize` for every noise.

  Args:
    x: Floating-point `Tensor`, values outside [-0.5, 0.5) are clipped.
    bits: Number of bits of a value, at most 8.

  Returns:
    uint8 `Tensor` of the same shape.
  """
  largest = 2.0**bits - 1.0
  values = tf.floor((x + 0.5) * 2.0**bits)
  return tf.cast(tf.clip_by_value(values, 0.0, largest), tf.uint8)
