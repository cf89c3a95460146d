"""The progress bar of training."""

import math

from tfp_flowopt.internal import progress

__all__ = ['LossProgress']


class LossProgress:
  """Shows the loss as a running mean, and its gain over a linear flow.

  The gain is positive where the flow is better, as in the report.
  """

  def __init__(self, total, images_per_step, optimum, quiet):
    """Creates the bar.

    Args:
      total: Number of steps of the run.
      images_per_step: Images in a step.
      optimum: Bits/dim of the best linear flow on training images; `None` if
        that is not known.
      quiet: Whether to show nothing: one process of many does.
    """
    self._bar = None if quiet else progress.Progress(total, images_per_step)
    self._optimum = optimum
    # Single batches vary more than they improve.
    self._shown = math.nan

  def update(self, done, loss):
    """Shows the state after a step.

    Args:
      done: Steps done.
      loss: Bits/dim of its batch, may be NaN.
    """
    if math.isfinite(loss):
      first = math.isnan(self._shown)
      self._shown = loss if first else 0.95 * self._shown + 0.05 * loss
    if self._bar is not None:
      numbers = {'bits/dim': self._shown}
      if self._optimum is not None:
        numbers['best linear'] = self._optimum
        numbers['gain'] = self._optimum - self._shown
      self._bar.update(done, **numbers)

  def print(self, text):
    """Prints a line above the bar."""
    if self._bar is not None:
      self._bar.print(text)

  def close(self):
    """Ends the line of the bar."""
    if self._bar is not None:
      self._bar.close()
