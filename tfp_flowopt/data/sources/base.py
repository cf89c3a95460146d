"""Images that are read by index: what every source of them is."""

import abc
import os
import pathlib
from typing import Any
import weakref

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import decoding
from tfp_flowopt.data import orientation as orientation_lib

__all__ = ['ImageStore']


class ImageStore(abc.ABC):
  """Images that are read by index, from several threads if need be.

  A subclass is a source of its own: `ImageDataset`, `ImageSource` and
  `open_images` take it in place of a path.

  Attributes:
    channels: Number of channels of an image.
    encoded: Whether `read` gives the bytes of an image file, or pixels.
  """

  channels = 3
  encoded = True

  def __repr__(self):
    return f'{type(self).__name__} of {len(self)} images'

  @abc.abstractmethod
  def __len__(self) -> int:
    """Number of images, bad ones included."""

  @abc.abstractmethod
  def name(self, index: int) -> str:
    """Name of an image, for messages."""

  @abc.abstractmethod
  def read(self, index: int) -> bytes | np.ndarray:
    """Reads image number `index`, a Python `int`.

    Bytes, or a uint8 array `[H, W, C]` unless `encoded`. An `OSError` if the
    file cannot be read, a `ValueError` if it does not hold what it should.
    """

  def read_in_graph(self, index: tf.Tensor) -> tf.Tensor:
    """What `read` gives, as a `Tensor`, for `index` a scalar int64 `Tensor`.

    By default it calls `read`, one thread at a time. Where TensorFlow has an
    operation that reads, a subclass does better without Python.
    """
    # TensorFlow keeps Python functions for ever. A dataset keeps the store, and
    # they must not.
    store = weakref.ref(self)

    def read(i):
      return store().read(int(i))

    if not self.encoded:
      return tf.numpy_function(read, [index], tf.uint8)
    # Not `numpy_function`: TensorFlow never frees the strings it returns.
    return tf.py_function(lambda i: tf.constant(read(i)), [index], tf.string)

  @abc.abstractmethod
  def files(self) -> list[pathlib.Path]:
    """The `pathlib.Path`s of the files behind the images."""

  def stamps(self) -> list[list[Any]]:
    """List of lists of name, bytes and time of each file, as JSON has them."""
    return [self._stamp(path) for path in self.files()]

  def _stamp(self, path):
    found = path.stat()
    return [os.path.abspath(path), found.st_size, found.st_mtime_ns]

  def verify(self) -> None:
    """Reads checksums, where the format has them apart from the images.

    A `ValueError` that names the file if one is wrong.
    """
    return

  def decoded(
      self, index: int, keep_grey: bool = False
  ) -> tuple[bytes | np.ndarray, Any, int]:
    """What `read` gives, and the pixels and the orientation of it.

    uint8 `[H, W, C]`, as stored, where `keep_grey` leaves grey image files one
    channel; and what `orientation.turn` takes. Errors are those of `image`.
    """
    value = self.read(index)
    if not self.encoded:
      return value, value, orientation_lib.UPRIGHT
    return value, *decoding.decode_checked(value, keep_grey)

  def image(self, index: int) -> np.ndarray:
    """Reads the pixels of an image, upright, uint8 `[H, W, C]`.

    If it is bad, an `OSError`, a `ValueError` or a `tf.errors.OpError`.
    """
    _, image, orientation = self.decoded(index)
    if orientation != orientation_lib.UPRIGHT:
      image = orientation_lib.turn(image, orientation)
    return np.asarray(image)
