"""What all sources of images have in common: access by index."""

import abc
import os
import weakref

import tensorflow as tf

from tfp_flowopt.data import decoding

__all__ = ['ImageStore']


class ImageStore(abc.ABC):
  """Images that are read by index, from several threads if need be.

  Attributes:
    channels: Number of channels of an image.
    encoded: Whether `read` gives the bytes of an image file, or pixels.
  """

  channels = 3
  encoded = True

  @abc.abstractmethod
  def __len__(self):
    """Number of images, bad ones included."""

  @abc.abstractmethod
  def name(self, index):
    """Name of an image, for messages."""

  @abc.abstractmethod
  def read(self, index):
    """Reads an image.

    Args:
      index: Python `int`.

    Returns:
      Bytes, or a uint8 array `[H, W, C]` unless `encoded`.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it does not hold what it should.
    """

  def read_in_graph(self, index):
    """Reads an image as an operation of a graph, as input pipelines do.

    By default it calls `read`, one thread at a time. Where TensorFlow has an
    operation that reads, a subclass does better without Python.

    Args:
      index: Scalar int64 `Tensor`.

    Returns:
      What `read` gives, as a `Tensor`: a string, or uint8 `[H, W, C]`.
    """
    # TensorFlow keeps Python functions for ever. A dataset keeps the store, and
    # they must not.
    store = weakref.ref(self)
    if not self.encoded:
      return tf.numpy_function(lambda i: store().read(i), [index], tf.uint8)
    # Not `numpy_function`: TensorFlow never frees the strings it returns.
    return tf.py_function(
        lambda i: tf.constant(store().read(int(i))), [index], tf.string
    )

  @abc.abstractmethod
  def files(self):
    """The `pathlib.Path`s of the files behind the images."""

  def stamps(self):
    """List of lists of name, bytes and time of each file, as JSON has them."""
    return [self._stamp(path) for path in self.files()]

  def _stamp(self, path):
    found = path.stat()
    return [os.path.abspath(path), found.st_size, found.st_mtime_ns]

  def verify(self):
    """Reads checksums, where the format has them apart from the images.

    Raises:
      ValueError: If one is wrong; the message names the file.
    """
    return

  def image(self, index):
    """Reads the pixels of an image, upright.

    Args:
      index: Python `int`.

    Returns:
      uint8 array `[H, W, C]`.

    Raises:
      OSError, ValueError, tf.errors.OpError: If the image is bad.
    """
    value = self.read(index)
    if not self.encoded:
      return value
    return decoding.decode_upright(value).numpy()
