"""Signals that ask a run to end."""

import contextlib
import os
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

  def __init__(self, step: int) -> None:
    super().__init__(
        f'Stopped after {step} steps, which are saved; start the run again to '
        'go on.'
    )
    self.step = step

  def __reduce__(self):
    # By default of its message, which is no step.
    return type(self), (self.step,)


class WorkerLostError(RuntimeError):
  """Another worker ended or does not answer; what is saved is untouched."""


@contextlib.contextmanager
def noticing_lost_workers(num_processes):
  """Context in which an error of another worker is a `WorkerLostError`.

  TensorFlow's workers listen to each other, and abort what waits for one that
  is gone, within seconds.
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
  """Context in which SIGTERM and SIGINT are noted, and end nothing.

  Schedulers send SIGTERM some seconds before they kill; SIGINT is Ctrl-C, and a
  second one interrupts at once. A signal that is ignored stays so: shells start
  jobs in the background with SIGINT ignored. In threads other than the main
  one, where Python has no signals, nothing is changed.

  Attributes:
    received: Whether a signal has come.
  """

  def __init__(self):
    self.received = False
    self._before = {}

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
          self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, exception_type, exception, traceback):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    self.received = True
    if number == signal.SIGINT:
      signal.signal(number, self._before[number])
      # Not `print`: what it interrupts may be writing.
      os.write(2, b'\nStopping after this step. Ctrl-C again: at once.\n')
