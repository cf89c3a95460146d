"""Upright pictures: the orientation that a camera notes, applied."""

import functools
import struct

import tensorflow as tf

__all__ = ['UPRIGHT', 'corner_as_stored', 'of_exif', 'shape_as_shown', 'turn']

# Of an image that is shown as it is stored.
UPRIGHT = 1

_TAG, _SHORT, _LONG = 0x0112, 3, 4
# What is stored is shown transposed, and then mirrored, if it is one of:
_TRANSPOSED = 5, 6, 7, 8
_TOP_TO_BOTTOM, _LEFT_TO_RIGHT = (3, 4, 7, 8), (2, 3, 6, 7)


def of_exif(data):
  """The orientation in an EXIF block, 1 to 8; 1 without one, or if damaged."""
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
  """An image `[H, W, C]` as it is to be shown, `[W, H, C]` for 5 to 8."""
  orientation = tf.cast(orientation, tf.int64)
  for orientations, function in (
      (_TRANSPOSED, tf.image.transpose),
      (_TOP_TO_BOTTOM, tf.image.flip_up_down),
      (_LEFT_TO_RIGHT, tf.image.flip_left_right),
  ):
    image = tf.cond(
        tf.reduce_any(orientation == tf.constant(orientations, tf.int64)),
        functools.partial(function, image),
        functools.partial(tf.identity, image),
    )
  return image


def shape_as_shown(height, width, orientation):
  """Height and width when shown, from those stored, and the other way round."""
  return (width, height) if orientation in _TRANSPOSED else (height, width)


def corner_as_stored(top, left, last_top, last_left, orientation):
  """Where a square of an upright image lies in what is stored.

  The lowest and the rightmost squares are at `last_top` and `last_left`.
  """
  if orientation in _TOP_TO_BOTTOM:
    top = last_top - top
  if orientation in _LEFT_TO_RIGHT:
    left = last_left - left
  return shape_as_shown(top, left, orientation)
