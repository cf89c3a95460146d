"""The weights of a run, without its data."""

import pathlib
from typing import Any
from typing import Literal

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import types
from tfp_flowopt.training import checkpoints
from tfp_flowopt.training import config as config_lib
from tfp_flowopt.training import fit_files
from tfp_flowopt.training import replicas as replicas_lib
from tfp_flowopt.training import run_settings
from tfp_flowopt.training import run_start
from tfp_flowopt.training import train_state

__all__ = ['restore', 'settings_of_run']


def restore(
    distribution: types.TransformedDistribution,
    workdir: types.Path,
    checkpoint: Literal['latest', 'best'] = 'latest',
) -> int:
  """Gives a flow the averaged weights of a run, to sample from or export.

  For what needs no data: a `Trainer` would ask for those of the run. Nothing is
  written.

  Args:
    distribution: `tfd.TransformedDistribution`, made as that of the run was.
    workdir: Directory of the run of a `Trainer`, or of `fit`.
    checkpoint: `'latest'`, or `'best'`: that on held-out examples.

  Returns:
    The number of steps after which the weights are.

  Raises:
    OtherRunError: If the run was of a flow made otherwise; the message says
      what differs.
    ValueError: If there is no such checkpoint, or it cannot be read.
  """
  config = config_lib.TrainConfig()
  run_start.check_model(distribution, config)
  arguments.check_choice('checkpoint', checkpoint, ('latest', 'best'))
  checkpoints.check_workdir(workdir)
  workdir = pathlib.Path(workdir)
  now = run_settings.model_settings(distribution)
  state = train_state.TrainState(distribution, config)
  if checkpoints.maker_of(workdir) == 'fit':
    best = train_state.BestWeights(distribution.trainable_variables)
    fit_files.FitFiles(workdir, state, best).resume(now, _is_of_model)
    if checkpoint == 'best':
      best.restore()
      return best.step
    state.average.assign_to_variables()
    return int(state.step.numpy())
  before = settings_of_run(workdir)
  if before is not None:
    run_settings.check_same_run(
        {key: before[key] for key in before if _is_of_model(key)}, now, workdir
    )
  saved = checkpoints.RunCheckpoints(
      workdir, replicas_lib.Replicas(), 1, state.to_save
  )
  if checkpoint == 'best':
    saved.restore_best()
  else:
    saved.restore_newest()
  state.average.assign_to_variables()
  return int(state.step.numpy())


def settings_of_run(workdir: types.Path) -> dict[str, Any] | None:
  """The settings that a run was started with; `None` if they are lost."""
  start = atomic_files.TwiceKept(
      workdir, checkpoints.MAKERS['Trainer'], run_settings.is_start
  ).read()
  return start and start['settings']


def _is_of_model(key):
  return key.split('.')[0] in ('model', 'base')
