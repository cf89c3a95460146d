"""What a bijector onto the support of a distribution must be."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.internal import arguments

__all__ = ['latent_shape', 'latent_size']


def latent_shape(support, event_shape, dtype):
  """The shape that a bijector takes to that of an event.

  Args:
    support: `tfb.Bijector`.
    event_shape: Static shape, or a structure of shapes.
    dtype: Of real vectors; of events, too, unless they are structures.

  Returns:
    `tf.TensorShape`, or a structure of them.

  Raises:
    ValueError: If it is no bijector, or does not take real arrays of such
      shapes and this type.
  """
  arguments.check_instance(
      'support', support, tfp.bijectors.Bijector, 'a tfb.Bijector'
  )
  try:
    shape = support.inverse_event_shape(event_shape)
    # Not all bijectors know their type: it is tried.
    support.forward(
        tf.nest.map_structure(lambda part: tf.zeros(part, dtype), shape)
    )
  except Exception as e:  # pylint: disable=broad-exception-caught
    # Whatever is wrong, it will be so with data.
    raise ValueError(
        f'Argument `support` must take real arrays of {dtype.name} to events '
        f'of shape {event_shape}; {support.name} does not: {e}'
    ) from e
  return shape


def latent_size(support, event_size, dtype):
  """The size of the vectors that a bijector takes to vectors; see above."""
  shape = latent_shape(support, tf.TensorShape([event_size]), dtype)
  ranks = support.forward_min_event_ndims, support.inverse_min_event_ndims
  if shape.rank != 1 or max(tf.nest.flatten(ranks)) > 1:
    raise ValueError(
        'Argument `support` must be elementwise or take vectors to vectors, '
        f'got {support.name}.'
    )
  return shape[0]
