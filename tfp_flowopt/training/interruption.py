"""Signals that ask a run to end."""

import signal
import threading

__all__ = ['StopSignal', 'TrainingInterrupted']


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
