"""Going back to a good state when a run diverges."""

from tfp_flowopt.internal import atomic_files

__all__ = ['DivergedError', 'Rollbacks']


class DivergedError(RuntimeError):
  """Training diverged again and again; its checkpoints are finite."""


class Rollbacks:
  """How often a run went back, in `rollbacks.json`: each halves the rate.

  The file is written when the run is back. A run that is killed in between goes
  on as if it had not diverged yet, and will again.
  """

  def __init__(self, workdir, config, replicas):
    self._file = atomic_files.TwiceKept(workdir, 'rollbacks.json', _is_events)
    self._config = config
    self._replicas = replicas
    self._events = self._file.read() or []
    # Number of skipped steps in a row.
    self.streak = 0

  @property
  def scale(self):
    """What the learning rate is to be multiplied by."""
    return 0.5 ** len(self._events)

  def count(self, skipped):
    """Notes whether a step was skipped; whether it is time to go back."""
    self.streak = self.streak + 1 if skipped else 0
    return self.streak >= self._config.max_skipped

  def check(self, step):
    """Raises a `DivergedError` if the run went back too often by this step."""
    if len(self._events) >= self._config.max_rollbacks:
      raise DivergedError(
          f'Loss or gradient of {self.streak} steps up to step {step} was not '
          f'finite, after {len(self._events)} roll-backs that each halved the '
          f'learning rate, to {self._config.learning_rate * self.scale:.2g}. '
          'The checkpoints are finite. Look at the data and the learning rate, '
          'or give the flow a `lipschitz_budget`.'
      )

  def record(self, step, to_step):
    """Notes that the run went back from a step to that of a checkpoint."""
    self._events.append({
        'step': step,
        'to_step': to_step,
        'learning_rate_scale': 0.5 * self.scale,
    })
    self.streak = 0
    if self._replicas.is_chief:
      self._file.write(self._events)

  def repair(self):
    """Writes the file again where it is lost or torn."""
    if self._events and self._replicas.is_chief:
      self._file.write(self._events)

  def forget(self):
    """Begins anew, for a run that has not begun."""
    self._events = []
    if self._replicas.is_chief:
      self._file.remove()


def _is_events(value):
  """Whether `value` is what `record` writes."""
  return isinstance(value, list) and all(
      isinstance(event, dict) and 'to_step' in event for event in value
  )
