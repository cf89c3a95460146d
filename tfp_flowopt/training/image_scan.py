"""Looks at every image once, before any work is done with it."""

import hashlib
import os
import pathlib
import typing

from tfp_flowopt.training import files
from tfp_flowopt.training import image_decoding
from tfp_flowopt.training import parallel
from tfp_flowopt.training import progress

__all__ = ['THREADS', 'ImageScan', 'scan']

# Images decoded at once: each may take a hundred megabytes.
THREADS = min(os.cpu_count() or 1, 16)

# Below that it is done before one wonders.
_MANY = 200
# Of the file's layout, and of what is found.
_VERSION = 1


class ImageScan(typing.NamedTuple):
  """What is known of the images of an `ImageStore`, a list entry for each.

  Attributes:
    heights: Heights; 0 of an image that cannot be decoded.
    widths: Widths, likewise.
    hashes: Of the bytes of the encoded image, or of the pixels of an array.
    problems: Why an image cannot be decoded, or `None`.
  """

  heights: list
  widths: list
  hashes: list
  problems: list


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
  known = files.read_json(cache) or {}
  if known.get('version') == _VERSION and known.get('files') == stamps:
    return ImageScan(**known['images'])
  found = _scan(store)
  cache.parent.mkdir(parents=True, exist_ok=True)
  files.write_json(
      cache, {'version': _VERSION, 'files': stamps, 'images': found._asdict()}
  )
  return found


def _scan(store):
  store.verify()
  total = len(store)
  bar = progress.Progress(total, 1) if total >= _MANY else None
  rows = []
  results = parallel.ordered_map(
      lambda i: _inspect(store, i), range(total), THREADS
  )
  for row in results:
    rows.append(row)
    if bar is not None:
      bar.update(len(rows))
  if bar is not None:
    bar.close()
  return ImageScan(*map(list, zip(*rows, strict=True)))


def _inspect(store, index):
  """Height, width, hash and problem of an image."""
  try:
    value = store.read(index)
    image = image_decoding.decode(value) if store.encoded else value
    digest = hashlib.sha256(value).hexdigest()[:16]
    return int(image.shape[0]), int(image.shape[1]), digest, None
  except image_decoding.ERRORS as e:
    return 0, 0, '', image_decoding.describe(e)
