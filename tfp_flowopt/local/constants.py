"""Constants of a bijector within a region, and of where it goes."""

import tensorflow as tf

from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import regions
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps

__all__ = ['LocalBounds', 'bounds_within']


class LocalBounds:
  """Constants of a bijector within regions, with its weights as they are.

  What depends on weights alone is computed once, eagerly; calls may be traced.
  """

  def __init__(self, bijector):
    """Prepares; errors as `lipschitz_bounds`."""
    self._bijector = bijector
    self._local = maps.local_map(bijector)
    self._global = bounds.lipschitz_bounds(bijector)

  def __call__(self, region, conditioning=None):
    """`LipschitzBounds` of `Tensor`s `[...]`; see `lipschitz_bounds`."""
    ball = regions.as_ball(
        region,
        self._bijector.inverse_min_event_ndims or None,
        self._bijector.dtype,
    )
    reach = balls.Reach(ball.center, ball.radius, conditioning)
    there = self._local.inverse(reach)
    inverse = self._at_most(there.slope, self._global.inverse)
    # Where the ball goes is in a ball again, which `forward` leads back.
    radius = tf.math.multiply_no_nan(inverse, ball.radius)
    back = self._local.forward(
        balls.Reach(there.value, radius, conditioning)
    )
    return bounds.LipschitzBounds(
        self._at_most(back.slope, self._global.forward), inverse
    )

  def _at_most(self, slope, constant):
    constant = maps.constant(constant, slope.dtype)
    # Beyond the range of the type nothing was computed.
    known = ~tf.math.is_nan(slope)
    return tf.where(known, tf.minimum(slope, constant), constant)


def bounds_within(bijector, region, conditioning=None):
  """`lipschitz_bounds` within a region."""
  return LocalBounds(bijector)(region, conditioning)


bounds.set_local_bounds(bounds_within)
