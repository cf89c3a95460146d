"""The beginning of a run: what is refused, and the step to the optimum."""

import os

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import flows
from tfp_flowopt.data import examples as examples_lib
from tfp_flowopt.data import labelled
from tfp_flowopt.training import config as config_lib
from tfp_flowopt.training import linear_optima

__all__ = ['check', 'start']


def check(
    distribution, train_images, held_out_images, workdir, config, replicas
):
  """Refuses what could not be trained, or not be gone on with.

  Args:
    distribution: The flow.
    train_images: As `Trainer` takes them.
    held_out_images: The same.
    workdir: Directory of the run.
    config: As `Trainer` takes it.
    replicas: `Replicas`.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  _check_types(distribution, workdir, config)
  if distribution.dtype != tf.float32:
    raise ValueError(
        'Argument `distribution` must be of type float32, got '
        f'{distribution.dtype.name}.'
    )
  shape = distribution.event_shape
  examples_lib.check('train_images', train_images, shape)
  examples_lib.check('held_out_images', held_out_images, shape)
  labelled.check(distribution, train_images, 'train_images')
  labelled.check(distribution, held_out_images, 'held_out_images')
  labelled.check_alike(train_images, held_out_images)
  extended = replicas.strategy.extended
  if not all(
      extended.variable_created_in_scope(v) for v in distribution.variables
  ):
    raise ValueError(
        'Argument `distribution` must be made in the scope of the strategy, '
        'in which the `Trainer` is made.'
    )
  if any(c in str(workdir) for c in '*?['):
    raise ValueError(
        'Argument `workdir` must not have `*`, `?` or `[` in its name, which '
        f'TensorFlow takes for a pattern when it loads, got {workdir}.'
    )


def _check_types(distribution, workdir, config):
  """Refuses what is no flow, no directory, or no configuration."""
  if not (
      isinstance(distribution, tfp.distributions.Distribution)
      and hasattr(distribution, 'bijector')
  ):
    raise ValueError(
        'Argument `distribution` must be a `TransformedDistribution`, as '
        f'`image_flow` makes it, got {type(distribution).__name__}.'
    )
  if not isinstance(
      getattr(distribution.bijector, 'initialized', None), tf.Variable
  ):
    raise ValueError(
        'Argument `distribution` must have a bijector that knows whether it '
        'was initialised: a Boolean variable `initialized`, as `ImageFlow` has '
        f'it; got {type(distribution.bijector).__name__}.'
    )
  if not isinstance(workdir, (str, os.PathLike)) or not str(workdir):
    raise ValueError(
        f'Argument `workdir` must be the path of a directory, got {workdir!r}.'
    )
  if not isinstance(config, config_lib.TrainConfig):
    raise ValueError(
        f'Argument `config` must be a `TrainConfig`, got {config!r}.'
    )


def start(state, evaluator, examples, held_out, bits, replicas):
  """Initialises a flow at the optimum, the same on all replicas.

  Args:
    state: `TrainState`.
    evaluator: `FlowEvaluator`.
    examples: `ExampleBatches` to initialise with.
    held_out: `ExampleBatches`.
    bits: Number of bits of an image value.
    replicas: `Replicas`.

  Returns:
    Dictionary of what is known before training, see `Trainer.start`.
  """
  distribution = state.distribution
  predicted = None
  if not distribution.bijector.initialized.numpy():
    with replicas.scope():
      predicted = flows.initialize_at_optimum(
          distribution, examples.dequantized(bits), bits=bits
      )
  replicas.broadcast_variables(distribution.variables)
  state.average.restart()
  return {
      'predicted': predicted,
      'measured': evaluator.bits_per_dim(examples),
      **linear_optima.pointwise_optima(examples, held_out, bits),
  }
