"""Event files, which TensorBoard reads."""

import os
import pathlib
import re
import socket
import time

import tensorflow as tf

__all__ = ['EventFile', 'has_event_files']

# Of the layout of event files, with which TensorBoard obeys `SessionLog`s.
_VERSION = 'brain.Event:2'
_NAME = re.compile(r'events\.out\.tfevents\.(\d+)\.')


class EventFile:
  """A new event file of one run (a directory), behind those it has.

  Written directly, a record for each event: `tf.summary.scalar` and `image`
  need the tensorboard package, `tf.summary.write` takes forty times as long,
  and neither can say where a resumed run takes over. There is no thread.
  """

  def __init__(self, directory, first_step):
    """Starts a file.

    Args:
      directory: Of the run; made if it is missing.
      first_step: Python `int`: events of this and later steps in older files of
        the run are superseded. TensorBoard forgets them.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Files are read in the order of their names: whatever the clock says, this
    # one comes last.
    number = max(int(time.time()), 1 + max(_numbers(directory), default=0))
    self._path = directory / (
        f'events.out.tfevents.{number:010d}.{socket.gethostname()}.{os.getpid()}'
    )
    self._writer = tf.io.TFRecordWriter(str(self._path))
    self._write(file_version=_VERSION)
    # TensorBoard takes the first START of a run for its beginning, and each
    # later one for a restart at its step.
    log = tf.compat.v1.SessionLog
    self._write(step=first_step, session_log=log(status=log.START))
    self.flush()

  def write(self, step, values):
    """Writes one event.

    Args:
      step: Python `int`.
      values: List of `tf.compat.v1.Summary.Value`.
    """
    self._write(step=step, summary=tf.compat.v1.Summary(value=values))

  def _write(self, **fields):
    event = tf.compat.v1.Event(wall_time=time.time(), **fields)
    self._writer.write(event.SerializeToString())

  def flush(self):
    """Hands what was written to the operating system."""
    self._writer.flush()

  def sync(self):
    """Flushes, down to the disk."""
    self.flush()
    with self._path.open('rb') as f:
      os.fsync(f.fileno())

  def close(self):
    """Flushes and closes the file."""
    self.sync()
    self._writer.close()


def has_event_files(directory):
  """Whether there are event files in a directory (a `pathlib.Path`)."""
  return bool(_numbers(directory))


def _numbers(directory):
  """The numbers in the names of the event files of a directory."""
  matches = (_NAME.match(path.name) for path in directory.iterdir())
  return [int(match[1]) for match in matches if match]
