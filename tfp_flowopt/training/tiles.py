"""Squares out of an image that is in memory."""

import numpy as np

__all__ = ['image_tiles']


def image_tiles(image, size, mode='tile', num=1, seed=0):
  """Cuts squares out of an image.

  Args:
    image: Array `[H, W, C]`, both sides at least `size`.
    size: Side of the squares.
    mode: `'tile'`: as many as fit side by side, centred; `'center'`: one;
      `'random'`: `num`, uniformly over all positions.
    num: Number of random squares.
    seed: Of the random squares; an int or a sequence of ints.

  Returns:
    Array `[number, size, size, C]`.

  Raises:
    ValueError: If `mode` is another one.
  """
  rows, columns = (side - size for side in image.shape[:2])
  if mode == 'center':
    corners = [(rows // 2, columns // 2)]
  elif mode == 'random':
    rng = np.random.default_rng(seed)
    corners = rng.integers([rows + 1, columns + 1], size=[num, 2])
  elif mode == 'tile':
    top, left = (rows % size) // 2, (columns % size) // 2
    corners = [
        (i, j)
        for i in range(top, rows + 1, size)
        for j in range(left, columns + 1, size)
    ]
  else:
    raise ValueError(
        "Argument `mode` must be 'tile', 'center' or 'random', got "
        f'{mode!r}.'
    )
  return np.stack([image[i : i + size, j : j + size] for i, j in corners])
