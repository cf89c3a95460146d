"""Crops of photographs, for models that run in processes of their own."""

import numpy as np
from sklearn import datasets

import tfp_flowopt as fo

__all__ = ['random_crops', 'write_crops', 'write_split_crops']


def write_crops(path, size, count=64):
  """Writes random crops of two photographs.

  Args:
    path: .npy file to write, uint8 `[count, size, size, 3]`.
    size: Side of the crops, at most 427.
    count: Number of crops.
  """
  rng = np.random.default_rng(0)
  photographs = datasets.load_sample_images().images
  np.save(path, random_crops(photographs, size, count, rng))


def write_split_crops(path, size, num_train, num_held_out):
  """Writes crops to train on, and crops of other parts that are held out.

  Args:
    path: .npz file to write: uint8 `train` and `held_out`, each
      `[N, size, size, 3]`.
    size: Side of the crops.
    num_train: Number of crops of the left three quarters of the photographs.
    num_held_out: Number of crops of the right-hand quarters.
  """
  rng = np.random.default_rng(0)
  left, right = fo.training.split_columns(
      datasets.load_sample_images().images
  )
  np.savez(
      path,
      train=random_crops(left, size, num_train, rng),
      held_out=random_crops(right, size, num_held_out, rng),
  )


def random_crops(photographs, size, count, rng):
  """Random crops, from each photograph in turn.

  Args:
    photographs: List of arrays `[H, W, C]`.
    size: Side of the crops, at most the smallest side of a photograph.
    count: Number of crops.
    rng: `np.random.Generator`.

  Returns:
    Array `[count, size, size, C]`.
  """
  crops = []
  for i in range(count):
    photograph = photographs[i % len(photographs)]
    row, column = (
        rng.integers(0, n - size + 1) for n in photograph.shape[:2]
    )
    crops.append(photograph[row : row + size, column : column + size])
  return np.stack(crops)
