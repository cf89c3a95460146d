"""Which flows can be exported, and how they are traced."""

import tensorflow as tf

from tfp_flowopt import flows
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments

__all__ = ['check', 'check_noise', 'without_recomputation']


def check(distribution):
  """Raises a `ValueError` for what cannot be exported."""
  flow_of.check_single(distribution)
  shape = distribution.event_shape
  if shape.rank not in (1, 3) or not shape.is_fully_defined():
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution of images '
        f'[H, W, C] or of vectors [D], got {distribution}.'
    )
  flow_of.check_base(distribution)
  for module in distribution.submodules:
    # The flow may be inside a Chain or another wrapper.
    if not getattr(module, 'initialized', True):
      raise ValueError(
          'Argument `distribution` is not initialised: call '
          '`initialize_at_optimum` and train it, or load a checkpoint, first.'
      )
  if shape.rank == 3 and distribution.dtype != tf.float32:
    raise ValueError(
        'Argument `distribution` must be of type float32, as images are '
        f'served, got {distribution.dtype.name}.'
    )
  _check_finite('distribution', distribution)


def check_noise(dequantization, distribution, bits):
  """Raises a `ValueError` for noise of other images."""
  if dequantization is None:
    return
  arguments.check_instance(
      'dequantization',
      dequantization,
      flows.VariationalDequantization,
      'a `VariationalDequantization`',
  )
  wanted = distribution.event_shape, bits
  found = dequantization.event_shape, dequantization.bits
  if found != wanted:
    raise ValueError(
        'Argument `dequantization` must be of events of shape {} of {} bits, '
        'as `distribution` and `bits` are, got {} of {} bits.'.format(
            *wanted, *found
        )
    )
  _check_finite('dequantization', dequantization)


def _check_finite(name, module):
  for variable in module.variables:
    # Counts of replicas are no weights, and to read one is a sum over all.
    if variable.synchronization == tf.VariableSynchronization.ON_READ:
      continue
    if variable.dtype.is_floating and not tf.reduce_all(
        tf.math.is_finite(variable)
    ):
      raise ValueError(
          f'Argument `{name}` has weights that are not finite, in '
          f'{variable.name}.'
      )


def without_recomputation(distribution):
  """A copy of the same weights whose gradients need no inverses.

  Gradients that a server takes are not with respect to weights.
  """
  return distribution.copy(
      bijector=repeated_steps.with_memory(distribution.bijector, 'stored')
  )
