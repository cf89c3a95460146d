"""The weights of a run, without its data."""

import contextlib
import pathlib
from typing import Any
from typing import Literal

import tensorflow as tf

from tfp_flowopt import flows
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

# Settings of a run that say what noise it learned.
_OF_NOISE = 'dequantization', 'bits'
_AVERAGES = 'average/_averages/'
# Those of `fit`, and of runs of before.
_UNIFORM = {'dequantization': 'uniform'}


def restore(
    distribution: types.TransformedDistribution,
    workdir: types.Path,
    checkpoint: Literal['latest', 'best'] = 'latest',
    dequantization: flows.VariationalDequantization | None = None,
) -> int:
  """Gives a flow the averaged weights of a run, to sample from or export.

  For what needs no data: a `Trainer` would ask for those of the run. Nothing is
  written.

  Args:
    distribution: `tfd.TransformedDistribution`, made as that of the run was.
    workdir: Directory of the run of a `Trainer`, or of `fit`.
    checkpoint: `'latest'`, or `'best'`: that on held-out examples.
    dequantization: Gets the weights of that of the run, if it had one.

  Returns:
    The number of steps after which the weights are.

  Raises:
    OtherRunError: If the run was of a flow made otherwise; the message says
      what differs.
    ValueError: If there is no such checkpoint, or it cannot be read.
  """
  run_start.check_model(distribution, config_lib.TrainConfig())
  arguments.check_choice('checkpoint', checkpoint, ('latest', 'best'))
  if dequantization is not None:
    arguments.check_instance(
        'dequantization',
        dequantization,
        flows.VariationalDequantization,
        'a `VariationalDequantization`',
    )
  checkpoints.check_workdir(workdir)
  workdir = pathlib.Path(workdir)
  now = run_settings.model_settings(distribution)
  if checkpoints.maker_of(workdir) == 'fit':
    state = _state(distribution, _UNIFORM, dequantization)
    best = train_state.BestWeights(distribution.trainable_variables)
    fit_files.FitFiles(workdir, state, best).resume(now, _is_of_model)
    if checkpoint == 'best':
      best.restore()
      return best.step
    state.average.assign_to_variables()
    return int(state.step.numpy())
  before = settings_of_run(workdir)
  if before is None:
    before = _noise_in(workdir, distribution, dequantization)
  else:
    run_settings.check_same_run(
        {key: before[key] for key in before if _is_of_model(key)}, now, workdir
    )
  state = _state(distribution, {**_UNIFORM, **before}, dequantization)
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


def _noise_in(workdir, distribution, dequantization):
  """Settings of the noise as checkpoints tell them, where others are lost."""
  if dequantization is not None:
    return {'dequantization': 'variational', 'bits': dequantization.bits}
  if distribution.event_shape.rank != 3:
    return {}
  for path in sorted(workdir.glob('*/*.index')):
    with contextlib.suppress(tf.errors.OpError):  # it cannot be read
      variables = tf.train.list_variables(str(path.with_suffix('')))
      # Weights that are averaged, and not those of the flow.
      averages = [v for v in variables if v[0].startswith(_AVERAGES)]
      if len(averages) > len(distribution.trainable_variables):
        return {'dequantization': 'variational'}
  return {}


def _state(distribution, settings, dequantization):
  """The state of a run with these settings."""
  noise = {key: settings[key] for key in _OF_NOISE if key in settings}
  if dequantization is not None:
    wanted = {**noise, 'event_shape': list(distribution.event_shape)}
    found = {
        'dequantization': 'variational',
        'bits': dequantization.bits,
        'event_shape': list(dequantization.event_shape),
    }
    for key, value in wanted.items():
      if value != found[key]:
        raise ValueError(
            f'Argument `dequantization`: the run had {key}={value!r}, got '
            f'{found[key]!r}.'
        )
  config = config_lib.TrainConfig(**noise)
  return train_state.TrainState(distribution, config, dequantization)


def _is_of_model(key):
  return key.split('.')[0] in ('model', 'base')
