"""Arrays in files: `.npy`, and idx files of the MNIST family.

What a header says is held against the size of the file before anything is read,
and of a packed file no more is unpacked than that.
"""

import gzip
import math
import os
import struct
import zlib

import numpy as np

__all__ = ['has_suffix', 'idx_magic', 'map_npy', 'read_idx']

# Deflate packs 1032 bytes into one at most.
_MOST_PACKED = 1032


def has_suffix(path, suffix):
  """Whether a name ends so, in capitals or not.

  Args:
    path: `pathlib.Path`.
    suffix: Such as `'.npy'`.

  Returns:
    Python `bool`.
  """
  return path.suffix.lower() == suffix


def map_npy(path):
  """Maps a `.npy` file.

  Args:
    path: `pathlib.Path`.

  Returns:
    `np.memmap`.

  Raises:
    OSError: If there is no such file.
    ValueError: If it is no array of numbers, or cut short.
  """
  try:
    # Shapes that overflow are refused, with a warning in front.
    with np.errstate(over='ignore'):
      array = np.load(path, mmap_mode='r')
  except (EOFError, OverflowError) as e:
    raise ValueError(str(e)) from e
  if not isinstance(array, np.ndarray):
    raise ValueError('an archive of arrays')
  return array


def idx_magic(num_dims):
  """The first four bytes of an idx file of uint8, as a number."""
  return 0x0800 + num_dims


def read_idx(path, num_dims):
  """Loads an idx file of uint8.

  Args:
    path: `pathlib.Path`; a name ending in `.gz` is unpacked.
    num_dims: Number of dimensions of the array.

  Returns:
    uint8 array.

  Raises:
    OSError: If there is no such file, or it is not packed.
    ValueError: If it holds something else, or is cut short.
  """
  packed = has_suffix(path, '.gz')
  most = os.path.getsize(path) * (_MOST_PACKED if packed else 1)
  try:
    with (gzip.open(path) if packed else path.open('rb')) as f:
      header = f.read(4 + 4 * num_dims)
      magic = int.from_bytes(header[:4], 'big')
      if magic != idx_magic(num_dims) or len(header) < 4 + 4 * num_dims:
        raise ValueError(
            f'magic number {magic:#010x}, that of uint8 of {num_dims} '
            f'dimensions is {idx_magic(num_dims):#010x}'
        )
      shape = struct.unpack(f'>{num_dims}I', header[4:])
      size = math.prod(shape)
      # One byte more shows that there are more, or that sums are right.
      data = f.read(size + 1) if size <= most else b''
  except (EOFError, zlib.error) as e:
    raise ValueError(f'cut short or damaged: {e}') from e
  if len(data) != size:
    raise ValueError(
        f'must hold {size} bytes for its shape {list(shape)}, and holds '
        + ('more' if len(data) > size else 'fewer')
    )
  return np.frombuffer(data, np.uint8).reshape(shape)
