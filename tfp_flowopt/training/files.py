"""Files of a run that are never left half-written."""

import json
import os
import pathlib

__all__ = ['atomic_path', 'read_json', 'write_json']


class atomic_path:
  """Context of a temporary path that replaces `path` when all went well.

  `path` holds the old content or the new, also after `kill -9`.
  """

  def __init__(self, path):
    self._path = pathlib.Path(path)
    # The suffix stays last: writers of pictures choose the format by it.
    self._temporary = self._path.with_name(f'.tmp-{self._path.name}')

  def __enter__(self):
    return self._temporary

  def __exit__(self, exception_type, exception, traceback):
    if exception_type is None:
      with self._temporary.open('rb') as f:
        os.fsync(f.fileno())
      self._temporary.replace(self._path)
    else:
      self._temporary.unlink(missing_ok=True)


def write_json(path, value):
  """Writes `value` as readable JSON, atomically."""
  with atomic_path(path) as temporary:
    temporary.write_text(json.dumps(value, indent=2) + '\n', encoding='utf-8')


def read_json(path):
  """Reads a JSON file; `None` if there is none."""
  path = pathlib.Path(path)
  if not path.exists():
    return None
  return json.loads(path.read_text(encoding='utf-8'))
