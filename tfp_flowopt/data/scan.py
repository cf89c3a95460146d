"""Looks at every image once, before any work is done with it."""

import hashlib
import pathlib
import typing

from tfp_flowopt.data import decoding
from tfp_flowopt.data import orientation as orientation_lib
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import progress

__all__ = ['ScannedImage', 'check_cache', 'scan']

# Below that it is done before one wonders.
_MANY = 200
# Of the file's layout, and of what is found.
_VERSION = 3


class ScannedImage(typing.NamedTuple):
  """What is known of an image.

  Attributes:
    height: Of the upright image; 0 if it cannot be decoded.
    width: Likewise.
    orientation: What turns it upright, see `orientation.turn`.
    hash: Of the bytes of the encoded image, or of the pixels of an array.
    problem: Why it cannot be decoded, or `None`.
  """

  height: int = 0
  width: int = 0
  orientation: int = 0
  hash: str = ''
  problem: str | None = None


def check_cache(path, cache):
  """Refuses a file that would be taken for an image itself."""
  folder, cache = pathlib.Path(str(path)).resolve(), cache.resolve()
  if folder in cache.parents and not cache.name.startswith('.'):
    raise ValueError(
        f'Argument `cache` must not lie in the folder of images {folder}, '
        f'unless its name begins with a dot; got {cache}.'
    )
  if cache.is_dir():
    raise ValueError(f'Argument `cache` must be a file, got {cache}.')


def scan(store, cache=None):
  """A `ScannedImage` for each of a store: decoded, or from a JSON file.

  That, `cache`, is used if names, sizes and times of the files are the same.
  """
  if cache is None:
    return _scan(store)
  cache = pathlib.Path(cache)
  stamps = store.stamps()
  known = atomic_files.read_json(cache) or {}
  if known.get('version') == _VERSION and known.get('files') == stamps:
    return [ScannedImage(*row) for row in known['images']]
  found = _scan(store)
  cache.parent.mkdir(parents=True, exist_ok=True)
  atomic_files.write_json(
      cache, {'version': _VERSION, 'files': stamps, 'images': found}
  )
  return found


def _scan(store):
  store.verify()
  total = len(store)
  found = []
  bar = progress.Progress(total, 1)
  for image in parallel.ordered_map(
      lambda i: _inspect(store, i), range(total), parallel.THREADS
  ):
    found.append(image)
    if total >= _MANY:
      bar.update(len(found))
  bar.close()
  return found


def _inspect(store, index):
  try:
    value, image, orientation = store.decoded(index)
  except decoding.ERRORS as e:
    return ScannedImage(problem=decoding.describe(e))
  height, width = map(int, image.shape[:2])
  digest = hashlib.sha256(value).hexdigest()[:16]
  if orientation != orientation_lib.UPRIGHT:
    # There were versions that showed the same bytes as other pixels.
    digest += f', {orientation}'
  shape = orientation_lib.shape_as_shown(height, width, orientation)
  return ScannedImage(*shape, orientation, digest)
