"""The beginning of a run: what is refused, and the step to the optimum."""

import tensorflow as tf

from tfp_flowopt import flows
from tfp_flowopt.training import labelled
from tfp_flowopt.training import linear_optima

__all__ = ['check', 'start']


def check(distribution, train_images, held_out_images, workdir, replicas):
  """Refuses what could not be trained, or not be gone on with.

  Args:
    distribution: The flow.
    train_images: As `Trainer` takes them.
    held_out_images: The same.
    workdir: Directory of the run.
    replicas: `Replicas`.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  if distribution.dtype != tf.float32:
    raise ValueError(
        'Argument `distribution` must be of type float32, got '
        f'{distribution.dtype.name}.'
    )
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
