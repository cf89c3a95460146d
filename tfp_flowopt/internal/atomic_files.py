"""Files of a run that are never left half-written."""

import contextlib
import json
import os
import pathlib
import warnings

__all__ = [
    'CHECKPOINTS',
    'TwiceKept',
    'atomic_path',
    'read_json',
    'write_json',
]

# Directory of the latest checkpoints, in that of the run.
CHECKPOINTS = 'checkpoints'


@contextlib.contextmanager
def atomic_path(path):
  """Context of a temporary path that replaces `path` when all went well.

  `path` holds the old content or the new, also after `kill -9`.
  """
  path = pathlib.Path(path)
  # The suffix stays last: writers of pictures choose the format by it.
  temporary = path.with_name(f'.tmp-{path.name}')
  try:
    yield temporary
    with temporary.open('rb') as f:
      os.fsync(f.fileno())
    temporary.replace(path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def write_json(path, value):
  """Writes `value` as readable JSON, atomically."""
  with atomic_path(path) as temporary:
    temporary.write_text(_text(value), encoding='utf-8')


def _text(value):
  return json.dumps(value, indent=2) + '\n'


def read_json(path, is_whole=lambda value: isinstance(value, dict)):
  """The value of a JSON file; `None` if it is lost, or torn (it warns)."""
  path = pathlib.Path(path)
  try:
    value = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    return None
  except ValueError:  # also what is no UTF-8
    value = None
  if value is None or not is_whole(value):
    warnings.warn(f'{path} is damaged; it is ignored.', stacklevel=2)
    return None
  return value


class TwiceKept:
  """A JSON file of a run, and a copy of it beside the run's checkpoints."""

  def __init__(self, workdir, name, is_whole):
    workdir = pathlib.Path(workdir)
    self._paths = workdir / name, workdir / CHECKPOINTS / name
    self._is_whole = is_whole

  def read(self):
    """The value of the file, or else of its copy; `None` without either."""
    path, copy = self._paths
    value = read_json(path, self._is_whole)
    if value is None:
      value = read_json(copy, self._is_whole)
      if value is not None:
        warnings.warn(
            f'{path} is missing or damaged; its copy, {copy}, takes its place.',
            stacklevel=2,
        )
    return value

  def write(self, value):
    """Writes the files that do not hold `value` already, the copy first."""
    for path in reversed(self._paths):
      try:
        if path.read_bytes() == _text(value).encode():
          continue
      except OSError:
        pass
      path.parent.mkdir(parents=True, exist_ok=True)
      write_json(path, value)

  def remove(self):
    """Deletes both files, if they are there."""
    for path in self._paths:
      path.unlink(missing_ok=True)
