"""Parts of a distribution of images, and checks of them."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors

__all__ = ['check_base', 'check_transformed', 'flow_of']


def check_transformed(distribution):
  """Raises a `ValueError` unless it is a TransformedDistribution.

  TFP makes instances of a private base class, too.
  """
  if None in (
      getattr(distribution, name, None) for name in ('distribution', 'bijector')
  ):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution, got '
        f'{distribution}.'
    )


def flow_of(distribution):
  """The `ImageFlow` of a distribution; a `ValueError` if there is none."""
  flow = getattr(distribution, 'bijector', None)
  if not isinstance(flow, bijectors.ImageFlow):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution by an '
        f'ImageFlow, got {distribution}.'
    )
  return flow


def check_base(distribution):
  """Raises a `ValueError` unless the base is a standard normal."""
  check_transformed(distribution)
  base = distribution.distribution
  size = base.event_shape.num_elements()
  # Whatever the class is called: its density at two points, 0 among them.
  z = np.stack([np.zeros(size), np.sin(np.arange(size))])
  expected = -0.5 * np.sum(z**2 + math.log(2.0 * math.pi), axis=1)
  with tf.init_scope():
    log_prob = base.log_prob(
        tf.constant(z.reshape([2, *base.event_shape]), base.dtype)
    )
    if not np.allclose(log_prob, expected, rtol=1e-3, atol=1e-3):
      raise ValueError(
          'Argument `distribution` must have a standard normal for a base, got '
          f'{base}.'
      )
