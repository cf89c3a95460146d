"""Images and labels of the MNIST family, whole."""

import pathlib

import numpy as np

from tfp_flowopt.data import labels as labels_lib
from tfp_flowopt.data.sources import arrays

__all__ = ['load']


def load(folder):
  """Images and labels of the MNIST family.

  Args:
    folder: Of `train-` and `t10k-` files of images and labels.

  Returns:
    Two pairs of images, uint8 `[N, H, W, 1]`, and labels `[N]`.

  Raises:
    SystemExit: If a file is missing or wrong.
  """
  pairs = []
  for part in ('train', 't10k'):
    try:
      (images,) = pathlib.Path(folder).glob(f'{part}-images*ubyte*')
      (labels,) = pathlib.Path(folder).glob(f'{part}-labels*ubyte*')
      store = arrays.open_idx(images)
      values, _ = labels_lib.read_labels(labels, store, images)
    except ValueError as e:
      raise SystemExit(f'--data={folder}: {e}') from e
    pairs.append((np.stack([store.read(i) for i in range(len(store))]), values))
  return pairs
