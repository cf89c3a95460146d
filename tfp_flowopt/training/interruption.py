"""Signals that ask a run to end."""

import contextlib
import signal
import threading

import tensorflow as tf

__all__ = [
    'OF_WORKERS',
    'StopSignal',
    'TrainingInterrupted',
    'WorkerLostError',
    'noticing_lost_workers',
]

# What an operation that waits for another worker fails with.
OF_WORKERS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class TrainingInterrupted(Exception):
  """Training was asked to end; its state is saved.

  Attributes:
    step: Number of steps done and saved.
  """

  def __init__(self, step):
    super().__init__(
        f'Stopped after {step} steps, which are saved; start the run again to '
        'go on.'
    )
    self.step = step


class WorkerLostError(RuntimeError):
  """Another worker ended or does not answer; what is saved is untouched."""


@contextlib.contextmanager
def noticing_lost_workers(num_processes):
  """Context in which errors of others are told from one's own.

  TensorFlow's workers listen to each other, and abort what waits for one that
  is gone, within seconds.

  Args:
    num_processes: Number of workers.

  Yields:
    Nothing.

  Raises:
    WorkerLostError: If an operation fails that waits for another worker.
  """
  try:
    yield
  except OF_WORKERS as e:
    if num_processes == 1:
      raise
    raise WorkerLostError(
        'A worker was lost, and training with it. Start all workers again: '
        f'they go on from the latest checkpoint. TensorFlow says: {e}'
    ) from e


class StopSignal:
  """Context in which SIGTERM is noted, and ends nothing.

  Schedulers send it some seconds before they kill. In threads other than the
  main one, where Python has no signals, nothing is changed.

  Attributes:
    received: Whether the signal has come.
  """

  def __init__(self):
    self.received = False

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      self._before = signal.signal(signal.SIGTERM, self._note)
    return self

  def __exit__(self, exception_type, exception, traceback):
    if threading.current_thread() is threading.main_thread():
      signal.signal(signal.SIGTERM, self._before)

  def _note(self, number, frame):
    self.received = True
