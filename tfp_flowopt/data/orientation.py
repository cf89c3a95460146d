"""Upright pictures: the orientation that a camera notes, applied."""

import struct

import tensorflow as tf

__all__ = ['UPRIGHT', 'corner_as_stored', 'of_exif', 'shape_as_shown', 'turn']

# Of an image that is shown as it is stored.
UPRIGHT = 1

_TAG, _SHORT, _LONG = 0x0112, 3, 4
# By orientation: what is stored is shown transposed if that is one of the last
# four, and then mirrored, top to bottom and left to right, if it is one of:
_FIRST_TRANSPOSED = 5
_TOP_TO_BOTTOM, _LEFT_TO_RIGHT = (3, 4, 7, 8), (2, 3, 6, 7)


def of_exif(data):
  """The orientation in an EXIF block.

  Args:
    data: Bytes, from the TIFF header on, with `Exif` in front or without.

  Returns:
    From 1 to 8; 1 if there is none, or the block is damaged.
  """
  data = data.removeprefix(b'Exif\0\0')
  order = {b'II': '<', b'MM': '>'}.get(data[:2])
  if order is None:
    return UPRIGHT
  try:
    (start,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
      tag, form = struct.unpack_from(f'{order}2H', data, entry)
      if tag == _TAG and form in (_SHORT, _LONG):
        value = f'{order}{"H" if form == _SHORT else "I"}'
        (orientation,) = struct.unpack_from(value, data, entry + 8)
        return orientation if 1 <= orientation <= 8 else UPRIGHT
  except struct.error:  # it ends before
    pass
  return UPRIGHT


def turn(image, orientation):
  """An image as it is to be shown.

  Args:
    image: `Tensor` `[H, W, C]`.
    orientation: From 1 to 8, an int or a scalar int64 `Tensor`.

  Returns:
    `Tensor` `[H, W, C]`, or `[W, H, C]` for the last four orientations.
  """
  orientation = tf.cast(orientation, tf.int64)

  def turned_if(condition, function, image):
    return tf.cond(condition, lambda: function(image), lambda: image)

  def is_one_of(orientations):
    return tf.reduce_any(orientation == tf.constant(orientations, tf.int64))

  image = turned_if(
      orientation >= _FIRST_TRANSPOSED, tf.image.transpose, image
  )
  image = turned_if(is_one_of(_TOP_TO_BOTTOM), tf.image.flip_up_down, image)
  return turned_if(is_one_of(_LEFT_TO_RIGHT), tf.image.flip_left_right, image)


def shape_as_shown(height, width, orientation):
  """Height and width when shown, from those stored, and the other way round."""
  if orientation >= _FIRST_TRANSPOSED:
    return width, height
  return height, width


def corner_as_stored(top, left, last_top, last_left, orientation):
  """Where a square that is seen in an image lies in what is stored.

  Args:
    top: First row of the square in the image as shown.
    left: First column.
    last_top: The first row that the lowest such square has.
    last_left: The first column that the rightmost has.
    orientation: From 1 to 8.

  Returns:
    First row and first column in the image as stored.
  """
  if orientation in _TOP_TO_BOTTOM:
    top = last_top - top
  if orientation in _LEFT_TO_RIGHT:
    left = last_left - left
  return shape_as_shown(top, left, orientation)
