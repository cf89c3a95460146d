"""Images of one array: `.npy` files, and idx files of the MNIST family."""

import gzip
import re
import struct

import numpy as np

from tfp_flowopt.data import array_files
from tfp_flowopt.data.sources import base

__all__ = ['Array', 'is_idx', 'open_idx', 'open_npy']

# Such as train-images-idx3-ubyte.gz; packed files show no magic number.
_IDX_NAME = re.compile(r'idx\d(-ubyte)?(\.gz)?$', re.IGNORECASE)


class Array(base.ImageStore):
  """Images of an array, in memory or mapped."""

  encoded = False

  def __init__(self, array, path):
    """Checks the array.

    Args:
      array: uint8 `[N, H, W]` or `[N, H, W, C]`.
      path: `pathlib.Path` of its file.

    Raises:
      ValueError: If the array has another type or shape, or no pixels.
    """
    # Of images of no pixels, any number would fit into a small file.
    if (
        array.dtype != np.uint8
        or array.ndim not in (3, 4)
        or 0 in array.shape[1:]
    ):
      raise ValueError(
          f'{path} must hold uint8 images [N, H, W] or [N, H, W, C], got '
          f'{array.dtype} {list(array.shape)}.'
      )
    self._array = array if array.ndim == 4 else array[..., np.newaxis]
    self._path = path
    self.channels = self._array.shape[-1]

  def __len__(self):
    return len(self._array)

  def name(self, index):
    """See base class."""
    return f'{self._path}[{index}]'

  def read(self, index):
    """See base class."""
    return np.ascontiguousarray(self._array[index])

  def files(self):
    """See base class."""
    return [self._path]


def open_npy(path):
  """Maps a `.npy` file.

  Args:
    path: `pathlib.Path`.

  Returns:
    `Array`.

  Raises:
    ValueError: If it holds no images, or is cut short.
  """
  try:
    array = array_files.map_npy(path)
  except ValueError as e:
    raise ValueError(f'No array of images, or cut short: {path} ({e})') from e
  return Array(array, path)


def is_idx(path):
  """Whether a file is of the idx format, by its name or its first bytes."""
  if _IDX_NAME.search(path.name):
    return True
  with path.open('rb') as f:
    return f.read(4) == struct.pack('>I', array_files.idx_magic(3))


def open_idx(path):
  """Loads an idx file.

  Args:
    path: `pathlib.Path`; a name ending in `.gz` is unpacked.

  Returns:
    `Array`.

  Raises:
    ValueError: If it holds no images, or is cut short.
  """
  try:
    array = array_files.read_idx(path, 3)
  except (gzip.BadGzipFile, ValueError) as e:
    raise ValueError(f'No idx file of images [N, H, W]: {path} ({e})') from e
  return Array(array, path)
