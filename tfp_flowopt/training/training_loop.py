"""The steps of a run: each taken, written down, and saved when it is due."""

import time

from tfp_flowopt.training import interruption
from tfp_flowopt.training import linear_optima
from tfp_flowopt.training import loss_progress
from tfp_flowopt.training import profiling
from tfp_flowopt.training import run_pictures

__all__ = ['TrainingLoop']


class TrainingLoop:
  """Takes the steps of a run that has begun.

  Attributes:
    train_step: The step, a function of a batch and of whether to stop.
    pictures: `RunPictures`.
  """

  def __init__(
      self,
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
    """Prepares the loop.

    Args:
      config: `TrainConfig`.
      train_images: As `Trainer` takes them.
      state: `TrainState`.
      train_step: `TrainStep`.
      evaluate: Function of nothing: bits/dim of the held-out images.
      replicas: `Replicas`.
      files: `RunFiles` of a run that has begun.
      samples: `ExampleBatches` that are shown beside samples.
      start: What was known before training, see `Trainer.start`.
      profile_steps: Number of steps to profile.
    """
    self._config = config
    self._train_images = train_images
    self._state = state
    self.train_step = train_step
    self._evaluate = evaluate
    self._replicas = replicas
    self._files = files
    self.pictures = run_pictures.RunPictures(
        files.workdir,
        state.distribution,
        samples.all(),
        config.bits,
        samples.seed,
    )
    self._profiler = profiling.StepProfiler(
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
    """Takes all steps still to be taken, and evaluates the last.

    Args:
      stop: `interruption.StopSignal`.

    Returns:
      Python `float`, bits/dim of the held-out images.

    Raises:
      DivergedError: If it diverged again after all roll-backs.
      TrainingInterrupted: At SIGTERM or Ctrl-C, after the step is saved.
      WorkerLostError: If another worker ended or does not answer.
      WorkdirError: If the working directory cannot be written to any more.
    """
    bar = loss_progress.LossProgress(
        self._config.train_steps,
        self._config.batch_size,
        self._start['train_optimum'].get(
            linear_optima.best_block_size(self._start)
        ),
        quiet=not self._replicas.is_chief,
    )
    # Once, and once more each time the run went back.
    while self.step < self._config.train_steps:
      self._train(stop, bar)
    self._profiler.close()
    bar.close()
    bar.print('Evaluating, and writing checkpoint, report and pictures ...')
    return self._finish()

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
      row = {'step': step}
      evaluated = step % config.eval_every == 0
      if evaluated:
        row['held_out_bits_per_dim'] = self._evaluate()
        self._files.keep_best(row['held_out_bits_per_dim'])
      self._profiler.step()
      result = self.train_step(next(batches), stop.received)
      self._note(result, row, bar)
      if evaluated:
        bar.print(
            f'step {step}: held-out {row["held_out_bits_per_dim"]:.3f} bits/dim'
        )
        self._draw_pictures()
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
      # Not among skipped steps: the checkpoint to go back to is before them.
      due = (step + 1) % config.checkpoint_every == 0
      if (stopped or due) and not result.skipped:
        self._files.save()
      if stopped:
        bar.close()
        self._files.close()
        raise interruption.TrainingInterrupted(self._files.saved_step)

  def _note(self, result, row, bar):
    """Writes down what a step has met, and shows it."""
    state = self._state
    if result.skipped:
      state.skipped.assign_add(1)
    if result.fallbacks:
      if not state.fallbacks.numpy():
        bar.print(
            f'step {row["step"]}: inputs were recomputed with an error of '
            f'{result.error:.1e} (tolerance {self._monitor.tolerance:.0e}), so '
            'gradients were computed from kept inputs. The column `fallbacks` '
            "counts that; if it is often, memory='stored' is faster."
        )
      state.fallbacks.assign_add(result.fallbacks)
    if self._monitor is not None:
      row.update(
          reconstruction_error=result.error,
          fallbacks=int(state.fallbacks.numpy()),
      )
    self._files.append(
        **row,
        train_bits_per_dim=result.loss,
        gradient_norm=result.gradient_norm,
        skipped_steps=int(state.skipped.numpy()),
        seconds=self._seconds(),
    )
    bar.update(row['step'] + 1, result.loss)

  def _finish(self):
    """Last evaluation, checkpoint and pictures."""
    held_out = self._evaluate()
    self._files.keep_best(held_out)
    self._files.append(
        step=self.step,
        held_out_bits_per_dim=held_out,
        skipped_steps=int(self._state.skipped.numpy()),
        seconds=self._seconds(),
    )
    self._files.save()
    self._draw_pictures()
    return held_out

  def _seconds(self):
    """Seconds of training, those of earlier processes included."""
    return round(self._seconds_before + time.monotonic() - self._began, 2)

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
