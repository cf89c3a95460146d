"""Local patches of images, at several scales."""

import numpy as np

__all__ = ['patch_sets']

_SIDE = 4
_NUM_SCALES = 3
_NUM_PATCHES = 4096
# Patches a dimension, at least, of images that are averaged: whitened by fewer,
# real ones would be nearer to each other than to any others.
_LEAST_EACH = 10
# Variances below this part of the largest are numbers of no patch.
_FLOOR = 1e-6


def patch_sets(sets, rng):
  """Patches of 4x4 pixels of sets of images, whitened by real ones.

  Args:
    sets: Arrays `[N, H, W, C]`, samples first, real images after.
    rng: NumPy's generator, which chooses where the patches are.

  Yields:
    How many pixels are averaged along a side (1, 2, 4, while 4x4 are left, and
    ten patches a dimension), and patches `[M, 16 C]` of each set, in rounds of
    one an image.
  """
  for scale in range(_NUM_SCALES):
    if scale:
      if min(sets[0].shape[1:3]) < 2 * _SIDE:
        return
      sets = [_halved(images) for images in sets]
    num, height, width, _ = sets[0].shape
    places = (height - _SIDE + 1) * (width - _SIDE + 1)
    rounds = min(places, max(1, _NUM_PATCHES // num))
    size = _SIDE**2 * sets[0].shape[-1]
    if scale and num * rounds < _LEAST_EACH * size:
      return
    index = np.tile(np.arange(num), rounds)
    rows = rng.integers(height - _SIDE + 1, size=len(index))
    columns = rng.integers(width - _SIDE + 1, size=len(index))
    patches = [_cut(images, index, rows, columns) for images in sets]
    real = np.concatenate(patches[1:])
    mean = real.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov(real.T, bias=True))
    floor = _FLOOR * variances[-1] or 1.0
    whiten = vectors / np.sqrt(np.maximum(variances, floor))
    yield 2**scale, [(x - mean) @ whiten for x in patches]


def _halved(images):
  """Means of 2x2 pixels; an odd row or column at the end is left out."""
  height, width = (side // 2 * 2 for side in images.shape[1:3])
  x = images[:, :height, :width]
  return 0.25 * (
      x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
  )


def _cut(images, index, rows, columns):
  """Patches `[M, 16 C]` of some images, at a place each."""
  side = np.arange(_SIDE)
  patches = images[
      index[:, np.newaxis, np.newaxis],
      rows[:, np.newaxis, np.newaxis] + side[:, np.newaxis],
      columns[:, np.newaxis, np.newaxis] + side,
  ]
  return patches.reshape([len(index), -1])
