"""Examples made of the crops of images, one by one or image by image."""

import typing

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import decoding
from tfp_flowopt.data import orientation
from tfp_flowopt.internal import parallel

__all__ = ['Crop', 'CropReader']

# Around a window of a JPEG, for its pixels to be those of the whole image.
_JPEG_MARGIN = 16


class Crop(typing.NamedTuple):
  """A square of an image; all are int64 `Tensor`s but the last, a boolean."""

  source: tf.Tensor
  top: tf.Tensor
  left: tf.Tensor
  flipped: tf.Tensor


class CropReader:
  """Reads crops `[S, S, C]` of a store of 1 or 3 channels, whatever `C` is.

  An example is one, or a pair of that and an int64 label. Labels and
  orientations are int64 arrays for all images; with `flip`, crops that say so
  are mirrored.
  """

  def __init__(self, store, labels, orientations, size, channels, flip):
    self._store = store
    self._labels = labels
    self._orientations = orientations
    self._size = tf.constant(size, tf.int64)
    self._shape = [size, size, channels]
    self._flip = flip

  def read(self, crop):
    """Reads the example of a `Crop`, and decodes little more of its image."""
    image = _read_window(
        self._store, crop.source, crop.top, crop.left, self._size, self._size
    )
    return self._example(image, crop)

  @tf.autograph.experimental.do_not_convert
  def read_group(self, crops):
    """Reads the examples of `Crop`s `[N]`, in their order, each image once."""
    by_source = tf.argsort(crops.source, stable=True)
    ordered = Crop(*(tf.gather(x, by_source) for x in crops))
    _, _, counts = tf.unique_with_counts(ordered.source, tf.int64)
    ends = tf.cumsum(counts)

    def read(first, end):
      """The smallest window of an image that holds its crops."""
      source, tops, lefts, _ = (x[first:end] for x in ordered)
      top, left = tf.reduce_min(tops), tf.reduce_min(lefts)
      height = tf.reduce_max(tops) - top + self._size
      width = tf.reduce_max(lefts) - left + self._size
      window = _read_window(self._store, source[0], top, left, height, width)
      return window, top, left, first, end

    def cut(window, top, left, first, end):
      def example(i):
        crop = Crop(*(x[i] for x in ordered))
        row, column = crop.top - top, crop.left - left
        return self._example(
            window[row : row + self._size, column : column + self._size], crop
        )

      return tf.data.Dataset.range(first, end).map(example)

    images = tf.data.Dataset.from_tensor_slices((ends - counts, ends))
    examples = (
        parallel.map_in_threads(images, read)
        .flat_map(cut)
        .batch(tf.size(by_source, tf.int64))
        .get_single_element()
    )
    # Where each example is among those by source.
    places = tf.argsort(by_source)
    return tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda x: tf.gather(x, places), examples)
    )

  def _example(self, image, crop):
    """The example of a `Crop` and its pixels."""
    size, _, channels = self._shape
    image = tf.ensure_shape(image, [size, size, self._store.channels])
    if self._store.channels == 1 and channels == 3:
      image = tf.image.grayscale_to_rgb(image)
    elif self._store.channels == 3 and channels == 1:
      image = tf.image.rgb_to_grayscale(image)
    if np.any(self._orientations > orientation.UPRIGHT):
      image = orientation.turn(
          image, tf.gather(self._orientations, crop.source)
      )
    if self._flip:
      # Not a slice with step -1, which takes twenty times as long.
      image = tf.cond(
          crop.flipped, lambda: tf.image.flip_left_right(image), lambda: image
      )
    if self._labels is None:
      return image
    return image, tf.gather(self._labels, crop.source)


def _read_window(store, index, *window):
  """Part of an image: first row and column, height and width, all int64."""
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
  sides = last_row - first_row, last_column - first_column
  image = tf.io.decode_and_crop_jpeg(
      encoded, tf.stack([first_row, first_column, *sides]), channels=3
  )
  return _crop(image, top - first_row, left - first_column, height, width)
