"""The steps of a run: each taken, written down, and saved when it is due."""

import contextlib
import math
import time

import tensorflow as tf

from tfp_flowopt.internal import progress
from tfp_flowopt.training import event_kinds
from tfp_flowopt.training import interruption
from tfp_flowopt.training import linear_optima
from tfp_flowopt.training import run_pictures

__all__ = ['LossProgress', 'TrainingLoop']

# The first steps trace graphs and fill caches, so they are not profiled.
_FIRST_PROFILED = 5


class TrainingLoop:
  """Takes the steps of a run that has begun.

  `evaluate` is a function of nothing: the loss of the held-out examples;
  `kind` says in which unit.

  Attributes:
    train_step: The step, a function of a batch and of whether to stop.
    pictures: `RunPictures`.
  """

  def __init__(
      self,
      kind,
      config,
      train_images,
      state,
      train_step,
      evaluate,
      replicas,
      files,
      samples,
      start,
      profile_steps,
  ):
    self._kind = kind
    self._config = config
    self._train_images = train_images
    self._state = state
    self.train_step = train_step
    self._part_size = train_step.part_size
    self._evaluate = evaluate
    self._replicas = replicas
    self._files = files
    self.pictures = run_pictures.RunPictures(
        files.workdir,
        state.distribution,
        samples.all(),
        config.bits,
        samples.seed,
        kind,
    )
    self._profiler = _StepProfiler(
        files.workdir / 'profile', profile_steps if replicas.is_chief else 0
    )
    self._start = start
    self._monitor = getattr(state.distribution.bijector, 'monitor', None)
    self._began = time.monotonic()
    self._seconds_before = files.seconds()

  @property
  def step(self):
    """Number of steps done."""
    return int(self._state.step.numpy())

  def run(self, stop):
    """Takes all steps still to be taken, until the `StopSignal` is received.

    Returns the loss of the held-out examples after the last one.
    """
    bar = LossProgress(
        self._config.train_steps,
        self._config.batch_size,
        self._start['train_optimum'].get(
            linear_optima.best_block_size(self._start)
        ),
        quiet=not self._replicas.is_chief,
        kind=self._kind,
        eval_every=self._config.eval_every,
    )
    bijector = self._state.distribution.bijector
    if getattr(bijector, 'memory_for', None):
      kept = bijector.memory_for(self._part_size)
      bar.print(f'Gradients, by level: {", ".join(kept)}')
    try:
      try:
        # Once, and once more each time the run went back.
        while self.step < self._config.train_steps:
          self._train(stop, bar)
      finally:
        self._profiler.trace(False)
      bar.close()
      bar.print('Evaluating, and writing checkpoint, report and pictures ...')
      held_out = self._evaluated(stop, bar)
    except interruption.Stopped:
      self._stop(bar)
    self._append(self.step, held_out=held_out)
    self._files.save()
    with stop.at_once(self.step), bar.paused('Drawing pictures'):
      self._draw_pictures()
    return held_out

  def _evaluated(self, stop, bar):
    """Loss of the held-out examples; if it is the best, it is saved."""
    with bar.paused('Evaluating'), stop.leaving():
      held_out = self._evaluate()
    self._files.keep_best(held_out)
    return held_out

  def _stop(self, bar):
    """Saves the steps done, and ends the run."""
    # Not among skipped steps: the checkpoint to go back to is before them.
    if not self._files.rollbacks.streak:
      self._files.save()
    bar.close()
    self._files.close()
    raise interruption.TrainingInterrupted(self._files.saved_step)

  def _batches(self):
    """Batches from the present step on, for the replicas of this process."""
    replicas = self._replicas
    iterator = iter(
        self._train_images.batches(
            self._config.batch_size,
            self._config.seed,
            self.step,
            replicas.count,
            replicas.own,
        )
    )
    while True:
      yield replicas.distributed(lambda _: next(iterator))

  def _train(self, stop, bar):
    """The steps up to the last one, or until the run went back."""
    config = self._config
    batches = self._batches()
    while self.step < config.train_steps:
      step = self.step
      held_out = None
      if step % config.eval_every == 0:
        held_out = self._evaluated(stop, bar)
      self._profiler.step()
      with bar.first_step():
        result = self.train_step(next(batches), stop.received)
      self._note(step, result, held_out, bar)
      if held_out is not None:
        bar.print(f'step {step}: held-out {held_out:.3f} {self._kind.unit}')
      if self._files.rollbacks.count(result.skipped):
        self._files.go_back()
        bar.print(
            f'step {step}: {config.max_skipped} steps in a row were not finite.'
            f' Back to step {self.step}, with the learning rate times '
            f'{self._files.rollbacks.scale:g}.'
        )
        return
      # All processes must agree; one alone need not wait for the next step.
      stopped = result.stop or (
          stop.received and self._replicas.num_processes == 1
      )
      if stopped:
        self._stop(bar)
      # As in `_stop`.
      if (step + 1) % config.checkpoint_every == 0 and not result.skipped:
        self._files.save()
      if held_out is not None:
        with bar.paused('Drawing pictures'), stop.leaving():
          self._draw_pictures()

  def _note(self, step, result, held_out, bar):
    """Writes down what a step has met, and shows it."""
    state = self._state
    if result.skipped:
      state.skipped.assign_add(1)
    if result.fallbacks:
      if not state.fallbacks.numpy():
        bar.print(
            f'step {step}: inputs were recomputed with an error of '
            f'{result.error:.1e} (tolerance {self._monitor.tolerance:.0e}), so '
            'gradients were computed from kept inputs. The column `fallbacks` '
            "counts that; if it is often, memory='stored' is faster."
        )
      state.fallbacks.assign_add(result.fallbacks)
    row = {}
    if self._monitor is not None:
      row = {
          'reconstruction_error': result.error,
          'fallbacks': int(state.fallbacks.numpy()),
      }
    self._append(
        step,
        held_out=held_out,
        train=result.loss,
        gradient_norm=result.gradient_norm,
        **row,
    )
    bar.update(step + 1, result.loss)

  def _append(self, step, **row):
    """Adds a row to the log; its seconds include those of earlier processes."""
    self._files.append(
        step=step,
        **row,
        skipped_steps=int(self._state.skipped.numpy()),
        seconds=round(self._seconds_before + time.monotonic() - self._began, 2),
    )

  def _draw_pictures(self):
    """Draws curve and samples, with averaged weights."""
    if not self._replicas.is_chief:
      return
    with self._state.average.swapped_in():
      samples = self.pictures.samples()
    with self._files.writing():
      self.pictures.draw(
          samples,
          self.step,
          self._files.board,
          self._files.rows(),
          self._start,
      )


class LossProgress:
  """Shows the loss as a running mean, and its gain over a linear flow.

  The gain is positive where the flow is better, as in the report. `optimum` is
  the loss of that flow on training examples, `None` if it is not known.
  """

  def __init__(
      self,
      total,
      batch_size,
      optimum,
      quiet,
      kind=event_kinds.Images,
      eval_every=None,
  ):
    self._unit = kind.unit
    self._bar = None
    if not quiet:
      self._bar = progress.Progress(
          total, batch_size, unit=kind.events, pause_every=eval_every
      )
    self._first = True
    self._optimum = optimum
    # Single batches vary more than they improve.
    self._shown = math.nan

  def first_step(self):
    """Context of a step: says so if the first one takes long."""
    quiet = self._bar is None or not self._first
    self._first = False
    return progress.under_way('Taking the first step', quiet)

  def paused(self, text):
    """Context of what is no step, see `Progress`."""
    return self._bar.paused(text) if self._bar else contextlib.nullcontext()

  def update(self, done, loss):
    """Shows the state after a step, whose loss may be NaN."""
    if math.isfinite(loss):
      first = math.isnan(self._shown)
      self._shown = loss if first else 0.95 * self._shown + 0.05 * loss
    if self._bar is not None:
      numbers = {self._unit: self._shown}
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


class _StepProfiler:
  """Writes a trace of some steps of this process."""

  def __init__(self, directory, num_steps):
    self._directory = str(directory)
    self._traced = range(_FIRST_PROFILED, _FIRST_PROFILED + num_steps)
    self._seen = 0
    self._tracing = False

  def step(self):
    """To be called before each step."""
    self.trace(self._seen in self._traced)
    self._seen += 1

  def trace(self, tracing):
    """Starts a trace or ends it, unless that is how it is."""
    if tracing and not self._tracing:
      tf.profiler.experimental.start(self._directory)
    elif self._tracing and not tracing:
      tf.profiler.experimental.stop()
    self._tracing = tracing
