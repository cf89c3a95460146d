"""A window of one image, as TensorFlow operations."""

import tensorflow as tf

from tfp_flowopt.data import decoding

__all__ = ['read_window']

# The colours of a JPEG are stored at half the resolution. At the border of a
# window they lack the neighbours to interpolate with.
_JPEG_MARGIN = 16


def read_window(store, index, top, left, height, width):
  """Reads an image and cuts a rectangle out of it.

  Args:
    store: `ImageStore` of 1 or 3 channels.
    index: Of the image, scalar int64 `Tensor`.
    top: First row of the window, scalar int64 `Tensor`.
    left: First column.
    height: Number of rows.
    width: Number of columns.

  Returns:
    uint8 `Tensor` `[height, width, store.channels]`.
  """
  window = top, left, height, width
  value = store.read_in_graph(index)
  if store.encoded:
    value = tf.ensure_shape(value, [])
    image = tf.cond(
        tf.io.is_jpeg(value),
        lambda: _crop_jpeg(value, *(tf.cast(x, tf.int32) for x in window)),
        lambda: _crop(decoding.decode(value), *window),
    )
  else:
    image = _crop(value, *window)
  return tf.ensure_shape(image, [None, None, store.channels])


def _crop(image, top, left, height, width):
  return image[top : top + height, left : left + width]


def _crop_jpeg(encoded, top, left, height, width):
  """Decodes a window and little else, to the pixels of the whole image."""
  rows, columns, _ = tf.unstack(tf.io.extract_jpeg_shape(encoded))
  first_row = tf.maximum(top - _JPEG_MARGIN, 0)
  first_column = tf.maximum(left - _JPEG_MARGIN, 0)
  last_row = tf.minimum(top + height + _JPEG_MARGIN, rows)
  last_column = tf.minimum(left + width + _JPEG_MARGIN, columns)
  window = tf.stack([
      first_row,
      first_column,
      last_row - first_row,
      last_column - first_column,
  ])
  image = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
  return _crop(image, top - first_row, left - first_column, height, width)
