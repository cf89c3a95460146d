"""The checkpoints of a run."""

import contextlib
import math
import os
import pathlib
import re
import shutil
import tempfile
import warnings

import tensorflow as tf

from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import interruption

__all__ = [
    'MAKERS',
    'RunCheckpoints',
    'WorkdirError',
    'check_workdir',
    'maker_of',
    'warn_of_lost',
    'writing',
]

# Directories of the latest ones and of the best one.
_LATEST, _BEST = atomic_files.CHECKPOINTS, 'best'
# What the loss of the best one is called, of images.
BEST_NAME = 'held_out_bits_per_dim'
# What makes runs, and the file that each of its runs has.
MAKERS = {'Trainer': 'start.json', 'fit': 'history.json'}
# Number of checkpoints, the newest ones, that processes tell each other of.
_AGREED = 100


class WorkdirError(OSError):
  """The working directory cannot be written to; what is saved is untouched."""


def check_workdir(workdir, maker=None):
  """Refuses what is no path of a directory that a run can go on in.

  Nor may there be a run of another of the `MAKERS` than `maker`, if given.
  """
  if (
      not isinstance(workdir, (str, os.PathLike))
      or not str(workdir)
      or '://' in str(workdir)
  ):
    raise ValueError(
        'Argument `workdir` must be the path of a directory of the file '
        f'system, got {workdir!r}.'
    )
  if any(c in str(workdir) for c in '*?['):
    raise ValueError(
        'Argument `workdir` must not have `*`, `?` or `[` in its name, which '
        f'TensorFlow takes for a pattern when it loads, got {workdir}.'
    )
  other = maker_of(workdir)
  if None not in (maker, other) and maker != other:
    raise ValueError(
        f'Argument `workdir`: {workdir} holds a run of `{other}`; use another '
        'directory.'
    )


def maker_of(workdir):
  """Which of the `MAKERS` made the run in a directory; `None` if unknown."""
  for maker, name in MAKERS.items():
    for folder in ('', _LATEST):  # which has a copy
      if pathlib.Path(workdir, folder, name).exists():
        return maker
  return None


def warn_of_lost(path, also):
  """Warns that the settings of a run are lost, and what is lost with them."""
  warnings.warn(
      f'{path} is missing or damaged. The run goes on from its checkpoints, '
      'with the settings given now, which nothing can be compared with; '
      f'{also}.',
      stacklevel=4,
  )


@contextlib.contextmanager
def writing(workdir):
  """Context in which a `WorkdirError` says what of a run is safe."""
  try:
    yield
  except (WorkdirError, *interruption.OF_WORKERS):
    raise
  except (OSError, tf.errors.OpError) as e:
    step = max(_steps(pathlib.Path(workdir) / _LATEST), default=None)
    safe = 'Nothing is saved yet.'
    if step is not None:
      safe = (
          f'The checkpoint of step {step} is untouched. Make room, and start '
          'the run again: it goes on from there.'
      )
    raise WorkdirError(f'Cannot write to {workdir}: {e}\n{safe}') from e


class RunCheckpoints:
  """The latest checkpoints, and the best one by held-out loss.

  `objects` is the state: trackables by name, and `step`, an int64 variable,
  among them. `best_name` is what the loss is called in the file that keeps it.

  They are numbered by their steps and known by their files alone, so a lost or
  torn `checkpoint` file, TensorFlow's list of them, loses nothing. All
  processes save, as a value may be a sum over all of them; those of others than
  the chief go to directories that are deleted.
  """

  def __init__(
      self, workdir, replicas, max_to_keep, objects, best_name=BEST_NAME
  ):
    self._best_name = best_name
    self._workdir = pathlib.Path(workdir)
    self._replicas = replicas
    self._step = objects['step']
    self._checkpoint = tf.train.Checkpoint(**objects)
    self._temporary = None
    if not replicas.is_chief:
      self._temporary = tempfile.TemporaryDirectory(prefix='tfp_flowopt_')
    # Made here: the first to save would make it, with a message to all.
    _ = self._checkpoint.save_counter
    self._max_to_keep = {_LATEST: max_to_keep, _BEST: 1}
    # Made when there is something to save: to look at a run must not touch it.
    self._managers = {}
    # Whether it was read elsewhere how good the best one is.
    self._value_lost = False
    # The step whose checkpoint is what the state is now.
    self.saved_step = None

  @property
  def steps(self):
    """Steps of the latest checkpoints, ascending."""
    return _steps(self._workdir / _LATEST)

  @property
  def has_best(self):
    """Whether there is a best checkpoint."""
    return bool(_steps(self._workdir / _BEST))

  def best_value(self, evaluated):
    """Loss of the best checkpoint; infinite if there is none, or unknown.

    `evaluated` is a function of nothing: losses by step, from elsewhere, for
    where the file that holds those of the best one is lost.
    """
    steps = _steps(self._workdir / _BEST)
    if not steps:
      return math.inf
    best = atomic_files.read_json(self._best_path, self._is_best) or {}
    if best.get('step') == steps[-1]:
      return best[self._best_name]
    value = evaluated().get(steps[-1], math.inf)
    self._value_lost = math.isfinite(value)
    return value

  def save(self):
    """Saves the state, unless it is saved: that stays untouched."""
    step = int(self._step.numpy())
    if self.saved_step != step:
      self._write(_LATEST)
      self.saved_step = step

  def save_best(self, loss):
    """Saves the state as the best one, in place of the one before."""
    self._write(_BEST)
    if self._replicas.is_chief:
      self._note_best(int(self._step.numpy()), loss)

  def repair_best(self, loss):
    """Writes again which checkpoint is the best one, if that is lost."""
    steps = _steps(self._workdir / _BEST)
    if self._value_lost and steps:
      self._note_best(steps[-1], loss)
      self._value_lost = False

  def _note_best(self, step, loss):
    atomic_files.write_json(
        self._best_path, {'step': step, self._best_name: loss}
    )

  def _is_best(self, value):
    """Whether `value` is what `save_best` writes."""
    loss = isinstance(value, dict) and value.get(self._best_name)
    return isinstance(loss, float) and math.isfinite(loss)

  def restore_newest(self, before=None):
    """Restores the newest checkpoint that all processes can read.

    If there are any of steps below `before`, it is one of these. A `ValueError`
    if none can be read.
    """
    # The last ones, as many numbers in every process.
    steps = self.steps[-_AGREED:]
    padded = [-1] * (_AGREED - len(steps)) + steps
    padded = self._replicas.broadcast(padded).astype(int)
    steps = [step for step in padded if step >= 0]
    if before is not None:
      steps = [step for step in steps if step < before] or steps
    for step in reversed(steps):
      if self._restore(self._workdir / _LATEST / f'ckpt-{step}'):
        self.saved_step = int(self._step.numpy())
        return
    raise ValueError(
        f'Argument `workdir`: no checkpoint in {self._workdir} can be read. '
        'Use another directory to start again.'
    )

  def drop_newer(self):
    """Deletes the checkpoints of later steps than the present one."""
    self._managers.pop(_LATEST, None)
    if self._replicas.is_chief:
      for step in self.steps:
        if step > int(self._step.numpy()):
          for path in (self._workdir / _LATEST).glob(f'ckpt-{step}.*'):
            path.unlink()

  def restore_best(self):
    """Restores the best checkpoint; a `ValueError` if it cannot be read."""
    directory = self._workdir / _BEST
    self.saved_step = None
    for step in reversed(_steps(directory)):
      if self._restore(directory / f'ckpt-{step}'):
        return
    raise ValueError(
        f'Argument `workdir`: no best checkpoint in {self._workdir} can be '
        'read.'
    )

  @property
  def _best_path(self):
    return self._workdir / _BEST / 'best.json'

  def _restore(self, path):
    """Whether all processes could restore a checkpoint."""
    problem = other = status = None
    try:
      status = self._checkpoint.restore(str(path))
      status.assert_consumed()
    except (tf.errors.OpError, IndexError) as e:
      # Its checksums do not match, a file is missing, or (IndexError) short.
      problem = e
    except (AssertionError, ValueError) as e:
      problem = other = e
      if status is not None:
        status.expect_partial()  # else each weight has a warning
    (problems,) = self._replicas.host_sum([problem is not None])
    if other is not None:
      reason = str(other).splitlines()[0]
      raise ValueError(
          f'Argument `workdir`: {path} is a checkpoint of other weights, or of '
          f'another kind of run: {reason}'
      ) from other
    if problems:
      warnings.warn(
          f'Skipped checkpoint {path}, which cannot be read: '
          f'{problem or "by another worker"}',
          stacklevel=4,
      )
    return not problems

  def _write(self, name):
    if name not in self._managers:
      self._managers[name] = self._manager(name)
    manager = self._managers[name]
    directory = pathlib.Path(manager.directory)
    try:
      manager.save(checkpoint_number=int(self._step.numpy()))
    except BaseException:
      # What is left of the attempt takes up a full disk.
      for path in directory.glob(f'ckpt-{int(self._step.numpy())}_temp*'):
        shutil.rmtree(path, ignore_errors=True)
      raise
    if self._temporary is not None:
      # Nobody reads it.
      del self._managers[name]
      shutil.rmtree(directory, ignore_errors=True)

  def _manager(self, name):
    directory = self._workdir / name
    if self._replicas.is_chief:
      _repair_list(directory)
    else:
      directory = pathlib.Path(self._temporary.name) / name
    return tf.train.CheckpointManager(
        self._checkpoint, str(directory), max_to_keep=self._max_to_keep[name]
    )


def _repair_list(directory):
  """Lists all checkpoints there are in TensorFlow's `checkpoint` file."""
  paths = [f'ckpt-{step}' for step in _steps(directory)]
  if not paths:
    return
  state = tf.compat.v1.train.generate_checkpoint_state_proto(
      str(directory),
      paths[-1],
      paths,
      all_model_checkpoint_timestamps=[1.0 + i for i in range(len(paths))],
      last_preserved_timestamp=0.0,
  )
  with atomic_files.atomic_path(directory / 'checkpoint') as path:
    path.write_text(str(state), encoding='utf-8')


def _steps(directory):
  """Steps of which there are files in a directory, ascending."""
  matches = (
      re.fullmatch(r'ckpt-(\d+)\.(index|data-.*)', path.name)
      for path in directory.glob('ckpt-*.*')
  )
  return sorted({int(match[1]) for match in matches if match})
