"""The state of a run of `fit` on disk: checkpoints and history."""

import math
import pathlib

from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import checkpoints
from tfp_flowopt.training import replicas as replicas_lib
from tfp_flowopt.training import run_settings

__all__ = ['FitFiles']

_HISTORY = checkpoints.MAKERS['fit']


class FitFiles:
  """Checkpoints, and what `FitResult.history` has, in a working directory.

  Attributes:
    found: Whether there was a run.
  """

  def __init__(self, workdir, state, best):
    """Takes the `TrainState` and `BestWeights`; writes nothing."""
    self._workdir = pathlib.Path(workdir)
    self._checkpoints = checkpoints.RunCheckpoints(
        self._workdir,
        replicas_lib.Replicas(),
        2,
        {**state.to_save, 'best': best, 'schedule': state.schedule.scale},
    )
    self._file = atomic_files.TwiceKept(self._workdir, _HISTORY, _is_history)
    self.found = bool(self._checkpoints.steps)

  def resume(self, settings, is_compared=lambda key: True):
    """Restores the newest checkpoint; the rows of the history up to its step.

    An `OtherRunError` if the run was started with other `settings`, of those
    whose names are compared.
    """
    kept = self._file.read()
    if kept is None:
      checkpoints.warn_of_lost(
          self._workdir / _HISTORY, 'its history begins anew'
      )
      kept = {'history': []}
    before = kept.get('settings', {})  # which early versions did not keep
    if before:
      before = {key: before[key] for key in before if is_compared(key)}
      run_settings.check_same_run(before, settings, self._workdir)
    self._checkpoints.restore_newest()
    step = self._checkpoints.saved_step
    # JSON has no NaN.
    return [
        {k: math.nan if v is None else v for k, v in row.items()}
        for row in kept['history']
        if row['step'] <= step
    ]

  def save(self, settings, history):
    """Writes the history, and a checkpoint after it."""
    rows = [
        {k: v if math.isfinite(v) else None for k, v in row.items()}
        for row in history
    ]
    with checkpoints.writing(self._workdir):
      self._file.write({'settings': settings, 'history': rows})
      self._checkpoints.save()


def _is_history(value):
  """Whether `value` is what `FitFiles.save` writes."""
  if not isinstance(value, dict) or not isinstance(value.get('history'), list):
    return False
  return isinstance(value.get('settings', {}), dict) and all(
      isinstance(row, dict)
      and {'step', 'seconds', 'train', 'validation'} <= row.keys()
      for row in value['history']
  )
