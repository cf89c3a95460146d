"""Training on arrays in memory, with early stopping."""

import contextlib
import dataclasses
import gc
import math
import time

import numpy as np
import tensorflow as tf

from tfp_flowopt import lipschitz
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import graphs
from tfp_flowopt.internal import progress
from tfp_flowopt.internal import types
from tfp_flowopt.training import array_data
from tfp_flowopt.training import checkpoints
from tfp_flowopt.training import config as config_lib
from tfp_flowopt.training import fit_files
from tfp_flowopt.training import fit_result
from tfp_flowopt.training import replicas as replicas_lib
from tfp_flowopt.training import run_lock
from tfp_flowopt.training import run_settings
from tfp_flowopt.training import train_state
from tfp_flowopt.training import train_step

__all__ = ['fit']

# Steps between evaluations, by default: at least, and at most.
_EVAL_STEPS = 20, 100
# Examples that are evaluated at once.
_EVAL_BATCH = 4096


def fit(
    distribution: types.Distribution,
    x: types.DataLike,
    conditioning: types.TensorLike | None = None,
    validation: types.DataLike = 0.1,
    train_steps: int = 4000,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    schedule: types.Schedule = 'cosine',
    eval_every: int | None = None,
    patience: int | None = 20,
    clip_norm: float = 10.0,
    ema_decay: float = 0.99,
    workdir: types.Path | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> fit_result.FitResult:
  """Trains a distribution by maximum likelihood, and keeps its best weights.

  The loss is the negative mean log-likelihood in nats; the optimiser is Adam
  with a bound of the gradient norm. Evaluations use averaged weights, the first
  one is before training; in the end the distribution has those weights that
  were best on the validation data. So it is never worse than it was, on these.
  A step that is not finite changes nothing; after an interval without a finite
  one, the run goes on from the best weights with half the learning rate.

  Everything random depends on the seed and the step alone. With a `workdir`
  each evaluation writes an atomic checkpoint, and the same call goes on where
  the last one was, with the same numbers. For many devices, and for images in
  files, there is `Trainer`.

  #### Example

  ```python
  c = tf.random.normal([500, 2])
  x = c + 0.1 * tf.random.normal([500, 2])
  distribution = fo.vector_flow(2, num_steps=1, conditioning=[2])
  fo.initialize_at_optimum(distribution, x, conditioning=c)
  result = fo.training.fit(distribution, x, c, train_steps=10)
  print(result.validation, result.best_step)
  ```

  Args:
    distribution: `tfd.Distribution` with trainable variables.
    x: Data `[N] + event_shape`, floating-point; or a finite, unbatched
      `tf.data.Dataset` of these, or of pairs with conditioning, which is read
      into memory.
    conditioning: What each of them is conditioned on, `[N, ...]`, passed as
      `bijector_kwargs={'conditioning': ...}`.
    validation: Part of the data that is held out, at random; or held-out data,
      as `x`, or a pair of these and conditioning.
    train_steps: Number of optimiser steps, at most.
    batch_size: Examples of a step; fewer if there are fewer.
    learning_rate: Adam's.
    schedule: `'constant'`, or `'cosine'`: half a cosine down to 0 at
      `train_steps`.
    eval_every: Steps between evaluations; by default two passes over the data,
      20 steps at least and 100 at most.
    patience: So many evaluations in a row without a new best one end the run;
      `None`: all steps are taken.
    clip_norm: Bound of the global norm of the gradient.
    ema_decay: Decay of the moving average of the weights.
    workdir: Directory of the run, made if it is missing; by default none.
    seed: Python `int`.
    quiet: Whether to print no progress.

  Returns:
    `FitResult`.

  Raises:
    ValueError: If an argument has a wrong value, there are no trainable
      variables, or the likelihood is not finite before training.
    OtherRunError: If `workdir` holds a run with other settings or data.
    WorkdirError: If `workdir` cannot be written to, or
      (`WorkdirInUseError`) another process writes there.
  """
  if not (
      getattr(distribution, 'trainable_variables', ())
      and hasattr(distribution, 'log_prob')
  ):
    raise ValueError(
        'Argument `distribution` must be a `tfd.Distribution` with trainable '
        f'variables, got {distribution!r}.'
    )
  if patience is not None:
    arguments.check_int('patience', patience)
  seed = arguments.check_int('seed', seed, least=0, most=2**63 - 1)
  if eval_every is not None:
    eval_every = arguments.check_int('eval_every', eval_every)
  train, held_out = array_data.training_and_validation(
      distribution, x, conditioning, validation, seed
  )
  config = config_lib.TrainConfig(
      train_steps=train_steps,
      batch_size=min(arguments.check_int('batch_size', batch_size), train.num),
      learning_rate=learning_rate,
      warmup_steps=50,
      schedule=schedule,
      clip_norm=clip_norm,
      ema_decay=ema_decay,
      seed=seed,
  )
  if eval_every is None:
    # A small set is learned by heart in a few passes.
    passes = 2 * train.num // config.batch_size
    eval_every = min(max(passes, _EVAL_STEPS[0]), _EVAL_STEPS[1])
  if workdir is not None:
    checkpoints.check_workdir(workdir, 'fit')
  try:
    with contextlib.nullcontext() if workdir is None else (
        run_lock.locked(workdir)
    ):
      return _Run(distribution, train, held_out, config, eval_every, workdir)(
          patience, quiet
      )
  finally:
    # Graphs are 20,000 objects in cycles, for which Python is slow to look.
    for _ in range(2):  # a function lets go of its graph when it is deleted
      gc.collect()


class _Run:
  """A run of `fit`."""

  def __init__(self, distribution, train, held_out, config, every, workdir):
    replicas = replicas_lib.Replicas()
    extended = replicas.strategy.extended
    if replicas.count > 1 or not all(
        map(extended.variable_created_in_scope, distribution.variables)
    ):
      raise ValueError(
          '`fit` trains on one device, in the scope in which the distribution '
          'was made; `Trainer` trains on several.'
      )
    self._config = config
    self._every = every
    self._train, self._held_out = train, held_out
    self._log_prob = array_data.log_prob_of(distribution)
    self._state = train_state.TrainState(distribution, config)
    self._step = train_step.TrainStep(
        self._state, config, replicas, loss=self._loss
    )
    self._best = train_state.BestWeights(distribution.trainable_variables)
    self._kernels = lipschitz.FrozenKernels(distribution)
    self._history = []
    self._files = None
    if workdir is not None:
      self._open(workdir)

  def _open(self, workdir):
    """Goes on with the run in the directory, or begins one there."""
    self._settings = settings = {
        **dataclasses.asdict(self._config),
        'train': self._train.fingerprint,
        'validation': self._held_out.fingerprint,
        'variables': [
            f'{v.dtype.name} {v.shape}'
            for v in self._state.distribution.trainable_variables
        ],
        **run_settings.model_settings(self._state.distribution),
    }
    with checkpoints.writing(workdir):
      self._files = fit_files.FitFiles(workdir, self._state, self._best)
    if self._files.found:
      self._history = self._files.resume(settings)

  @property
  def _done(self):
    return int(self._state.step.numpy())

  def _loss(self, examples, seed, first):
    del seed, first  # nothing is random
    return -tf.reduce_mean(self._log_prob(examples))

  @graphs.own_graph_method
  def _steps(self, indices):
    """Steps on the examples of `indices` `[S, B]`: mean loss, and skipped."""

    def body(i, total, skipped):
      batch = self._train.rows(indices[i])
      loss, _, _, _, skips, _ = tf.unstack(
          self._step.take(batch, tf.constant(False))
      )
      total += tf.where(skips > 0, 0.0, loss)
      return i + 1, total, skipped + skips

    num = tf.shape(indices)[0]
    _, total, skipped = tf.while_loop(
        lambda i, *_: i < num,
        body,
        (0, tf.zeros([]), tf.zeros([])),
        parallel_iterations=1,
    )
    return total / (tf.cast(num, tf.float32) - skipped), skipped

  @graphs.own_graph_method
  def _sum_log_prob(self, examples):
    with self._kernels.in_use():
      log_prob = self._log_prob(examples)
    return tf.reduce_sum(tf.cast(log_prob, tf.float64))

  def _evaluate(self):
    """Mean log-likelihood of the held-out data, with averaged weights."""
    with self._state.average.swapped_in():
      self._kernels.update()
      total = sum(
          float(self._sum_log_prob(batch))
          for batch in self._held_out.batches(_EVAL_BATCH)
      )
      value = total / self._held_out.num
      if value > self._best.value:
        self._best.keep(self._done, value)
    return value

  def _since_best(self):
    return sum(row['step'] > self._best.step for row in self._history)

  def __call__(self, patience, quiet):
    """Trains; the `FitResult`."""
    config, state = self._config, self._state
    bar = None
    if not quiet:
      bar = progress.Progress(
          config.train_steps, config.batch_size, unit='examples'
      )
    began = time.monotonic()
    if self._history:
      began -= self._history[-1]['seconds']
    if not self._history:
      with progress.under_way('Evaluating the start', quiet):
        self._note(began, math.nan)
      if not math.isfinite(self._history[0]['validation']):
        raise ValueError(
            'Argument `distribution` has no finite likelihood of the '
            'validation data before training, got '
            f'{self._history[0]["validation"]}.'
        )
    stopped, first = 'steps', True
    while self._done < config.train_steps:
      if patience is not None and self._since_best() >= patience:
        stopped = 'patience'
        break
      num = min(
          self._every - self._done % self._every,
          config.train_steps - self._done,
      )
      indices = self._train.order(
          config.seed, self._done * config.batch_size, num * config.batch_size
      )
      indices = np.reshape(indices, [num, config.batch_size])
      with progress.under_way(
          f'Taking the first {num} steps', quiet or not first
      ):
        loss, skipped = self._steps(tf.constant(indices))
      first = False
      state.skipped.assign_add(tf.cast(skipped, tf.int64))
      if int(skipped) == num:
        self._go_back()
      row = self._note(began, -float(loss))
      if bar is not None:
        bar.update(
            self._done, train=row['train'], validation=row['validation'],
            best=self._best.value,
        )
    if bar is not None:
      bar.close()
    self._best.restore()
    best, skipped = self._best, int(state.skipped.numpy())
    return fit_result.FitResult(
        self._history, best.step, best.value, skipped, stopped
    )

  def _go_back(self):
    """To the best weights, with new moments and half the learning rate."""
    state = self._state
    self._best.restore()
    state.average.restart()
    for variable in state.optimizer.weights[1:]:  # not its count of updates
      variable.assign(tf.zeros_like(variable))
    state.schedule.scale.assign(0.5 * state.schedule.scale)

  def _note(self, began, train):
    """Evaluates, and writes down and saves how far the run is."""
    row = {
        'step': self._done,
        'seconds': round(time.monotonic() - began, 3),
        'train': train,
        'validation': self._evaluate(),
    }
    self._history.append(row)
    if self._files is not None:
      self._files.save(self._settings, self._history)
    return row
