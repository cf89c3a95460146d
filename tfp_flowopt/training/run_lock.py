"""The right to write to the directory of a run, one process at a time."""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import socket
import warnings
import weakref

from tfp_flowopt.training import checkpoints

try:
  import fcntl
except ImportError:  # not on Windows
  fcntl = None  # type: ignore[assignment]

__all__ = ['RunLock', 'WorkdirInUseError', 'locked']

# What file systems answer that have no locks; some of networks are such.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_HELD: weakref.WeakSet = weakref.WeakSet()


class WorkdirInUseError(checkpoints.WorkdirError):
  """Another process, or another `Trainer`, writes to the working directory."""


class RunLock:
  """A lock on a directory that the system takes back, however a process ends.

  It is on the file `lock.json`, which says who holds it, and is gone when
  nobody does. After `kill -9` the file stays, and locks nothing.
  """

  def __init__(self, workdir):
    self._workdir = workdir
    self._path = pathlib.Path(workdir) / 'lock.json'
    self._descriptor = None

  @property
  def held(self):
    """Whether this object holds the lock."""
    return self._descriptor is not None

  def acquire(self):
    """Takes it, or raises a `WorkdirInUseError` that says who holds it."""
    while True:
      descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
      try:
        # Else it was deleted in the meantime.
        if not self._locks(descriptor) or self._is_at_path(descriptor):
          break
      except BaseException:
        os.close(descriptor)
        raise
      os.close(descriptor)
    self._descriptor = descriptor
    _HELD.add(self)
    holder = {
        'host': socket.gethostname(),
        'process': os.getpid(),
        'since': datetime.datetime.now().astimezone().isoformat(
            timespec='seconds'
        ),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)

  def release(self):
    """Gives the lock back, if it is held."""
    if self._descriptor is None:
      return
    # Still locked: who opened the file meanwhile will see that it is gone.
    self._path.unlink(missing_ok=True)
    self.close()

  def close(self):
    """Closes the file; the lock is gone when all processes did."""
    os.close(self._descriptor)
    self._descriptor = None
    _HELD.discard(self)

  def _locks(self, descriptor):
    """Whether there are locks; raises if another one has this one."""
    try:
      if fcntl is None:
        raise OSError(errno.ENOSYS, 'no locks')
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as e:
      raise WorkdirInUseError(
          f'Argument `workdir`: {self._workdir} is in use: {self._holder()}. '
          'Wait for that to end, or end it (the lock goes with the process, '
          'however it ends), or use another directory.'
      ) from e
    except OSError as e:
      if e.errno not in _NO_LOCKS:
        raise
      warnings.warn(
          f'The file system of {self._workdir} has no locks ({e}): nothing '
          'notices if another process writes there, too.',
          stacklevel=2,
      )
      return False
    return True

  def _is_at_path(self, descriptor):
    try:
      return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
    except FileNotFoundError:
      return False

  def _holder(self):
    """Who holds the lock, in words."""
    try:
      holder = json.loads(self._path.read_text(encoding='utf-8'))
      return (
          f'process {holder["process"]} on {holder["host"]} has been writing '
          f'there since {holder["since"]}'
      )
    except (OSError, ValueError, TypeError, KeyError):
      return 'another process writes there'  # it has not said yet


@contextlib.contextmanager
def locked(workdir):
  """Context with the lock on a directory, which is made if it is missing."""
  lock = RunLock(workdir)
  with checkpoints.writing(workdir):
    pathlib.Path(workdir).mkdir(parents=True, exist_ok=True)
    lock.acquire()
  try:
    yield
  finally:
    lock.release()


def _close_in_child():
  """Closes what a fork has copied: it would hold a lock of a dead parent."""
  for lock in list(_HELD):
    lock.close()


if hasattr(os, 'register_at_fork'):
  os.register_at_fork(after_in_child=_close_in_child)
