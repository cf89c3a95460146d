"""Signals that ask a run to end."""

import contextlib
import os
import signal
import threading

import tensorflow as tf

__all__ = [
    'OF_WORKERS',
    'StopSignal',
    'Stopped',
    'TrainingInterrupted',
    'WorkerLostError',
    'check',
    'noticing_lost_workers',
]

# The `StopSignal`s for which what is being done now may be left undone.
_leaving: list['StopSignal'] = []

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


class Stopped(BaseException):
  """What was being done is left undone; it can be done again."""


def check():
  """Raises `Stopped` where work can be left, if that is asked for."""
  if any(stop.received for stop in _leaving):
    raise Stopped


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

  `alone`: whether this process may leave work on its own, without others that
  wait for it.

  Attributes:
    received: Whether a signal has come.
  """

  def __init__(self, alone=True):
    self.received = False
    self._alone = alone
    self._raises = False
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

  @contextlib.contextmanager
  def leaving(self):
    """Context in which `check` raises `Stopped` after a signal."""
    if not self._alone:
      yield
      return
    _leaving.append(self)
    try:
      yield
    finally:
      _leaving.remove(self)

  @contextlib.contextmanager
  def at_once(self, step):
    """Context that a signal ends wherever it is, as `TrainingInterrupted`.

    Of what changes no state, or none that is not saved already, with `step`.
    """
    try:
      if self._alone:
        with self.leaving():
          check()
          self._raises = True
          yield
      else:
        yield
    except BaseException as e:
      # TensorFlow may have made another error of it.
      if self._alone and self.received:
        raise TrainingInterrupted(step) from e
      raise
    finally:
      self._raises = False

  def _note(self, number, frame):
    self.received = True
    if number == signal.SIGINT:
      signal.signal(number, self._before[number])
      # Not `print`: what it interrupts may be writing.
      os.write(2, b'\nStopping after this step. Ctrl-C again: at once.\n')
    if self._raises:
      self._raises = False  # not while it is being left
      raise Stopped
