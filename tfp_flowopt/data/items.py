"""The squares of an image that are items of a data set."""

from tfp_flowopt.data import orientation as orientation_lib
from tfp_flowopt.data import tiles

__all__ = ['image_items']


def image_items(source, scan, size, crop):
  """Squares to be cut out of an image as it is stored, before it is turned.

  Args:
    source: Index of the image.
    scan: `ImageScan`.
    size: Side of the squares.
    crop: `'random'`, `'center'` or `'tile'`, see `ImageDataset`.

  Returns:
    List of lists `[source, top, left, rows, columns]`: the first row and column
    of a square, and at how many of each it may begin if `crop` is `'random'`.
  """
  shape = scan.heights[source], scan.widths[source]
  orientation = scan.orientations[source]
  last = [side - size for side in shape]
  if crop == 'tile':
    positions = 1, 1
    corners = tiles.square_corners(*shape, size, 'tile')
  else:
    positions = orientation_lib.shape_as_shown(
        last[0] + 1, last[1] + 1, orientation
    )
    corners = tiles.square_corners(*shape, size, 'center')
  return [
      [
          source,
          *orientation_lib.corner_as_stored(*corner, *last, orientation),
          *positions,
      ]
      for corner in corners
  ]
