"""Examples made of the crops of images, one by one or image by image."""

import typing

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import orientation
from tfp_flowopt.data import reading
from tfp_flowopt.internal import parallel

__all__ = ['Crop', 'CropReader']


class Crop(typing.NamedTuple):
  """A square of an image.

  Attributes:
    source: Index of the image, int64.
    top: First row in the image as it is stored, int64.
    left: First column, likewise.
    flipped: Whether left and right change places, where that is done at all.
  """

  source: tf.Tensor
  top: tf.Tensor
  left: tf.Tensor
  flipped: tf.Tensor


class CropReader:
  """Reads crops of the images of a store, with their labels if there are any.

  An example is a uint8 image `[S, S, C]`, or a pair of that and an int64 label.
  """

  def __init__(self, store, labels, orientations, size, channels, flip):
    """Creates the reader.

    Args:
      store: `ImageStore` of 1 or 3 channels.
      labels: int64 array, the label of each image of the store, or `None`.
      orientations: int64 array, how each image is turned; see
        `image_orientation`.
      size: Side `S` of the crops.
      channels: 3 for colour, 1 for grey; images of the other kind are
        converted.
      flip: Whether to flip the crops that say so.
    """
    self._store = store
    self._labels = labels
    self._orientations = orientations
    self._size = tf.constant(size, tf.int64)
    self._shape = [size, size, channels]
    self._flip = flip

  def read(self, crop):
    """Reads one example, and decodes little more of its image.

    Args:
      crop: `Crop` of scalar `Tensor`s.

    Returns:
      The example.
    """
    image = reading.read_window(
        self._store, crop.source, crop.top, crop.left, self._size, self._size
    )
    return self._example(image, crop)

  @tf.autograph.experimental.do_not_convert
  def read_group(self, crops):
    """Reads examples, and each image once, however many come from it.

    Args:
      crops: `Crop` of `Tensor`s `[N]`, `N > 0`.

    Returns:
      `tf.data.Dataset` of the `N` examples in their order. They are all in
      memory when the first one comes.
    """
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
      window = reading.read_window(
          self._store, source[0], top, left, height, width
      )
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
