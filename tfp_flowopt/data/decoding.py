"""From the bytes of an image file to pixels, and what to say if it fails."""

import re

import tensorflow as tf

from tfp_flowopt.data import headers
from tfp_flowopt.data import orientation

__all__ = [
    'ERRORS',
    'decode',
    'decode_checked',
    'decode_upright',
    'describe',
    'too_small',
]

# What reading or decoding a bad image raises.
ERRORS = (OSError, ValueError, tf.errors.OpError)


def decode(encoded):
  """Decodes PNG, JPEG, BMP, WebP or the first picture of a GIF.

  Some files it decodes wrongly, and it turns none upright; see
  `decode_checked`.

  Args:
    encoded: Bytes, or a scalar string `Tensor`.

  Returns:
    uint8 `Tensor` `[H, W, 3]`, without transparency.
  """
  # Three channels of a transparent WebP are refused; to cut the fourth off
  # takes longer than not to decode it.
  return tf.cond(
      tf.strings.substr(encoded, 0, 4) == b'RIFF',
      lambda: _decode_as_stored(encoded)[..., :3],
      lambda: tf.io.decode_image(encoded, 3, expand_animations=False),
  )


def _decode_as_stored(encoded):
  """With 1 to 4 channels."""
  image = tf.io.decode_image(encoded, expand_animations=False)
  return tf.ensure_shape(image, [None, None, None])


def _decode_grey_or_colour(encoded):
  """Like `decode`, but leaves what is stored as grey grey."""
  image = _decode_as_stored(encoded)
  # Two and four channels: the last one is transparency.
  return image[..., : 1 if image.shape[-1] < 3 else 3]


def decode_checked(encoded, keep_grey=False):
  """Decodes an image, and refuses what `decode` decodes wrongly.

  Args:
    encoded: Bytes.
    keep_grey: Whether an image that is stored as grey has one channel.

  Returns:
    image: uint8 `Tensor` `[H, W, C]`, as stored.
    orientation: What turns it upright, see `image_orientation`.

  Raises:
    ValueError, tf.errors.OpError: If it is no image, or one that TensorFlow
      reads wrongly.
  """
  header = headers.read_header(encoded)
  image = _decode_grey_or_colour(encoded) if keep_grey else decode(encoded)
  if header.shape not in (None, tuple(image.shape[:2])):
    raise ValueError('a GIF with pictures that lie outside of it')
  return image, header.orientation


def decode_upright(encoded, keep_grey=False):
  """Decodes an image to what a viewer shows.

  Args:
    encoded: Bytes.
    keep_grey: Whether an image that is stored as grey has one channel.

  Returns:
    uint8 `Tensor` `[H, W, C]`.

  Raises:
    ValueError, tf.errors.OpError: As `decode_checked` does.
  """
  return orientation.turn(*decode_checked(encoded, keep_grey))


def describe(error):
  """The first line of one of `ERRORS`, without what is about TensorFlow."""
  problem = str(getattr(error, 'message', error)).split('\n', maxsplit=1)[0]
  return re.sub(r'\{\{.*?\}\} | \[Op:.*\]', '', problem)


def too_small(shape, smallest_side):
  """Says that an image is too small; `None` if it is not.

  Args:
    shape: Height and width first.
    smallest_side: Least height and width.

  Returns:
    String or `None`.
  """
  if min(shape[:2]) >= smallest_side:
    return None
  return (
      f'{shape[1]} x {shape[0]} pixels, need at least {smallest_side} x '
      f'{smallest_side}'
  )
