"""Squares of an image: side by side, its centre, or anywhere."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tfp_flowopt.data import orientation as orientation_lib
from tfp_flowopt.internal import arguments

__all__ = ['image_items', 'image_tiles']


def image_tiles(
    image: np.ndarray,
    size: int,
    mode: Literal['tile', 'center', 'random'] = 'tile',
    num: int = 1,
    seed: int | Sequence[int] = 0,
) -> np.ndarray:
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
    corners = _square_corners(image.shape[0], image.shape[1], size, mode)
  return np.stack([image[i : i + size, j : j + size] for i, j in corners])


def image_items(source, image, size, crop):
  """Squares to be cut out of a `ScannedImage` as it is stored, not turned yet.

  A list of `[source, top, left, rows, columns]`: the first row and column of a
  square, and at how many of each it may begin if `crop` is `'random'`.
  """
  shape, orientation = (image.height, image.width), image.orientation
  last = [side - size for side in shape]
  positions = 1, 1
  if crop != 'tile':
    positions = orientation_lib.shape_as_shown(
        last[0] + 1, last[1] + 1, orientation
    )
  corners = (
      orientation_lib.corner_as_stored(*corner, *last, orientation)
      for corner in _square_corners(*shape, size, crop)
  )
  return [[source, *corner, *positions] for corner in corners]


def _square_corners(height, width, size, mode):
  """First rows and columns of squares, one in the centre but for `'tile'`."""
  rows, columns = height - size, width - size
  if mode != 'tile':
    return [(rows // 2, columns // 2)]
  return [
      (top, left)
      for top in range((rows % size) // 2, rows + 1, size)
      for left in range((columns % size) // 2, columns + 1, size)
  ]
