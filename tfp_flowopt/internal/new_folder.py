"""Folders that are there as a whole, or not at all."""

import contextlib
import os
import pathlib
import tempfile

__all__ = ['new_folder', 'text_of']


@contextlib.contextmanager
def new_folder(path, last):
  """Context of an unfinished folder that becomes `path` if all goes well.

  Nothing is left after an error, and nothing that is there is changed, whatever
  its name is. Two at once for one path do not mix: one of them is an error.

  `path` must not exist or be empty; it may be a link to such a folder. Missing
  parents are made. `last` is the file in it without which no reader takes it
  for whole. The context gives the `pathlib.Path` of the unfinished folder,
  which does not exist yet.
  """
  target = _checked(path)
  made = [parent for parent in target.parents if not parent.exists()]
  for parent in reversed(made):
    parent.mkdir(exist_ok=True)
  # An empty folder stays the one that it is: it may be mounted, or be where a
  # program stands, or lie where nothing else can be written.
  into = target.is_dir()
  try:
    with tempfile.TemporaryDirectory(
        prefix='.tmp-', dir=target if into else target.parent
    ) as temporary:
      # Made, and only then looked for others, as those do: no two go on.
      _check_free(target, path, temporary)
      unfinished = pathlib.Path(temporary) / target.name
      yield unfinished
      _check_free(target, path, temporary)
      if into:
        # What is needed to read it comes last.
        for entry in sorted(unfinished.iterdir(), key=lambda e: e.name == last):
          entry.rename(target / entry.name)
        return
      try:
        unfinished.rename(target)
      except OSError as e:
        if target.exists():  # since the last look
          raise _occupied(path) from e
        raise
  except BaseException:
    for parent in made:
      # Another program may use it by now.
      with contextlib.suppress(OSError):
        parent.rmdir()
    raise


def text_of(path):
  """A path of the file system as a string; else an error for `path`."""
  try:
    text = os.fspath(path)
  except TypeError as e:
    raise TypeError(f'Argument `path` must be a path, got {path!r}.') from e
  if not isinstance(text, str) or not text or '://' in text:
    raise ValueError(
        f'Argument `path` must be a path of the file system, got {path!r}.'
    )
  return text


def _checked(path):
  """Where a path leads to; an error unless a folder can be made there."""
  text = text_of(path)
  broken = ValueError(f'Argument `path`: {path} is a broken link.')
  try:
    target = pathlib.Path(text).resolve()
  except (OSError, RuntimeError) as e:
    raise broken from e
  if target.is_symlink():  # a link to itself, since Python 3.13
    raise broken
  _check_free(target, path)
  return target


def _check_free(target, path, temporary=''):
  """A `ValueError` if anything but `temporary` is at, or in, `target`."""
  if target.exists() and (
      not target.is_dir()
      or any(entry != pathlib.Path(temporary) for entry in target.iterdir())
  ):
    raise _occupied(path)


def _occupied(path):
  return ValueError(f'Argument `path`: {path} exists and is not empty.')
