"""Training runs."""

from collections.abc import Mapping
from typing import Any
from typing import Self

from tfp_flowopt import data
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import progress
from tfp_flowopt.internal import types
from tfp_flowopt.training import config as config_lib
from tfp_flowopt.training import evaluation
from tfp_flowopt.training import event_kinds
from tfp_flowopt.training import interruption
from tfp_flowopt.training import replicas as replicas_lib
from tfp_flowopt.training import run_files
from tfp_flowopt.training import run_inspection
from tfp_flowopt.training import run_results
from tfp_flowopt.training import run_settings
from tfp_flowopt.training import run_start
from tfp_flowopt.training import train_state
from tfp_flowopt.training import train_step
from tfp_flowopt.training import training_loop

__all__ = ['Trainer']


class Trainer(run_inspection.RunInspection):
  """Trains a flow by maximum likelihood, from the closed-form optimum on.

  The loss is the mean bits/dim of a batch of images, with stateless
  dequantisation noise, or the mean of -log p in nats of vectors (`nll` in names
  of columns). The optimiser is Adam with a linear warm-up and a bound of the
  gradient norm; a step whose loss or gradient is not finite changes nothing and
  is counted.
  After too many of them in a row the run goes back to its latest checkpoint and
  on from there with half the learning rate. Evaluation and pictures use
  averaged weights.

  Everything random depends on the seed and the step alone, and all state is in
  atomic checkpoints. So a run that is killed at any moment and started again
  goes on with the same numbers as an uninterrupted run; to the last bit, if
  `tf.config.experimental.enable_op_determinism` was called. SIGTERM or Ctrl-C
  saves the step and ends the run. A checkpoint that cannot be read is passed
  over, with a warning, for the one before.

  It trains any `TransformedDistribution`. What only flows of ours have (the
  step to the optimum; of an `ImageFlow` recomputed inputs and constants of its
  layers) is left out for others, which start as they are.

  What is in the working directory is listed in docs/training.md.

  #### Many devices

  Made in the scope of a `tf.distribute.Strategy`, as its `distribution` must be
  too, it trains on all replicas: each gets its part of every batch, and the
  images, noise, losses and weights are those of one device, up to rounding. The
  processes of a `MultiWorkerMirroredStrategy` all run the same program, with
  one `workdir` that all can read; the first one writes.

  ```python
  strategy = tf.distribute.MirroredStrategy()  # or any other
  with strategy.scope():
    distribution = fo.image_flow([32, 32, 3], num_levels=2, num_steps=2)
    trainer = fo.training.Trainer(
        distribution, train_images, held_out_images, workdir, config
    )
  summary = trainer.train()
  ```
  """

  _instead = (
      'its state is in its `workdir`; copy that, and make a new one with it'
  )

  def __init__(
      self,
      distribution: types.TransformedDistribution,
      train_images: data.Examples | types.Dataset,
      held_out_images: data.Examples | types.Dataset,
      workdir: types.Path,
      config: config_lib.TrainConfig,
      description: Mapping[str, Any] | None = None,
      profile_steps: int = 0,
  ) -> None:
    """Describes a run; `train` or `start_or_resume` begins it, or goes on.

    Args:
      distribution: `tfd.TransformedDistribution` of float32 images or vectors,
        as `image_flow` and `vector_flow` make it.
      train_images: `ImageCrops`, `ImageDataset`, or other `data.Examples`; with
        labels, if the flow is conditioned on them. Of vectors a
        `tf.data.Dataset` of these, `[D]`, or of pairs with conditioning, which
        gives the same order each time: it is shuffled here, among 10,000
        (`data.DatasetExamples` with another `shuffle_buffer`).
      held_out_images: The same, of examples that training does not see.
      workdir: Directory of the run; made if it is missing.
      config: `TrainConfig`.
      description: Dictionary of further settings of the run, such as the size
        of the model: numbers and strings.
      profile_steps: Number of steps that TensorFlow's profiler traces, into
        `profile/`.

    Raises:
      ValueError: If `distribution` is not float32 or was made outside of the
        scope of the strategy, if images have labels and the flow is not
        conditioned on so many, or the other way round, if the batch cannot be
        shared among the replicas or held in memory, or if `workdir` has `*`,
        `?` or `[` in its name.
    """
    run_start.check_model(distribution, config)
    arguments.check_int('profile_steps', profile_steps, least=0)
    self._kind = event_kinds.kind_of(distribution, config)
    train, held_out = map(self._kind.examples, (train_images, held_out_images))
    self._replicas = replicas_lib.Replicas()
    run_start.check(
        self._kind,
        distribution,
        train,
        held_out,
        workdir,
        config,
        self._replicas,
    )
    self._distribution = distribution
    self._images = train, held_out
    self._workdir = workdir
    self._config = config
    self._profile_steps = profile_steps
    model = run_settings.model_settings(distribution)
    self._settings = run_settings.run_settings(
        config, description, train, held_out, model
    )
    with self._replicas.strategy.scope():
      self._state = train_state.TrainState(distribution, config)
      self._train_step = train_step.TrainStep(
          self._state, config, self._replicas, self._kind.training_loss()
      )
      self._evaluator = evaluation.FlowEvaluator(
          distribution, self._kind, self._replicas, self._state.log_prob
      )
    self._files: Any = None
    self._loop: Any = None
    self._start_values: Any = None

  def start_or_resume(self) -> Self:
    """Begins the run, or goes on with the one in the working directory.

    A new run initialises the flow at the optimum, unless it is initialised
    already or of another kind, and saves that; a resumed one loads its newest
    checkpoint. A second call does nothing.

    Returns:
      This `Trainer`.

    Raises:
      OtherRunError: If the run in `workdir` was started with other settings or
        other images; the message names them.
      ValueError: If none of the checkpoints of the run can be read, if workers
        have different settings or data, or held-out vectors no likelihood.
      WorkerLostError: If another worker ended or does not answer.
      WorkdirError: If `workdir` cannot be written to.
    """
    if self._loop is None:
      with (
          self._replicas.strategy.scope(),
          interruption.noticing_lost_workers(self._replicas.num_processes),
      ):
        self._begin()
    return self

  def _begin(self):
    config = self._config
    examples = self._examples = run_start.RunExamples(
        self._kind, *self._images, config
    )
    files = run_files.RunFiles(
        self._workdir, self._state, config, self._replicas, self._kind.key
    )
    images = self._kind, examples.init, examples.held_out
    state = self._state, self._evaluator, self._replicas
    start = run_start.begin(files, self._settings, images, *state)
    self._files, self._start_values = files, start
    self._loop = training_loop.TrainingLoop(
        self._kind,
        config,
        self._images[0],
        self._state,
        self._train_step,
        self._evaluate,
        self._replicas,
        files,
        examples.samples,
        start,
        self._profile_steps,
    )

  def _started(self):
    if self._loop is None:
      raise RuntimeError('No run yet: call `start_or_resume()` first.')
    return self._loop

  @property
  def step(self) -> int:
    """Number of steps done."""
    return self._started().step

  @property
  def start(self) -> dict[str, Any]:
    """What was known before training, in bits/dim; of vectors, in nats.

    Returns:
      Dictionary with `settings`; `predicted` (closed form, on the initialising
      images; `None` if the flow came initialised), `measured` (the same by
      `log_prob`); and the best linear flows, fitted to these images:
      `train_optimum`, `held_out_optimum` and `vectors_per_dim` by block sizes
      (of vectors `'dense'`).
    """
    self._started()
    return self._start_values

  @property
  def results(self) -> dict[str, Any] | None:
    """What `train` returned, of a complete run with the same settings.

    `None` of others, and if `summary.json` or `report.txt` is not there.
    """
    self._started()
    if self.step < self._config.train_steps:
      return None
    found = run_results.read(self._files.workdir, self.step, self._settings)
    (missing,) = self._replicas.host_sum([found is None])
    return None if missing else found

  @property
  def is_chief(self) -> bool:
    """Whether this process is the one that writes and prints."""
    return self._replicas.is_chief

  def lock(self) -> types.Context:
    """Context in which no other process can write to the working directory.

    `train` takes the lock itself; this is for what else you write there. It is
    gone when the process ends, by `kill -9` too; `lock.json` says who holds it.

    Raises:
      WorkdirInUseError: On entry, if another process writes there, or has gone
        on with the run since this `Trainer` was made.
      WorkdirError: On entry, if the directory cannot be written to.
    """
    self._started()
    return self._files.lock()

  def evaluate(self) -> float:
    """Loss of the held-out examples, with averaged weights: a `float`.

    Raises:
      RuntimeError: If the weights of the replicas are not the same bits.
    """
    self._started()
    return self._evaluate()

  def _evaluate(self):
    self._replicas.check_identical(self._state.trained)
    with self._state.average.swapped_in():
      return self._evaluator.loss(self._examples.held_out)

  def train(self) -> dict[str, Any]:
    """Calls `start_or_resume`, and trains up to `config.train_steps`.

    A complete run is left as it is: nothing is evaluated or drawn again.

    Returns:
      Dictionary of the results, also in `summary.json`.

    Raises:
      DivergedError: If it diverged again after all roll-backs.
      RuntimeError: If an earlier call was interrupted before its row was kept.
      TrainingInterrupted: At SIGTERM or Ctrl-C, after the step is saved.
      WorkerLostError: If another worker ended or does not answer.
      WorkdirError: If the working directory cannot be written to any more; the
        last good checkpoint stays.
    """
    self.start_or_resume()
    if (results := self.results) is not None:
      return results
    processes = self._replicas.num_processes
    with (
        self.lock(),
        interruption.noticing_lost_workers(processes),
        interruption.StopSignal(alone=processes == 1) as stop,
    ):
      self._files.prepare()
      held_out = self._loop.run(stop)
      with (
          stop.at_once(self.step),
          progress.under_way('Writing report and pictures', not self.is_chief),
      ):
        return self._finish(held_out)

  def _finish(self, held_out):
    report = self.report()
    with self._state.average.swapped_in():
      found = run_results.RunResults(
          self._distribution,
          report,
          self._examples.held_out,
          self._config,
          self._samples(),
      )
    results = found.summary(
        steps=self.step,
        skipped_steps=int(self._state.skipped.numpy()),
        **{
            f'held_out_{self._kind.key}': held_out,
            **self._start_values,
            'settings': self._settings,
        },
    )
    if self._replicas.is_chief:
      with self._files.writing():
        found.show(self.step, self._loop.pictures, self._files.board)
        found.write(self._files.workdir, results)
    self._files.close()
    # No process ends before the chief is done: it would be taken for dead.
    self._replicas.broadcast([self.step])
    return results
