"""Classes of images: by the folders they lie in, or from a file."""

import gzip
import pathlib
import zlib

import numpy as np

from tfp_flowopt.training import image_folder

__all__ = ['read_labels']

FOLDERS = 'folders'
# Of an idx file of uint8 and one dimension, and the bytes before its data.
_IDX_MAGIC, _IDX_HEADER = 0x00000801, 8


def read_labels(labels, store, path):
  """The class of each image.

  Args:
    labels: `'folders'`: an image's class is the folder of `path` that it is in,
      by order of their names; or a file of one whole number for each image, in
      their order, classes counted from 0: `.npy`, or idx (`.gz` too).
    store: `ImageStore` of the images.
    path: Where they were found.

  Returns:
    int64 array `[N]`, and a list of the names of the classes.

  Raises:
    ValueError: If the labels do not fit the images; the message says why.
  """
  if labels == FOLDERS:
    return _of_folders(store, pathlib.Path(path))
  values = _of_file(pathlib.Path(labels))
  if len(values) != len(store):
    raise ValueError(
        f'Argument `labels`: {labels} has {len(values)} labels for '
        f'{len(store)} images.'
    )
  if values.min() < 0:
    raise ValueError(
        f'Argument `labels`: {labels} must count classes from 0, got '
        f'{values.min()}.'
    )
  return values, [str(i) for i in range(values.max() + 1)]


def _of_folders(store, path):
  if not isinstance(store, image_folder.Folder):
    raise ValueError(
        "Argument `labels`: 'folders' is for image files in subfolders, got "
        f'{path}.'
    )
  parts = [file.relative_to(path).parts for file in store.files()]
  outside = [p[0] for p in parts if len(p) == 1]
  if outside:
    raise ValueError(
        "Argument `labels`: with 'folders' each image must be in a subfolder "
        f'of {path}; {outside[0]} is in none.'
    )
  names = sorted({p[0] for p in parts})
  numbers = {name: i for i, name in enumerate(names)}
  return np.array([numbers[p[0]] for p in parts], np.int64), names


def _of_file(path):
  """Whole numbers `[N]` of a file."""
  try:
    values = np.load(path) if path.suffix == '.npy' else _of_idx(path)
  except (OSError, EOFError, ValueError, zlib.error) as e:
    raise ValueError(f'Argument `labels`: no labels in {path} ({e})') from e
  if values.ndim != 1 or values.dtype.kind not in 'iu' or not len(values):
    raise ValueError(
        f'Argument `labels`: {path} must hold whole numbers [N], got '
        f'{values.dtype} {list(values.shape)}.'
    )
  return values.astype(np.int64)


def _of_idx(path):
  opened = gzip.open(path) if path.suffix == '.gz' else path.open('rb')
  with opened as f:
    data = f.read()
  magic = int.from_bytes(data[:4], 'big')
  if magic != _IDX_MAGIC:
    raise ValueError(
        f'magic number {magic:#010x}, that of labels is {_IDX_MAGIC:#010x}'
    )
  count = int.from_bytes(data[4:_IDX_HEADER], 'big')
  if len(data) != _IDX_HEADER + count:
    raise ValueError(
        f'{len(data) - _IDX_HEADER} bytes for {count} labels'
    )
  return np.frombuffer(data, np.uint8, offset=_IDX_HEADER)
