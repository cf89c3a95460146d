"""Arrays in files: `.npy`, and idx files of the MNIST family."""

import gzip
import math
import os
import re
import struct
import zlib

import numpy as np

from tfp_flowopt.data.sources import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['Array', 'is_array', 'read_array']

_IDX_NAME = re.compile(r'idx\d(-ubyte)?(\.gz)?$', re.IGNORECASE)
# Behind two zeros: uint8, and then the number of dimensions.
_IDX_UINT8 = 8
# Deflate packs 1032 bytes into one at most.
_MOST_PACKED = 1032


def is_array(path):
  """Whether a file is of these kinds, by its name or its first bytes."""
  if path.suffix.lower() == '.npy' or _IDX_NAME.search(path.name):
    return True
  with path.open('rb') as f:
    return f.read(4) == bytes([0, 0, _IDX_UINT8, 3])


def read_array(path: types.Path) -> np.ndarray:
  """Reads a `.npy` or an idx file, such as labels that belong to images.

  What the header says is held against the size of the file before anything is
  read, and of a packed file no more is unpacked than that.

  Args:
    path: Of a `.npy` file, or of an idx file of uint8, plain or `.gz`.

  Returns:
    NumPy array; that of a `.npy` file is mapped, not loaded.

  Raises:
    OSError: If there is no such file.
    ValueError: If it holds something else, or is cut short.
  """
  path = arguments.check_path('path', path)
  try:
    return _map_npy(path) if path.suffix.lower() == '.npy' else _read_idx(path)
  except (EOFError, OverflowError, gzip.BadGzipFile, zlib.error) as e:
    raise ValueError(f'truncated or damaged: {e}') from e


def _map_npy(path):
  # Shapes that overflow are refused, with a warning in front.
  with np.errstate(over='ignore'):
    array = np.load(path, mmap_mode='r')
  if not isinstance(array, np.ndarray):
    raise ValueError('an archive of arrays')
  return array


def _read_idx(path):
  packed = path.suffix.lower() == '.gz'
  most = os.path.getsize(path) * (_MOST_PACKED if packed else 1)
  with (gzip.open(path) if packed else path.open('rb')) as f:
    magic = f.read(4)
    if len(magic) < 4 or magic[:3] != bytes([0, 0, _IDX_UINT8]):
      raise ValueError(
          f'it begins with 0x{magic.hex()}, an idx file of uint8 with 0x000008'
      )
    sides = f.read(4 * magic[3])
    if len(sides) < 4 * magic[3]:
      raise EOFError('it ends in its header')
    shape = struct.unpack(f'>{magic[3]}I', sides)
    size = math.prod(shape)
    # One byte more shows that there are more, or that sums are right.
    data = f.read(size + 1) if size <= most else b''
  if len(data) != size:
    raise ValueError(
        f'must hold {size} bytes for its shape {list(shape)}, and holds '
        + ('more' if len(data) > size else 'fewer')
    )
  return np.frombuffer(data, np.uint8).reshape(shape)


class Array(base.ImageStore):
  """Images `[N, H, W]` or `[N, H, W, C]` of a file, in memory or mapped."""

  encoded = False

  def __init__(self, path):
    try:
      array = read_array(path)
    except ValueError as e:
      raise ValueError(f'No array of images, or truncated: {path} ({e})') from e
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
