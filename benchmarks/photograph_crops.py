"""Crops of photographs, for models that run in processes of their own."""

import numpy as np
from sklearn import datasets

__all__ = ['write_crops']


def write_crops(path, size, count=64):
  """Writes random crops of two photographs.

  Args:
    path: .npy file to write, uint8 `[count, size, size, 3]`.
    size: Side of the crops, at most 427.
    count: Number of crops.
  """
  rng = np.random.default_rng(0)
  photographs = datasets.load_sample_images().images
  crops = []
  for i in range(count):
    photograph = photographs[i % len(photographs)]
    row, column = (
        rng.integers(0, n - size + 1) for n in photograph.shape[:2]
    )
    crops.append(photograph[row : row + size, column : column + size])
  np.save(path, np.stack(crops))
