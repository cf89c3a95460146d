"""The training loop."""

import dataclasses
import math
import pathlib
import time
import warnings

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_flowopt import bijectors
from tfp_flowopt import diagnostics
from tfp_flowopt import flows
from tfp_flowopt import lipschitz
from tfp_flowopt import optimum
from tfp_flowopt.training import averaging
from tfp_flowopt.training import evaluation
from tfp_flowopt.training import files
from tfp_flowopt.training import interruption
from tfp_flowopt.training import progress
from tfp_flowopt.training import run_pictures
from tfp_flowopt.training import run_settings
from tfp_flowopt.training import training_log

__all__ = ['Trainer']

_COLUMNS = (
    'step',
    'train_bits_per_dim',
    'held_out_bits_per_dim',
    'gradient_norm',
    'skipped_steps',
    'reconstruction_error',
    'fallbacks',
    'seconds',
)
# Streams of random numbers that are not a training step's; steps count up
# from 0, so negative numbers never meet them.
_INIT, _HELD_OUT, _SAMPLE = -1, -2, -3
# Images of the report on recomputed inputs.
_RECONSTRUCTED = 8


class Trainer:
  """Trains a flow by maximum likelihood, from the closed-form optimum on.

  The loss is the mean bits/dim of a batch with stateless dequantisation noise;
  the optimiser is Adam with a linear warm-up and a bound of the gradient norm;
  a step whose loss or gradient is not finite changes nothing and is counted.
  Evaluation and pictures use averaged weights.

  Everything random depends on the seed and the step alone, and all state is in
  atomic checkpoints. So a run that is killed at any moment and started again
  goes on where it was, with the same numbers as an uninterrupted run; to the
  last bit, if `tf.config.experimental.enable_op_determinism` was called. At
  SIGTERM it saves the step that it is at, and ends. A checkpoint that cannot be
  read is passed over, with a warning, for the one before.

  Files in the working directory:

  * `checkpoints/`: the latest checkpoints;
  * `start.json`: settings, optima and the predicted bits/dim of step 0;
  * `training_log.csv`: a row for each step, the loss before the step;
  * `curve.png`, `samples.png`: if matplotlib is installed;
  * `report.txt`, `summary.json`: when the run is complete, how far the flow is
    from the optimum and what that means (`diagnostics.optimum_report`).
  """

  def __init__(
      self,
      distribution,
      train_images,
      held_out_images,
      workdir,
      config,
      description=None,
  ):
    """Prepares a run, or resumes the one in `workdir`.

    A new run initialises the flow at the optimum and saves that; a resumed one
    loads its newest checkpoint and initialises nothing.

    Args:
      distribution: `tfd.TransformedDistribution` of float32 images, as
        `image_flow` makes it. A new run initialises it, unless it is
        initialised already.
      train_images: `ImageCrops`, `ImageDataset`, or any object with what they
        have in common: `event_shape`, `fingerprint`, `examples`, `batches`.
      held_out_images: The same, of images that training does not see.
      workdir: Directory of the run; made if it is missing.
      config: `TrainConfig`.
      description: Dictionary of further settings of the run, such as the size
        of the model: numbers and strings.

    Raises:
      OtherRunError: If the run in `workdir` was started with other settings or
        other images; the message names them.
      ValueError: If `distribution` is not float32, if `workdir` lacks a file of
        the run or has `*`, `?` or `[` in its name, or if none of its
        checkpoints can be read.
    """
    if distribution.dtype != tf.float32:
      raise ValueError(
          'Argument `distribution` must be of type float32, got '
          f'{distribution.dtype.name}.'
      )
    if any(c in str(workdir) for c in '*?['):
      raise ValueError(
          'Argument `workdir` must not have `*`, `?` or `[` in its name, which '
          f'TensorFlow takes for a pattern when it loads, got {workdir}.'
      )
    self._distribution = distribution
    self._train_images = train_images
    self._config = config
    self._settings = run_settings.run_settings(
        config, description, train_images, held_out_images
    )
    self._workdir = pathlib.Path(workdir)
    self._workdir.mkdir(parents=True, exist_ok=True)
    self._event_size = distribution.event_shape.num_elements()
    self._log = training_log.TrainingLog(
        self._workdir / 'training_log.csv', _COLUMNS
    )
    self._seconds_before = 0.0
    self._began = time.monotonic()
    self._saved_step = None

    # Of bijectors of other kinds there is nothing to report.
    self._monitor = getattr(distribution.bijector, 'monitor', None)
    self._fallbacks_seen = 0
    self._variables = distribution.trainable_variables
    self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
    self._skipped = tf.Variable(0, dtype=tf.int64, trainable=False)
    # Its update is one fused kernel; Keras' new Adam makes 40 operations of it,
    # for each variable.
    self._optimizer = tf_keras.optimizers.legacy.Adam(_learning_rate(config))
    # Else the first step would make the slots, and be traced twice.
    self._optimizer._create_all_weights(self._variables)  # pylint: disable=protected-access
    self._train_step = tf.function(
        self._take_step,
        autograph=False,
        jit_compile=config.jit_compile or None,
    )
    self._average = averaging.AveragedWeights(
        self._variables, config.ema_decay, self._optimizer.iterations
    )
    self._checkpoints = tf.train.CheckpointManager(
        tf.train.Checkpoint(
            distribution=distribution,
            optimizer=self._optimizer,
            average=self._average,
            step=self._step,
            skipped=self._skipped,
        ),
        str(self._workdir / 'checkpoints'),
        max_to_keep=config.checkpoints_to_keep,
    )
    self._held_out = _stacked(
        held_out_images, config.eval_images, self._seed(_HELD_OUT)
    )
    self._evaluator = evaluation.FlowEvaluator(distribution, config.bits)
    self._pictures = run_pictures.RunPictures(
        self._workdir,
        distribution,
        _stacked(train_images, run_pictures.NUM_SAMPLES, self._seed(_SAMPLE)),
        config.bits,
        self._seed(_SAMPLE),
    )
    if self._checkpoints.latest_checkpoint is None:
      self._start()
    else:
      self._resume()

  @property
  def step(self):
    """Number of steps done."""
    return int(self._step)

  @property
  def start(self):
    """What was known before training, in bits/dim.

    Returns:
      Dictionary with `settings`; `predicted` (closed form, at step 0 on the
      initialisation images; `None` if the flow came initialised), `measured`
      (the same by `log_prob`), and `train_optimum` and `held_out_optimum`, each
      by block size.
    """
    return self._start_values

  def _resume(self):
    """Loads the newest checkpoint."""
    path = self._workdir / 'start.json'
    self._start_values = files.read_json(path)
    if self._start_values is None:
      raise ValueError(
          f'Argument `workdir`: {path} is missing, but there are checkpoints. '
          'Put it back, or use another directory.'
      )
    run_settings.check_same_run(
        self._start_values.get('settings', {}), self._settings, self._workdir
    )
    self._restore_newest()
    self._saved_step = self.step
    self._log.truncate(self.step)
    rows = self._log.rows()
    if rows:
      self._seconds_before = float(rows[-1]['seconds'])

  def _restore_newest(self):
    """Restores the newest checkpoint that can be read."""
    for path in reversed(self._checkpoints.checkpoints):
      try:
        self._checkpoints.checkpoint.restore(path).assert_consumed()
        return
      except (tf.errors.OpError, IndexError) as e:
        # Its checksums do not match, a file is missing, or (IndexError) short.
        warnings.warn(
            f'Passed over checkpoint {path}, which cannot be read: '
            f'{e}',
            stacklevel=2,
        )
    raise ValueError(
        f'Argument `workdir`: no checkpoint in {self._workdir} can be read. '
        'Use another directory to start again.'
    )

  def _start(self):
    """Initialises at the optimum, and saves that as step 0."""
    config = self._config
    images = _stacked(
        self._train_images, config.init_images, self._seed(_INIT)
    )
    x = evaluation.dequantize(images, config.bits, self._seed(_INIT))
    predicted = None
    if not self._distribution.bijector.initialized:
      predicted = flows.initialize_at_optimum(
          self._distribution, x.numpy(), bits=config.bits
      )
    self._average.restart()
    self._start_values = {
        'settings': self._settings,
        'predicted': predicted,
        'measured': self._evaluator.bits_per_dim(images, self._seed(_INIT)),
        'train_optimum': evaluation.pointwise_optima(images, config.bits),
        'held_out_optimum': evaluation.pointwise_optima(
            self._held_out, config.bits
        ),
    }
    files.write_json(self._workdir / 'start.json', self._start_values)
    self._log.truncate(0)
    self._save()

  def _seed(self, stream):
    """Seed of a stream of random numbers."""
    return tf.constant([self._config.seed, stream], tf.int64)

  def _save(self):
    """Saves a checkpoint, unless this step has one: that stays untouched."""
    self._log.flush()
    if self._saved_step != self.step:
      self._checkpoints.save(checkpoint_number=self._step)
      self._saved_step = self.step

  def _take_step(self, images):
    """One step; returns bits/dim of the batch and the gradient norm."""
    config = self._config
    x = evaluation.dequantize(
        images, config.bits, tf.stack([config.seed, self._step])
    )
    if self._monitor is not None:
      self._monitor.restart()
    with tf.GradientTape() as tape, lipschitz.shared_rescaling():
      loss = optimum.bits_per_dim(
          tf.reduce_mean(self._distribution.log_prob(x)),
          self._event_size,
          config.bits,
      )
    gradients = tape.gradient(loss, self._variables)
    gradients, norm = tf.clip_by_global_norm(gradients, config.clip_norm)

    def update():
      self._optimizer.apply_gradients(
          zip(gradients, self._variables, strict=True)
      )
      self._average.update()
      return tf.constant(0, self._skipped.dtype)

    finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
    # Not autograph: it would translate the whole flow for one condition.
    self._skipped.assign_add(
        tf.cond(finite, update, lambda: tf.constant(1, self._skipped.dtype))
    )
    self._step.assign_add(1)
    return loss, norm

  def evaluate(self):
    """Bits/dim of the held-out images, with averaged weights."""
    with self._average.swapped_in():
      return self._evaluator.bits_per_dim(
          self._held_out, self._seed(_HELD_OUT)
      )

  def train(self):
    """Trains up to `config.train_steps`, with a progress bar.

    Returns:
      Dictionary of the results, also in `summary.json`.

    Raises:
      RuntimeError: If an earlier call was interrupted between a step and its
        row in the log.
      TrainingInterrupted: At SIGTERM, after the step is saved.
    """
    with interruption.StopSignal() as stop:
      self._train(stop)
      return self._finish()

  def _train(self, stop):
    """The loop over the steps."""
    config = self._config
    self._log.flush()
    self._log.truncate(self.step)
    if len(self._log.rows()) != self.step:
      raise RuntimeError(
          'The log does not hold every step: training was interrupted. Make a '
          'new `Trainer`; it goes on from the latest checkpoint.'
      )
    best = self._start_values['train_optimum'][self._largest_block]
    bar = progress.Progress(config.train_steps, config.batch_size)
    batches = iter(
        self._train_images.batches(config.batch_size, config.seed, self.step)
    )
    # The bar shows a running mean: single batches vary more than they improve.
    shown = math.nan
    while self.step < config.train_steps:
      step = self.step
      row = {'step': step}
      if step % config.eval_every == 0:
        row['held_out_bits_per_dim'] = self.evaluate()
      loss, norm = (float(x) for x in self._train_step(next(batches)))
      row.update(
          train_bits_per_dim=loss,
          gradient_norm=norm,
          skipped_steps=int(self._skipped),
          seconds=self._seconds(),
          **self._reconstruction(bar),
      )
      self._log.append(**row)
      if math.isfinite(loss):
        shown = loss if math.isnan(shown) else 0.95 * shown + 0.05 * loss
      bar.update(
          step + 1, **{'bits/dim': shown, 'optimum': best, 'gap': shown - best}
      )
      if 'held_out_bits_per_dim' in row:
        bar.print(
            f'step {step}: held-out {row["held_out_bits_per_dim"]:.3f} bits/dim'
        )
        self._draw_pictures()
      if stop.received or (step + 1) % config.checkpoint_every == 0:
        self._save()
      if stop.received:
        bar.close()
        raise interruption.TrainingInterrupted(self.step)
    bar.close()

  def _reconstruction(self, bar):
    """Columns of the log about the last gradient; says when it fell back."""
    if self._monitor is None:
      return {}
    error = float(self._monitor.error)
    fallbacks = int(self._monitor.num_fallbacks)
    if fallbacks and not self._fallbacks_seen:
      bar.print(
          f'step {self.step - 1}: inputs were recomputed with an error of '
          f'{error:.1e} (tolerance {self._monitor.tolerance:.0e}), so '
          'gradients were computed from kept inputs. The column `fallbacks` '
          "counts that; if it is often, memory='stored' is faster."
      )
    self._fallbacks_seen = fallbacks
    return {'reconstruction_error': error, 'fallbacks': fallbacks}

  def report(self):
    """The flow, with averaged weights, beside the best linear flows.

    Returns:
      `diagnostics.OptimumReport`; the linear flows are fitted to the images
      that the flow was initialised with.
    """
    config = self._config
    train = _stacked(self._train_images, config.init_images, self._seed(_INIT))
    data, held_out = (
        np.concatenate([
            *evaluation.dequantized_batches(
                images, config.bits, self._seed(stream)
            )
        ])
        for images, stream in ((train, _INIT), (self._held_out, _HELD_OUT))
    )
    with self._average.swapped_in():
      self._evaluator.update()
      return diagnostics.optimum_report(
          self._distribution,
          data,
          held_out,
          config.bits,
          log_prob=self._evaluator.log_prob,
      )

  def _reconstruction_errors(self):
    """Certified and measured errors of recomputed inputs, of some images."""
    if not isinstance(self._distribution.bijector, bijectors.ImageFlow):
      return []
    x = evaluation.dequantize(
        self._held_out[:_RECONSTRUCTED], self._config.bits,
        self._seed(_HELD_OUT),
    )
    with self._average.swapped_in():
      return diagnostics.reconstruction_errors(self._distribution, x)

  def _finish(self):
    held_out = self.evaluate()
    self._log.append(
        step=self.step,
        held_out_bits_per_dim=held_out,
        skipped_steps=int(self._skipped),
        seconds=self._seconds(),
    )
    self._save()
    self._draw_pictures()
    report = self.report()
    reconstruction = self._reconstruction_errors()
    summary = {
        'steps': self.step,
        'skipped_steps': int(self._skipped),
        'held_out_bits_per_dim': held_out,
        **self._start_values,
        'settings': self._settings,
        'report': dataclasses.asdict(report),
        'reconstruction': [error._asdict() for error in reconstruction],
    }
    with files.atomic_path(self._workdir / 'report.txt') as path:
      lines = (str(part) for part in (report, *reconstruction))
      path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    files.write_json(self._workdir / 'summary.json', summary)
    return summary

  def _seconds(self):
    """Seconds of training, those of earlier processes included."""
    return round(self._seconds_before + time.monotonic() - self._began, 2)

  def _draw_pictures(self):
    """Draws curve and samples, with averaged weights."""
    self._log.flush()
    train, held_out = (
        self._start_values[name][self._largest_block]
        for name in ('train_optimum', 'held_out_optimum')
    )
    with self._average.swapped_in():
      self._pictures.draw(
          self._log.rows(), train, held_out, self._largest_block
      )

  @property
  def _largest_block(self):
    """The block size with the lowest optimum, a key of `start`."""
    return max(self._start_values['train_optimum'], key=int)

  def use_averaged_weights(self):
    """Gives the distribution the averaged weights, for good (for export)."""
    self._average.assign_to_variables()


def _stacked(images, num, seed):
  """The first `num` examples of a seed, uint8 `[num, S, S, C]`."""
  return images.examples(num, seed).batch(num).get_single_element()


def _learning_rate(config):
  """A linear rise over the warm-up, then constant."""
  if not config.warmup_steps:
    return config.learning_rate
  return tf_keras.optimizers.schedules.PolynomialDecay(
      config.learning_rate / config.warmup_steps,
      decay_steps=config.warmup_steps,
      end_learning_rate=config.learning_rate,
  )
