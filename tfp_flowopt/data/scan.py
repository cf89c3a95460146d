"""Looks at every image once, before any work is done with it."""

import hashlib
import pathlib
import typing

from tfp_flowopt.data import decoding
from tfp_flowopt.data import orientation as orientation_lib
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import progress

__all__ = ['ImageScan', 'check_cache', 'scan']

# Below that it is done before one wonders.
_MANY = 200
# Of the file's layout, and of what is found.
_VERSION = 2


class ImageScan(typing.NamedTuple):
  """What is known of the images of an `ImageStore`, a list entry for each.

  Attributes:
    heights: Heights, of upright images; 0 of an image that cannot be decoded.
    widths: Widths, likewise.
    orientations: What turns a decoded image upright, see `image_orientation`.
    hashes: Of the bytes of the encoded image, or of the pixels of an array.
    problems: Why an image cannot be decoded, or `None`.
  """

  heights: list
  widths: list
  orientations: list
  hashes: list
  problems: list


def check_cache(path, cache):
  """Refuses a file that would itself be taken for an image.

  Args:
    path: `pathlib.Path` of the images.
    cache: `pathlib.Path` of the file.

  Raises:
    ValueError: If it lies in the folder of images.
  """
  folder, cache = path.resolve(), cache.resolve()
  if folder in cache.parents and not cache.name.startswith('.'):
    raise ValueError(
        f'Argument `cache` must not lie in the folder of images {folder}, '
        f'unless its name begins with a dot; got {cache}.'
    )
  if cache.is_dir():
    raise ValueError(f'Argument `cache` must be a file, got {cache}.')


def scan(store, cache=None):
  """Decodes every image.

  Args:
    store: `ImageStore`.
    cache: Path of a JSON file of an earlier scan. It is used if the names,
      sizes and times of the files are still the same, else written.

  Returns:
    `ImageScan`.

  Raises:
    ValueError: If a checksum of the store is wrong.
  """
  if cache is None:
    return _scan(store)
  cache = pathlib.Path(cache)
  stamps = store.stamps()
  known = atomic_files.read_json(cache) or {}
  if known.get('version') == _VERSION and known.get('files') == stamps:
    return ImageScan(**known['images'])
  found = _scan(store)
  cache.parent.mkdir(parents=True, exist_ok=True)
  atomic_files.write_json(
      cache, {'version': _VERSION, 'files': stamps, 'images': found._asdict()}
  )
  return found


def _scan(store):
  store.verify()
  total = len(store)
  bar = progress.Progress(total, 1) if total >= _MANY else None
  rows = []
  results = parallel.ordered_map(
      lambda i: _inspect(store, i), range(total), parallel.THREADS
  )
  for row in results:
    rows.append(row)
    if bar is not None:
      bar.update(len(rows))
  if bar is not None:
    bar.close()
  return ImageScan(*map(list, zip(*rows, strict=True)))


def _inspect(store, index):
  """Height, width, orientation, hash and problem of an image."""
  try:
    value = store.read(index)
    image, orientation = value, orientation_lib.UPRIGHT
    if store.encoded:
      image, orientation = decoding.decode_checked(value)
  except decoding.ERRORS as e:
    return 0, 0, 0, '', decoding.describe(e)
  height, width = map(int, image.shape[:2])
  digest = hashlib.sha256(value).hexdigest()[:16]
  if orientation != orientation_lib.UPRIGHT:
    # There were versions that showed the same bytes as other pixels.
    digest += f', {orientation}'
  shape = orientation_lib.shape_as_shown(height, width, orientation)
  return *shape, orientation, digest, None
