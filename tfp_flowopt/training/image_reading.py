"""A square of one image, as TensorFlow operations."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.training import image_decoding

__all__ = ['read_square']

# The colours of a JPEG are stored at half the resolution. At the border of a
# window they lack the neighbours to interpolate with.
_JPEG_MARGIN = 16


def read_square(store, index, top, left, size, channels):
  """Reads an image and cuts a square out of it.

  Args:
    store: `ImageStore` of 1 or 3 channels.
    index: Of the image, scalar int64 `Tensor`.
    top: First row of the square, scalar int64 `Tensor`.
    left: First column.
    size: Side of the square.
    channels: 3 for colour, 1 for grey.

  Returns:
    uint8 `Tensor` `[size, size, channels]`.
  """
  if store.encoded:
    image = _decode_square(store, index, top, left, size)
  else:
    image = tf.numpy_function(store.read, [index], tf.uint8)
    image = _crop(image, top, left, size)
  image = tf.ensure_shape(image, [size, size, store.channels])
  if store.channels == 1 and channels == 3:
    return tf.image.grayscale_to_rgb(image)
  if store.channels == 3 and channels == 1:
    return tf.image.rgb_to_grayscale(image)
  return image


def _decode_square(store, index, top, left, size):
  # An array of objects, for NumPy's strings end before trailing zeros.
  encoded = tf.numpy_function(
      lambda i: np.array(store.read(i), object), [index], tf.string
  )
  encoded = tf.ensure_shape(encoded, [])
  top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
  return tf.cond(
      tf.io.is_jpeg(encoded),
      lambda: _crop_jpeg(encoded, top, left, size),
      lambda: _crop(image_decoding.decode(encoded), top, left, size),
  )


def _crop(image, top, left, size):
  return image[top : top + size, left : left + size]


def _crop_jpeg(encoded, top, left, size):
  """Decodes a square and little else, to the pixels of the whole image."""
  height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(encoded))
  first_row = tf.maximum(top - _JPEG_MARGIN, 0)
  first_column = tf.maximum(left - _JPEG_MARGIN, 0)
  rows = tf.minimum(top + size + _JPEG_MARGIN, height) - first_row
  columns = tf.minimum(left + size + _JPEG_MARGIN, width) - first_column
  window = tf.stack([first_row, first_column, rows, columns])
  image = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
  return _crop(image, top - first_row, left - first_column, size)
