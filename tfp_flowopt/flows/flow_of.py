"""What a distribution of images is made of."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors

__all__ = ['check_base', 'flow_of']


def flow_of(distribution):
  """The `ImageFlow` of a distribution.

  Args:
    distribution: `tfd.TransformedDistribution` by an `ImageFlow`.

  Returns:
    The `ImageFlow`.

  Raises:
    ValueError: If `distribution` is of another kind.
  """
  flow = getattr(distribution, 'bijector', None)
  if not isinstance(flow, bijectors.ImageFlow):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution by an '
        f'ImageFlow, got {distribution}.'
    )
  return flow


def check_base(distribution):
  """Raises a `ValueError` unless the base is a standard normal.

  Args:
    distribution: `tfd.TransformedDistribution` of vectors of one size.
  """
  base = distribution.distribution
  if base.event_shape.rank != 1 or not base.event_shape.is_fully_defined():
    raise ValueError(
        'Argument `distribution` must have a standard normal of vectors for a '
        f'base, got events of shape {base.event_shape}.'
    )
  # Whatever the class is called, these two points tell.
  z = np.sin(np.arange(2 * base.event_shape[0])).reshape([2, -1])
  z[0] = 0.0
  expected = -0.5 * np.sum(z**2 + math.log(2.0 * math.pi), axis=1)
  with tf.init_scope():
    log_prob = base.log_prob(tf.constant(z, base.dtype))
    if not np.allclose(log_prob, expected, rtol=1e-3, atol=1e-3):
      raise ValueError(
          'Argument `distribution` must have a standard normal for a base, got '
          f'{base}.'
      )
