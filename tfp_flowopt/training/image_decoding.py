"""From the bytes of an image file to pixels, and what to say if it fails."""

import re

import tensorflow as tf

__all__ = ['ERRORS', 'decode', 'decode_grey_or_colour', 'describe', 'too_small']

# What reading or decoding a bad image raises.
ERRORS = (OSError, ValueError, tf.errors.OpError)


def decode(encoded):
  """Decodes PNG, JPEG, BMP, WebP or the first picture of a GIF.

  Args:
    encoded: Bytes, or a scalar string `Tensor`.

  Returns:
    uint8 `Tensor` `[H, W, 3]`.
  """
  return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def decode_grey_or_colour(encoded):
  """Like `decode`, but leaves what is stored as grey grey.

  Args:
    encoded: Bytes.

  Returns:
    uint8 `Tensor` `[H, W, 1]` or `[H, W, 3]`.
  """
  image = tf.io.decode_image(encoded, expand_animations=False)
  # Two and four channels: the last one is transparency.
  return image[..., : 1 if image.shape[-1] < 3 else 3]


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
