"""The state of a run on disk: log, checkpoints, and how it went back."""

import contextlib
import pathlib
import warnings

import numpy as np

from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import checkpoints
from tfp_flowopt.training import interruption
from tfp_flowopt.training import rollbacks
from tfp_flowopt.training import run_lock
from tfp_flowopt.training import run_settings
from tfp_flowopt.training import tensorboard
from tfp_flowopt.training import training_log

__all__ = ['RunFiles']

_COLUMNS = (
    'gradient_norm',
    'skipped_steps',
    'reconstruction_error',
    'fallbacks',
    'seconds',
)


class RunFiles:
  """Log and checkpoints that always belong together, in a working directory.

  Rows are on disk before the checkpoint that follows them, and those after the
  checkpoint that is restored are dropped: no step is missing or there twice.
  The chief writes; all processes call the same methods, those that write in
  the context of `lock`. Of files that are lost or torn, but for checkpoints, a
  run is mended as it goes on.

  `key` is what losses are called in names of columns.

  Attributes:
    workdir: `pathlib.Path` of the directory.
    rollbacks: `Rollbacks`.
    found: Whether there was a run.
    board: The `TensorBoardWriter` during training; `None` if nobody wants it.
    other_weights: A sentence, if the weights are not the run's any more.
  """

  def __init__(self, workdir, state, config, replicas, key='bits_per_dim'):
    self._key = key
    self._names = f'train_{key}', f'held_out_{key}'
    self.workdir = pathlib.Path(workdir)
    self.board = None
    self._state = state
    self._config = config
    self._replicas = replicas
    self._start_values = None
    # Rows up to this step were given to the log.
    self._next_row = 0
    self.other_weights = None
    self._log = training_log.TrainingLog(
        self.workdir / 'training_log.csv',
        ('step', *self._names, *_COLUMNS),
    )
    self._start_file = atomic_files.TwiceKept(
        self.workdir, checkpoints.MAKERS['Trainer'], run_settings.is_start
    )
    with self.writing():
      self.workdir.mkdir(parents=True, exist_ok=True)
      self._checkpoints = checkpoints.RunCheckpoints(
          self.workdir,
          replicas,
          config.checkpoints_to_keep,
          state.to_save,
          self._names[1],
      )
      self.rollbacks = rollbacks.Rollbacks(self.workdir, config, replicas)
    self._best = self._checkpoints.best_value(
        lambda: training_log.column(self._log.rows(), self._names[1])
    )
    self._lock = run_lock.RunLock(self.workdir)
    self._locked = False
    self._seen = self._on_disk()
    self.found = bool(self._checkpoints.steps)
    if not self.found and self._checkpoints.has_best:
      raise ValueError(
          f'Argument `workdir`: {self.workdir} has the best checkpoint of a '
          'run, but none to resume from. Use another directory, or move '
          f'{self.workdir / "best"} away to begin anew.'
      )
    state.schedule.scale.assign(self.rollbacks.scale)
    self._check_shared([self.found, self.rollbacks.scale, self._best])

  @property
  def _step(self):
    """Number of steps done."""
    return int(self._state.step.numpy())

  def writing(self):
    """Context in which errors of writing say what is safe."""
    return checkpoints.writing(self.workdir)

  @contextlib.contextmanager
  def lock(self):
    """Context in which nobody else writes; inside of itself it does nothing.

    If another process writes, or went on with the run, all processes raise a
    `WorkdirInUseError`; if the chief cannot write, a `WorkdirError`.
    """
    if self._locked:
      yield
      return
    try:
      self._acquire_lock()
      self._locked = True
      try:
        yield
      finally:
        self._locked = False
        self._seen = self._on_disk()
    finally:
      self._lock.release()

  def _acquire_lock(self):
    """Takes the lock in the chief; its errors are those of all processes."""
    problem = None
    if self._replicas.is_chief:
      try:
        with self.writing():
          self._lock.acquire()
        if self._on_disk() != self._seen:
          problem = run_lock.WorkdirInUseError(
              'Argument `workdir`: another process went on with the run in '
              f'{self.workdir} after this `Trainer` was made. Make a new one: '
              'it goes on from the latest checkpoint.'
          )
      except checkpoints.WorkdirError as e:
        problem = e
    with interruption.noticing_lost_workers(self._replicas.num_processes):
      (failed,) = self._replicas.broadcast([problem is not None])
    if failed:
      raise problem or run_lock.WorkdirInUseError(
          f'Argument `workdir`: the chief cannot write to {self.workdir}, and '
          'says why.'
      )

  def _on_disk(self):
    """What changes when a run goes on: newest step, and last roll-back."""
    path = self.workdir / 'rollbacks.json'
    return (
        max(self._checkpoints.steps, default=None),
        path.stat().st_mtime_ns if path.exists() else None,
    )

  def start(self, values):
    """Begins a run, of which `values` are known before training."""
    self._start_values = values
    if self._replicas.is_chief:
      with self.writing():
        # Of an earlier run, whose checkpoints were deleted.
        self.rollbacks.forget()
        self._start_file.write(values)
    self._state.schedule.scale.assign(self.rollbacks.scale)
    self.save()
    self._check_shared([(self.workdir / 'start.json').exists()])

  def resume(self, settings):
    """Goes on with a run from its newest checkpoint; what `start` was given.

    With the settings that it has not heard of. An `OtherRunError` if others are
    not those given now.
    """
    values = self._start_file.read()
    if values is None:
      checkpoints.warn_of_lost(
          self.workdir / 'start.json',
          'what was predicted and measured at its start is lost',
      )
      values = {'settings': settings, 'predicted': None, 'measured': None}
    else:
      run_settings.check_same_run(values['settings'], settings, self.workdir)
      # Of a run of an older version, some were not written down.
      values['settings'] = {**settings, **values['settings']}
    self._start_values = values
    self._checkpoints.restore_newest()
    self._next_row = self._step
    return values

  def append(self, step, train=None, held_out=None, **row):
    """Adds a row to the log, and its numbers to TensorBoard's charts."""
    self._next_row = step + 1
    if not self._replicas.is_chief:
      return
    losses = dict(zip(self._names, (train, held_out), strict=True))
    self._log.append(step=step, **losses, **row)
    if self.board is not None:
      # One name for what belongs into one chart.
      self.board.scalars(step, **{self._key: train}, **row)
      self.board.scalars(step, run='held_out', **{self._key: held_out})

  def rows(self):
    """All rows of the log, as dictionaries of strings."""
    self._flush()
    return self._log.rows()

  def seconds(self):
    """Seconds of training up to the last row of a step done."""
    seconds = training_log.column(self._log.rows(), 'seconds')
    done = [value for step, value in seconds.items() if step < self._step]
    return done[-1] if done else 0.0

  def prepare(self):
    """Makes log and files of the run fit for the steps still to be taken.

    Not earlier: to load a run, to look at it, must not touch it. Rows of these
    steps are dropped, files that were lost or torn are written again.
    """
    step = self._step
    problem = self.other_weights
    if self._next_row < step:
      problem = 'The log does not hold every step: training was interrupted.'
    if problem:
      raise RuntimeError(
          f'{problem} Make a new `Trainer`; it goes on from the latest '
          'checkpoint.'
      )
    if not self._replicas.is_chief:
      return
    self._truncate()
    with self.writing():
      self._start_file.write(self._start_values)
      self.rollbacks.repair()
      self._checkpoints.repair_best(self._best)
      if step < self._config.train_steps:
        # It says that the run is complete.
        (self.workdir / 'summary.json').unlink(missing_ok=True)
    lost = set(range(step)) - {int(row['step']) for row in self._log.rows()}
    if lost:
      warnings.warn(
          f'{self.workdir / "training_log.csv"} has lost {len(lost)} rows, of '
          f'steps from {min(lost)} to {max(lost)}. The run continues '
          'from its checkpoint; its curve will lack them.',
          stacklevel=3,
      )

  def save(self):
    """Saves a checkpoint, unless this step has one: that stays untouched."""
    self._flush()
    with self.writing():
      self._checkpoints.save()

  def keep_best(self, loss):
    """Saves the state as the best one, if it is on held-out examples."""
    if loss < self._best:
      self._best = loss
      with self.writing():
        self._checkpoints.save_best(loss)

  def restore_best(self):
    """Restores the best checkpoint, to look at; the log stays as it is."""
    self._checkpoints.restore_best()
    self.other_weights = 'The weights are those of `restore_best`.'

  def go_back(self):
    """Restores the state before the skipped steps, and halves the rate.

    A checkpoint at the first of them holds the weights that failed, so one
    before it is taken, if there is any; later ones are deleted. A
    `DivergedError` if the run went back too often already.
    """
    self._flush()
    step = self._step
    self.rollbacks.check(step)
    self._checkpoints.restore_newest(before=step - self.rollbacks.streak)
    with self.writing():
      self._checkpoints.drop_newer()
      self.rollbacks.record(step, self._step)
    self._truncate()
    self._next_row = self._step
    self._state.schedule.scale.assign(self.rollbacks.scale)

  @property
  def saved_step(self):
    """The step that a run would go on from."""
    return self._checkpoints.saved_step

  def close(self):
    """Writes what is left."""
    self._flush()
    if self.board is not None:
      self.board.close()
      self.board = None

  def _check_shared(self, seen):
    """Raises a `ValueError` unless this process sees what the chief sees."""
    if np.any(self._replicas.broadcast(seen) != np.float64(seen)):
      raise ValueError(
          'Argument `workdir` must be a directory that all workers share, got '
          f'{self.workdir}.'
      )

  def _truncate(self):
    """Drops what is written of steps that will be taken (again)."""
    if not self._replicas.is_chief:
      return
    step = self._step
    with self.writing():
      self.close()
      self._log.truncate(step)
      if self._config.tensorboard:
        self.board = tensorboard.TensorBoardWriter(
            self.workdir / 'tensorboard', step
        )

  def _flush(self):
    if not self._replicas.is_chief:
      return
    with self.writing():
      self._log.flush()
      if self.board is not None:
        self.board.flush()
