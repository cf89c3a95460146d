"""Squares out of an image that is in memory."""

import numpy as np

from tfp_flowopt.internal import arguments

__all__ = ['image_tiles', 'square_corners']


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
    ValueError: If `mode` is another one, or the image has another shape or is
      too small.
  """
  image = np.asarray(image)
  size = arguments.check_int('size', size, least=1)
  mode = arguments.check_choice('mode', mode, ('tile', 'center', 'random'))
  if image.ndim != 3 or min(image.shape[:2]) < size:
    raise ValueError(
        f'Argument `image` must have shape [H, W, C] with sides of at least '
        f'{size}, got {list(image.shape)}.'
    )
  if mode == 'random':
    num = arguments.check_int('num', num, least=1)
    rng = np.random.default_rng(seed)
    sides = np.array(image.shape[:2])
    corners = rng.integers(sides - size + 1, size=[num, 2])
  else:
    corners = square_corners(*image.shape[:2], size, mode)
  return np.stack([image[i : i + size, j : j + size] for i, j in corners])


def square_corners(height, width, size, mode):
  """Where squares of an image begin.

  Args:
    height: Of the image, at least `size`.
    width: The same.
    size: Side of the squares.
    mode: `'tile'` or `'center'`, as in `image_tiles`.

  Returns:
    List of pairs of the first row and the first column.
  """
  rows, columns = height - size, width - size
  if mode == 'center':
    return [(rows // 2, columns // 2)]
  return [
      (top, left)
      for top in range((rows % size) // 2, rows + 1, size)
      for left in range((columns % size) // 2, columns + 1, size)
  ]
