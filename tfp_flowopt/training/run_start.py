"""The beginning of a run: what is refused, its images, and the optimum."""

import tensorflow as tf

from tfp_flowopt.data import examples as examples_lib
from tfp_flowopt.data import labelled
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import device_memory
from tfp_flowopt.internal import progress
from tfp_flowopt.training import checkpoints
from tfp_flowopt.training import config as config_lib
from tfp_flowopt.training import linear_optima
from tfp_flowopt.training import run_pictures
from tfp_flowopt.training import run_settings

__all__ = ['RunExamples', 'begin', 'check', 'check_model', 'start']

# Streams of random numbers that are not a training step's; steps count up
# from 0, so negative numbers never meet them.
_INIT, _HELD_OUT, _SAMPLE, _DRAWS = -1, -2, -3, -4


def check_model(distribution, config):
  """Raises a `ValueError` for what is none."""
  flow_of.check_single(distribution)
  arguments.check_instance(
      'config', config, config_lib.TrainConfig, 'a `TrainConfig`'
  )
  rank = distribution.event_shape.rank
  if config.dequantization != 'uniform' and rank != 3:
    raise ValueError(
        f"Argument `config`: dequantization='{config.dequantization}' is for "
        f'images, got events of shape {distribution.event_shape}.'
    )


def check(
    kind, distribution, train_images, held_out_images, workdir, config, replicas
):
  """Raises a `ValueError` for what could not be trained, or gone on with."""
  checkpoints.check_workdir(workdir, 'Trainer')
  if distribution.dtype != tf.float32:
    raise ValueError(
        'Argument `distribution` must be of type float32, got '
        f'{distribution.dtype.name}.'
    )
  for name, images in (
      ('train_images', train_images), ('held_out_images', held_out_images)
  ):
    examples_lib.check(name, images, distribution.event_shape)
    kind.check(images, name)
  labelled.check_alike(train_images, held_out_images)
  _check_batch(config.batch_size, distribution.event_shape, replicas)
  extended = replicas.strategy.extended
  if not all(
      extended.variable_created_in_scope(v) for v in distribution.variables
  ):
    raise ValueError(
        'Argument `distribution` must be made in the scope of the strategy, '
        'in which the `Trainer` is made.'
    )


def _check_batch(batch_size, event_shape, replicas):
  """Refuses a batch that this machine cannot hold."""
  memory = device_memory.host_memory()
  own = batch_size // replicas.num_processes
  size = 4 * own * event_shape.num_elements()
  if memory is not None and size > memory:
    raise ValueError(
        f'Argument `batch_size`: {own} examples of float32 take '
        f'{size / 2**30:.0f} GiB, and this machine has '
        f'{memory / 2**30:.0f} GiB.'
    )


class RunExamples:
  """The sets of images that a run looks at again and again.

  Attributes:
    init: `ExampleBatches` of training images, for the initialisation.
    held_out: `ExampleBatches` of held-out images, for evaluations.
    samples: `ExampleBatches` of training images, shown beside samples.
  """

  def __init__(self, kind, train_images, held_out_images, config):
    self._batches = kind.batches
    self._held_out_images = held_out_images
    self._seed = config.seed
    self.init, self.held_out, self.samples = (
        kind.batches(
            images, num, tf.constant([config.seed, stream], tf.int64)
        )
        for images, num, stream in (
            (train_images, config.init_images, _INIT),
            (held_out_images, config.eval_images, _HELD_OUT),
            (train_images, run_pictures.NUM_SAMPLES, _SAMPLE),
        )
    )

  def draws(self, num_images, num_draws):
    """List of the same held-out images, with other noise each time."""
    images = self._batches(
        self._held_out_images, num_images, self.held_out.seed
    )
    return [
        images.with_noise(tf.constant([self._seed, _DRAWS - draw], tf.int64))
        for draw in range(num_draws)
    ]


def begin(files, settings, images, state, evaluator, replicas):
  """Starts or resumes the run of `RunFiles`, and keeps what is known of it.

  `images` are their kind, those of the start, and held-out ones.
  """
  quiet = not replicas.is_chief
  run_settings.check_same_everywhere(settings, replicas)
  if files.found:
    with progress.under_way('Loading the run', quiet):
      return linear_optima.completed(files.resume(settings), *images)
  with files.lock(), progress.under_way('Initialising the flow', quiet):
    known = start(state, evaluator, *images, replicas)
    known = {'settings': settings, **known}
    files.start(known)
  return known


def start(state, evaluator, kind, examples, held_out, replicas):
  """Initialises a flow of ours at the optimum, the same on all replicas.

  Returns what is known before training, see `Trainer.start`.
  """
  kind.check_values(held_out, 'held_out_images')
  distribution = state.distribution
  predicted = None
  bijector = distribution.bijector
  # Others have no closed form, and start as they are.
  if isinstance(bijector, kind.flow) and not bijector.initialized.numpy():
    with replicas.strategy.scope():
      predicted = kind.initialize(examples)
  replicas.broadcast_variables(distribution.variables)
  if state.dequantization is not None:
    replicas.broadcast_variables(state.dequantization.variables)
  state.average.restart()
  return {
      'predicted': predicted,
      'measured': evaluator.loss(examples),
      **kind.optima(examples, held_out),
  }
