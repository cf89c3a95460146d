"""Steps of brightness at the borders of tiles."""

import numpy as np

__all__ = ['border_contrast', 'tile_sizes']

_TILE_SIZES = (2, 4, 8)
# Steps at borders alone, over none.
_MOST = 1e6


def tile_sizes(event_shape):
  """Those of 2, 4, 8 that have a border in an image `[H, W, C]`."""
  return tuple(k for k in _TILE_SIZES if k < max(event_shape[:2]))


def border_contrast(images, tile_size):
  """Mean absolute step across borders of tiles over that inside of tiles.

  ```none
  mean |x[i] - x[i - 1]|, i a multiple of k  /  the same of all other i
  ```

  of neighbours in rows and in columns together, `k` the `tile_size`. Images
  whose statistics are the same everywhere have 1; natural ones nearly.

  Args:
    images: Array `[N, H, W, C]`, one side longer than a tile.
    tile_size: Python `int`, 2 at least.

  Returns:
    A `float` in 1e-6..1e6.
  """
  sums, counts = np.zeros(2), np.zeros(2)
  for axis in (1, 2):
    steps = np.abs(np.diff(images, axis=axis)).mean(axis=(0, 3 - axis, 3))
    is_border = np.arange(1, len(steps) + 1) % tile_size == 0
    # As many pixels along the border as the other side is long.
    length = images.shape[3 - axis]
    for kind, chosen in enumerate((is_border, ~is_border)):
      sums[kind] += length * steps[chosen].sum()
      counts[kind] += length * chosen.sum()
  across, inside = sums / counts
  if not across and not inside:
    return 1.0
  return float(across / max(inside, across / _MOST) or 1.0 / _MOST)
