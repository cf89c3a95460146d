"""Images and labels of the MNIST family, whole."""

import pathlib

import numpy as np

from tfp_flowopt.training import image_arrays
from tfp_flowopt.training import image_labels

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
      store = image_arrays.open_idx(images)
      values, _ = image_labels.read_labels(labels, store, images)
    except ValueError as e:
      raise SystemExit(f'--data={folder}: {e}') from e
    pairs.append((np.stack([store.read(i) for i in range(len(store))]), values))
  return pairs
