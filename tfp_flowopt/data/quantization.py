"""From stored images to the numbers that a flow models, and back."""

import numbers

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import seeds
from tfp_flowopt.internal import types

__all__ = [
    'dequantization_noise',
    'dequantize',
    'dequantize_numbered',
    'quantize',
]


def dequantization_noise(
    shape: types.Shape | tf.Tensor, seed: types.Seed
) -> tf.Tensor:
  """Uniform noise on [0, 1) for `dequantize`.

  Args:
    shape: Shape of the noise.
    seed: `[2]` integer `Tensor`, of the stateless generator.

  Returns:
    float32 `Tensor`.

  Raises:
    ValueError: If `shape` or `seed` is no such thing.
  """
  seed = arguments.check_seed('seed', seed)
  shape = arguments.check_integers('shape', shape, shapes=[[None]])
  # Integers, for XLA makes other floating-point numbers of the same bits; and
  # one generator, for each device has its own default.
  integers = tf.random.stateless_uniform(
      shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg='philox'
  )
  noise = tf.cast(integers // 2**8, tf.float32) * 2.0**-24
  # In float32, 255 + u rounds to 256 for u close to 1: keep the bin half-open.
  return tf.minimum(noise, 1.0 - 2.0**-15)


def dequantize(
    images: types.TensorLike, bits: int = 8, noise: types.TensorLike = 0.5
) -> tf.Tensor:
  """Scales 8-bit images to [-0.5, 0.5), with dequantisation noise.

  ```none
  x = (floor(image / 2^(8 - bits)) + noise) / 2^bits - 1/2
  ```

  With uniform noise, the log-density of `x` is on average a lower bound of the
  log-probability of the image (Theis, van den Oord & Bethge 2016).

  Args:
    images: uint8 `Tensor` `[..., H, W, C]`.
    bits: Number of bits that are kept of a value, 1 to 8.
    noise: Floating-point `Tensor` in [0, 1) that broadcasts against `images`;
      by default the middle of each bin.

  Returns:
    float32 `Tensor` of the shape of `images`.

  Raises:
    ValueError: If an argument is of another type, or out of range.
  """
  bits = arguments.check_int('bits', bits, least=1, most=8)
  images = arguments.check_integers(
      'images', images, 'integers, uint8 as a rule'
  )
  if images.dtype in (tf.uint16, tf.uint32, tf.uint64):
    raise ValueError(
        'Argument `images` must hold values up to 255, as uint8, got '
        f'{images.dtype.name}.'
    )
  if isinstance(noise, numbers.Real):
    arguments.check_number('noise', noise, lambda v: 0 <= v < 1, 'in [0, 1)')
  noise = tf.cast(arguments.check_tensor('noise', noise), tf.float32)
  values = tf.floor(tf.cast(images, tf.float32) * 2.0 ** (bits - 8))
  return (values + noise) * 2.0**-bits - 0.5


def dequantize_numbered(images, bits, seed, first=0):
  """Scales images `[N, H, W, C]`, with noise of each image's own number.

  So an image has the same noise however images are put together in batches and
  spread over devices. `first` is the number of the first image.
  """
  images = tf.convert_to_tensor(images)
  # Folded, so that the noise is not the numbers that chose the crops.
  seed = seeds.fold_in(seed, 1)
  numbers = tf.cast(first, tf.int64) + tf.range(tf.shape(images, tf.int64)[0])
  noise = _numbered_noise(numbers, seed, tf.shape(images)[1:])
  return dequantize(images, bits, tf.ensure_shape(noise, images.shape))


# One by one: a generator has no numbers for a vector of seeds.
@tf.function(autograph=False, reduce_retracing=True)
def _numbered_noise(numbers, seed, shape):
  return tf.map_fn(
      lambda i: dequantization_noise(shape, seeds.fold_in(seed, i)),
      numbers,
      fn_output_signature=tf.float32,
  )


def quantize(x: types.TensorLike, bits: int = 8) -> tf.Tensor:
  """The image whose bins hold `x`; undoes `dequantize` for every noise.

  Args:
    x: Floating-point `Tensor`; values outside [-0.5, 0.5) are clipped.
    bits: Number of bits of a value, 1 to 8.

  Returns:
    uint8 `Tensor` of the same shape, multiples of `2^(8 - bits)`.

  Raises:
    ValueError: If `x` is not floating-point, or `bits` out of range.
  """
  bits = arguments.check_int('bits', bits, least=1, most=8)
  x = arguments.check_tensor('x', x)
  values = tf.floor((x + 0.5) * 2.0**bits)
  values = tf.clip_by_value(values, 0.0, 2.0**bits - 1.0)
  return tf.cast(values * 2.0 ** (8 - bits), tf.uint8)
