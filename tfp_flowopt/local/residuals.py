"""Residual layers in a ball: what is linear in them for certain."""

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps

__all__ = []


class _NearLinear(maps.Layer):
  """`f(y) = factor y + g(y)`, `g` of a known constant."""

  keeps_channels = True

  def __init__(self, bijector, factor, lipschitz):
    super().__init__(bijector)
    self._factor, self._lipschitz = factor, lipschitz

  def _inverse(self, reach):
    value, log_det = maps.evaluated(self.bijector, 'inverse', reach)
    factor = tf.constant(self._factor, value.dtype)
    value = maps.linearized(value, reach.center, factor)
    reach.note(value, tf.cast(self._lipschitz, value.dtype) * reach.radius)
    slope = tf.zeros_like(reach.radius) + maps.constant(
        self.bounds.inverse, value.dtype
    )
    low, high = maps.log_det_range(
        reach,
        log_det,
        self.bounds.inverse,
        self.bounds.forward,
        self.bijector.has_exact_log_det,
    )
    bend = abs(self._factor - 1.0) + self._lipschitz
    bend = tf.zeros_like(slope) + maps.constant(bend, slope.dtype)
    return balls.Change(value, log_det, slope, low, high, bend)


def _residual(bijector):
  return _NearLinear(bijector, 1.0, bijector.lipschitz)


def _convex(bijector):
  # The Jacobian is symmetric, its eigenvalues between both.
  least, most = bijector.smallest, bijector.largest
  return _NearLinear(bijector, 0.5 * (least + most), 0.5 * (most - least))


maps.register(bijectors.LipschitzResidual, _residual)
maps.register(bijectors.ConvexPotentialResidual, _convex)
