"""Scalings of cascades, as graphs that all cascades call."""

import weakref

import tensorflow as tf

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import radial_scaling
from tfp_flowopt.bijectors import radial_terms
from tfp_flowopt.internal import module_tree
from tfp_flowopt.internal import recomputed
from tfp_flowopt.parameters import log_slopes as log_slopes_lib
from tfp_flowopt.parameters import parametrization

__all__ = ['SharedScaling', 'shared_scaling']


class SharedScaling:
  """`ActNorm` and `RadialScaling`, as graphs that all cascades call.

  Else dozens of scalings would be most of the operations of a flow, and of the
  time to trace it.
  """

  def __init__(self, *key):
    self._key = key
    self.tile_size, num_groups, num_terms, dtype = key
    self._template = [
        act_norm.ActNorm(1, dtype=dtype),
        radial_scaling.RadialScaling(
            self.tile_size, num_terms, num_groups=num_groups, dtype=dtype
        ),
    ]
    self._scaled = self._template[1].scaled_with_gradient
    # What half precision is widened to.
    dtype = tf.float32 if dtype.size < 4 else dtype
    per_channel = tf.TensorSpec([None], dtype)
    per_term = tf.TensorSpec([num_terms], dtype)
    images = tf.TensorSpec([None] * 4, dtype)
    # Callables of images `[N, H, W, C]`, with their `factors`.
    self.forward, self.inverse = (
        recomputed.recomputed(
            function,
            [images, per_channel, per_channel, per_term, per_term],
            with_gradient=True,
        )
        for function in (self._forward, self._inverse)
    )

  def __reduce__(self):
    # A copy has the same graphs.
    return shared_scaling, self._key

  def parts(self, weights):
    """The bijectors, with log-scales, shift, log-slopes and log-radii."""
    log_scale, shift, log_slopes, log_radii = weights
    modules = (parametrization.Parametrization, log_slopes_lib.LogSlopes)
    return module_tree.with_leaves(
        self._template,
        module_tree.leaves(self._template, stop=modules),
        [
            parametrization.GivenWeights(log_scale),
            shift,
            parametrization.GivenWeights(log_slopes),
            log_radii,
        ],
    )

  def _forward(self, x, factor, shift, *radii):
    (y, log_det), gradient_of_y = self._scaled(
        radial_terms.undo_terms, x, *radii
    )

    def gradient(dx, d_log_det):
      d_factor = _of_channels(dx * y)
      dx_of_y, *d_radii = gradient_of_y(dx * factor, d_log_det)
      return dx_of_y, d_factor, _of_channels(dx), *d_radii

    return (y * factor + shift, log_det), gradient

  def _inverse(self, y, factor, shift, *radii):
    shifted = y + shift
    x, gradient_of_x = self._scaled(
        radial_terms.apply_terms, shifted * factor, *radii
    )

    def gradient(dx, d_log_det):
      d_scaled, *d_radii = gradient_of_x(dx, d_log_det)
      d_factor = _of_channels(d_scaled * shifted)
      dy = d_scaled * factor
      return dy, d_factor, _of_channels(dy), *d_radii

    return x, gradient


def _of_channels(images):
  """The sums over all positions, `[C]`."""
  return tf.reduce_sum(images, axis=[0, 1, 2])


# Those in use, so that cascades alike share one; the cascades hold them.
_scalings: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


def shared_scaling(*key):
  """The one of a tile size, number of groups and of terms, and type."""
  scaling = _scalings.get(key)
  if scaling is None:
    scaling = _scalings[key] = SharedScaling(*key)
  return scaling
