"""The training loop."""

import time

import tensorflow as tf

from tfp_flowopt.data import example_batches
from tfp_flowopt.internal import not_copied
from tfp_flowopt.training import evaluation
from tfp_flowopt.training import interruption
from tfp_flowopt.training import linear_optima
from tfp_flowopt.training import loss_progress
from tfp_flowopt.training import model_settings
from tfp_flowopt.training import profiling
from tfp_flowopt.training import replicas as replicas_lib
from tfp_flowopt.training import run_files
from tfp_flowopt.training import run_pictures
from tfp_flowopt.training import run_results
from tfp_flowopt.training import run_settings
from tfp_flowopt.training import run_start
from tfp_flowopt.training import train_state
from tfp_flowopt.training import train_step

__all__ = ['Trainer']

# Streams of random numbers that are not a training step's; steps count up
# from 0, so negative numbers never meet them.
_INIT, _HELD_OUT, _SAMPLE, _DRAWS = -1, -2, -3, -4


class Trainer(not_copied.NotCopied):
  """Trains a flow by maximum likelihood, from the closed-form optimum on.

  The loss is the mean bits/dim of a batch with stateless dequantisation noise;
  the optimiser is Adam with a linear warm-up and a bound of the gradient norm;
  a step whose loss or gradient is not finite changes nothing and is counted.
  After too many of them in a row the run goes back to its latest checkpoint and
  on from there with half the learning rate. Evaluation and pictures use
  averaged weights.

  Everything random depends on the seed and the step alone, and all state is in
  atomic checkpoints. So a run that is killed at any moment and started again
  goes on where it was, with the same numbers as an uninterrupted run; to the
  last bit, if `tf.config.experimental.enable_op_determinism` was called. At
  SIGTERM or Ctrl-C it saves the step that it is at, and ends. A checkpoint that
  cannot be read is passed over, with a warning, for the one before.

  #### Many devices

  Made in the scope of a `tf.distribute.Strategy`, as its `distribution` must be
  too, it trains on all replicas: each gets its part of every batch, and the
  images, noise, losses and weights are those of one device, up to rounding. The
  processes of a `MultiWorkerMirroredStrategy` all run the same program, with
  one `workdir` that all can read; the first one writes.

  ```python
  strategy = tf.distribute.MirroredStrategy()
  with strategy.scope():
    distribution = fo.image_flow([32, 32, 3], num_levels=2, num_steps=2)
    trainer = fo.training.Trainer(
        distribution, train, held_out, workdir, config
    )
  trainer.train()
  ```

  Files in the working directory:

  * `checkpoints/`: the latest checkpoints; `best/`: the one that was best on
    held-out images;
  * `start.json`: settings, optima and the predicted bits/dim of step 0;
  * `training_log.csv`: a row for each step, the loss before the step;
  * `rollbacks.json`: if the run went back, when and where to;
  * `tensorboard/`: the same numbers, and samples, for TensorBoard;
  * `curve.png`, `samples.png`: if matplotlib is installed; and when the run is
    complete, `layers.png` (`diagnostics.layer_report`);
  * `report.txt`, `summary.json`: when the run is complete, how far the flow is
    from the optimum and what that means (`diagnostics.optimum_report`).
  """

  _instead = (
      'its state is in its `workdir`; copy that, and make a new one with it'
  )

  def __init__(
      self,
      distribution,
      train_images,
      held_out_images,
      workdir,
      config,
      description=None,
      profile_steps=0,
  ):
    """Prepares a run, or resumes the one in `workdir`.

    A new run initialises the flow at the optimum and saves that; a resumed one
    loads its newest checkpoint and initialises nothing.

    Args:
      distribution: `tfd.TransformedDistribution` of float32 images, as
        `image_flow` makes it. A new run initialises it, unless it is
        initialised already.
      train_images: `ImageCrops`, `ImageDataset`, or other `data.Examples`; with
        labels, if the flow is conditioned on them.
      held_out_images: The same, of images that training does not see.
      workdir: Directory of the run; made if it is missing.
      config: `TrainConfig`.
      description: Dictionary of further settings of the run, such as the size
        of the model: numbers and strings.
      profile_steps: Number of steps that TensorFlow's profiler traces, into
        `profile/`.

    Raises:
      OtherRunError: If the run in `workdir` was started with other settings or
        other images; the message names them.
      ValueError: If `distribution` is not float32 or was made outside of the
        scope of the strategy, if images have labels and the flow is not
        conditioned on so many, or the other way round, if the batch cannot be
        shared among the replicas, if `workdir` lacks a file of the run or has
        `*`, `?` or `[` in its name, or if none of its checkpoints can be read.
      WorkdirError: If `workdir` cannot be written to.
    """
    self._replicas = replicas_lib.Replicas()
    run_start.check(
        distribution,
        train_images,
        held_out_images,
        workdir,
        config,
        self._replicas,
    )
    self._distribution = distribution
    self._train_images = train_images
    self._held_out_images = held_out_images
    self._config = config
    self._settings = run_settings.run_settings(
        config,
        description,
        train_images,
        held_out_images,
        model_settings.model_settings(distribution),
    )
    with self._replicas.scope():
      self._state = train_state.TrainState(distribution, config)
      self._train_step = train_step.TrainStep(
          self._state, config, self._replicas
      )
      self._evaluator = evaluation.FlowEvaluator(
          distribution, config.bits, self._replicas
      )
    self._init_examples, self._held_out, samples = (
        example_batches.ExampleBatches(
            images, num, tf.constant([config.seed, stream], tf.int64)
        )
        for images, num, stream in (
            (train_images, config.init_images, _INIT),
            (held_out_images, config.eval_images, _HELD_OUT),
            (train_images, run_pictures.NUM_SAMPLES, _SAMPLE),
        )
    )
    self._files = run_files.RunFiles(
        workdir, self._state, config, self._replicas
    )
    self._pictures = run_pictures.RunPictures(
        self._files.workdir,
        distribution,
        samples.all(),
        config.bits,
        samples.seed,
    )
    self._profiler = profiling.StepProfiler(
        self._files.workdir / 'profile',
        profile_steps if self._replicas.is_chief else 0,
    )
    self._began = time.monotonic()
    images = self._init_examples, self._held_out, config.bits
    if self._files.found:
      self._start_values = linear_optima.completed(
          self._files.resume(self._settings), *images
      )
    else:
      with self._files.lock():
        self._start_values = {
            'settings': self._settings,
            **run_start.start(
                self._state, self._evaluator, *images, self._replicas
            ),
        }
        self._files.start(self._start_values)
    self._seconds_before = self._files.seconds()

  @property
  def step(self):
    """Number of steps done."""
    return int(self._state.step.numpy())

  @property
  def start(self):
    """What was known before training, in bits/dim.

    Returns:
      Dictionary with `settings`; `predicted` (closed form, at step 0 on the
      initialisation images; `None` if the flow came initialised), `measured`
      (the same by `log_prob`); and the best linear flows, fitted to these
      images: `train_optimum` on them, `held_out_optimum` on held-out images,
      and `vectors_per_dim`, each by the block sizes that they determine.
    """
    return self._start_values

  @property
  def is_chief(self):
    """Whether this process is the one that writes and prints."""
    return self._replicas.is_chief

  def lock(self):
    """Context in which no other process can write to the working directory.

    `train` takes the lock itself, and a new run while it begins. It is for what
    else you write there, before or after training, and in all processes. The
    system takes it back when the process ends, by `kill -9` too; `lock.json`
    says who holds it.

    Returns:
      Context manager.

    Raises:
      WorkdirInUseError: On entry, if another process writes there, or has gone
        on with the run since this `Trainer` was made.
      WorkdirError: The same, if the directory cannot be written to.
    """
    return self._files.lock()

  def evaluate(self):
    """Bits/dim of the held-out images, with averaged weights.

    Returns:
      Python `float`, the same in all processes.

    Raises:
      RuntimeError: If the weights of the replicas are not the same bits.
    """
    self._replicas.check_identical(self._distribution.trainable_variables)
    with self._state.average.swapped_in():
      return self._evaluator.bits_per_dim(self._held_out)

  def evaluate_draws(self, num_images, num_draws):
    """Bits/dim of any number of held-out images, with several draws of noise.

    Args:
      num_images: Number of images; their number in the set takes each once.
      num_draws: How often, with other noise each time.

    Returns:
      List of pairs of Python `float`s, one a draw: the mean over images, and
      its standard error, which is NaN for a single image.
    """
    result = []
    with self._state.average.swapped_in():
      for draw in range(num_draws):
        examples = example_batches.ExampleBatches(
            self._held_out_images,
            num_images,
            self._held_out.seed,
            tf.constant([self._config.seed, _DRAWS - draw], tf.int64),
        )
        result.append(self._evaluator.mean_and_error(examples))
    return result

  def train(self):
    """Trains up to `config.train_steps`, with a progress bar.

    Returns:
      Dictionary of the results, also in `summary.json`.

    Raises:
      DivergedError: If it diverged again after all roll-backs.
      RuntimeError: If an earlier call was interrupted between a step and its
        row in the log.
      TrainingInterrupted: At SIGTERM or Ctrl-C, after the step is saved.
      WorkerLostError: If another worker ended or does not answer.
      WorkdirError: If the working directory cannot be written to any more; the
        last good checkpoint stays.
    """
    with self.lock():
      self._files.prepare()
      return self._train_to_end()

  def _train_to_end(self):
    """All steps still to be taken, and what comes of them."""
    bar = loss_progress.LossProgress(
        self._config.train_steps,
        self._config.batch_size,
        self._start_values['train_optimum'].get(
            linear_optima.best_block_size(self._start_values)
        ),
        quiet=not self._replicas.is_chief,
    )
    num_processes = self._replicas.num_processes
    with (
        interruption.noticing_lost_workers(num_processes),
        interruption.StopSignal() as stop,
    ):
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
        row['held_out_bits_per_dim'] = self.evaluate()
        self._files.keep_best(row['held_out_bits_per_dim'])
      self._profiler.step()
      result = self._train_step(next(batches), stop.received)
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
    monitor = getattr(self._distribution.bijector, 'monitor', None)
    if result.skipped:
      state.skipped.assign_add(1)
    if result.fallbacks:
      if not state.fallbacks.numpy():
        bar.print(
            f'step {row["step"]}: inputs were recomputed with an error of '
            f'{result.error:.1e} (tolerance {monitor.tolerance:.0e}), so '
            'gradients were computed from kept inputs. The column `fallbacks` '
            "counts that; if it is often, memory='stored' is faster."
        )
      state.fallbacks.assign_add(result.fallbacks)
    if monitor is not None:
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

  def report(self):
    """The flow, with averaged weights, beside the best linear flows.

    Returns:
      `diagnostics.OptimumReport`; the linear flows are fitted to the images
      that the flow was initialised with.
    """
    with self._state.average.swapped_in():
      self._evaluator.update()
      return run_results.optimum_report(
          self._distribution,
          self._evaluator,
          self._init_examples,
          self._held_out,
          self._config.bits,
      )

  def _finish(self):
    """Last evaluation, checkpoint, pictures and reports."""
    held_out = self.evaluate()
    self._files.keep_best(held_out)
    skipped = int(self._state.skipped.numpy())
    self._files.append(
        step=self.step,
        held_out_bits_per_dim=held_out,
        skipped_steps=skipped,
        seconds=self._seconds(),
    )
    self._files.save()
    self._draw_pictures()
    report = self.report()
    with self._state.average.swapped_in():
      data = self._distribution, self._held_out, self._config.bits
      reconstruction = run_results.reconstruction_errors(*data)
      layers = run_results.layer_report(*data, self._config.local_constants)
    results = run_results.summary(
        {
            'steps': self.step,
            'skipped_steps': skipped,
            'held_out_bits_per_dim': held_out,
            **self._start_values,
            'settings': self._settings,
        },
        report,
        reconstruction,
        layers,
    )
    if self._replicas.is_chief:
      with self._files.writing():
        if layers:
          self._pictures.draw_layers(self.step, self._files.board, layers)
        run_results.write_results(
            self._files.workdir, results, report, reconstruction
        )
    self._files.close()
    # No process ends before the chief is done: it would be taken for dead.
    self._replicas.broadcast([self.step])
    return results

  def _seconds(self):
    """Seconds of training, those of earlier processes included."""
    return round(self._seconds_before + time.monotonic() - self._began, 2)

  def _draw_pictures(self):
    """Draws curve and samples, with averaged weights."""
    if not self._replicas.is_chief:
      return
    with self._state.average.swapped_in():
      samples = self._pictures.samples()
    with self._files.writing():
      self._pictures.draw(
          samples,
          self.step,
          self._files.board,
          self._files.rows(),
          self._start_values,
      )

  def restore_best(self):
    """Goes to the checkpoint that was best on held-out images, to look at.

    Raises:
      ValueError: If there is none that can be read.
    """
    self._files.restore_best()

  def use_averaged_weights(self):
    """Gives the distribution the averaged weights, for good (for export)."""
    self._state.average.assign_to_variables()
