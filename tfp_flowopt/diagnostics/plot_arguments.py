"""Arguments of pictures: checks of what is to be drawn."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_flowopt.internal import arguments

__all__ = ['array', 'column_names', 'curve', 'image_rows', 'named_arrays']


def array(
    name: str, values: Any, wanted: str, accepts: Callable[..., Any]
) -> np.ndarray:
  """An array of numbers, or an error that says what is wanted."""
  try:
    array = np.asarray(values, np.float64)
  except (TypeError, ValueError):
    array = None
  if array is None or not array.size or not accepts(array):
    raise ValueError(f'Argument `{name}` must be {wanted}, got {values!r}.')
  return array


def curve(name, pairs):
  """Steps, in their order, and values of a curve."""
  pairs = array(
      name,
      pairs,
      'pairs (step, bits/dim), finite, and one of them at least',
      lambda x: x.ndim == 2 and x.shape[1] == 2 and np.isfinite(x).all(),
  )
  return pairs[np.argsort(pairs[:, 0], kind='stable')].T


def named_arrays(
    name: str, values: Any, wanted: str, accepts: Callable[..., Any]
) -> dict[str, np.ndarray]:
  """A dictionary from names to arrays of numbers."""
  wanted = f'a dictionary from names to {wanted}'
  arguments.check_instance(name, values, dict, wanted)
  if not values:
    raise ValueError(f'Argument `{name}` must be {wanted}, got none.')
  return {k: array(name, v, wanted, accepts) for k, v in values.items()}


def column_names(name, columns, number):
  """A list of as many strings as there are columns; of none if it is `None`."""
  if columns is None:
    return []
  if isinstance(columns, str) or not isinstance(columns, Sequence) or (
      [type(column) for column in columns] != [str] * number
  ):
    raise ValueError(
        f'Argument `{name}` must be {number} strings, got {columns!r}.'
    )
  return list(columns)


def image_rows(name, rows):
  """Names and images of rows, from pairs of both."""
  wanted = (
      f'Argument `{name}` must be pairs (name, images [N, H, W, C]), of one '
      'size, C 1 or 3'
  )
  try:
    names, rows = zip(*rows, strict=True)
    rows = [np.asarray(images) for images in rows]
  except (TypeError, ValueError) as e:
    raise ValueError(f'{wanted}, got {rows!r}.') from e
  if any(
      images.dtype.kind not in 'ui'
      or (images.size and not 0 <= images.min() <= images.max() <= 255)
      for images in rows
  ):
    raise ValueError(
        f'{wanted}, and of uint8 (`flows.quantize` makes them so), got '
        + ', '.join(map(_range, rows))
    )
  shapes = [images.shape for images in rows]
  if any(
      len(shape) != 4 or 0 in shape or shape[1:] != shapes[0][1:]
      for shape in shapes
  ) or shapes[0][-1] not in (1, 3):
    raise ValueError(f'{wanted}, got shapes {shapes}.')
  return names, rows


def _range(images):
  """Type and values of images, in words."""
  values = f' from {images.min()} to {images.max()}' if images.size else ''
  return f'{images.dtype}{values}'
