"""ScalingCascade bijector."""

import tensorflow as tf

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import radial_scaling
from tfp_flowopt.lipschitz import bounds

__all__ = ['ScalingCascade']


class ScalingCascade(base.JointBijector):
  """Scales an image by its local energy, from large tiles to small ones.

  For each tile size, in direction `inverse`, a `RadialScaling` of all channels
  together and one of each channel alone, each behind an `ActNorm`. Large tiles
  measure their energy well and take most of its variation; small ones what is
  left, at their own place. Channels alone (edges in one direction, colour) take
  what they do not share; the last one, of single values, makes their marginals
  more Gaussian.

  Lipschitz constants: the products of those of the parts.

  #### Example

  ```python
  bijector = fo.bijectors.ScalingCascade(12, tile_sizes=(4, 2, 1))
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  ```
  """

  def __init__(
      self,
      num_channels,
      tile_sizes=(4, 2, 1),
      num_terms=4,
      slope_bound=4.0,
      log_range=1.0,
      parts=None,
      dtype=tf.float32,
      validate_args=False,
      name='scaling_cascade',
  ):
    """Creates the bijector, as the identity.

    Args:
      num_channels: Size of the last axis of the images.
      tile_sizes: Sides of the tiles, in the order of direction `inverse`; each
        must divide height and width.
      num_terms: Number of terms of each `RadialScaling`.
      slope_bound: Bound of each of their `|s_j|`.
      log_range: Range of the scales of each `ActNorm`.
      parts: List of bijectors to share instead of making them.
      dtype: Type of the variables.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If `tile_sizes` is empty.
    """
    parameters = dict(locals())
    if not tile_sizes:
      raise ValueError('Argument `tile_sizes` must name at least one size.')
    with tf.name_scope(name) as name:
      if parts is None:
        parts = []
        for tile_size in tile_sizes:
          for num_groups in sorted({1, num_channels}):
            parts += [
                act_norm.ActNorm(num_channels, log_range, dtype=dtype),
                radial_scaling.RadialScaling(
                    tile_size,
                    num_terms,
                    slope_bound,
                    num_groups=num_groups,
                    dtype=dtype,
                ),
            ]
      # A copy shares the weights instead of making new ones.
      parameters.update(parts=parts)
      self._parts = parts
      super().__init__(
          forward_min_event_ndims=3,
          dtype=dtype,
          validate_args=validate_args,
          parameters=parameters,
          name=name,
      )

  _fixed_in_copies = (
      'num_channels',
      'tile_sizes',
      'num_terms',
      'slope_bound',
      'log_range',
      'dtype',
  )

  @property
  def parts(self):
    """The bijectors, in the order of direction `inverse`."""
    return self._parts

  def _forward_and_log_det(self, x):
    return base.compose(base.forward_and_log_det, reversed(self._parts), x)

  def _inverse_and_log_det(self, y):
    return base.compose(base.inverse_and_log_det, self._parts, y)


@bounds.lipschitz_bounds.register
def _(bijector: ScalingCascade):
  result = bounds.ISOMETRY
  for part in bijector.parts:
    result = result.then(bounds.lipschitz_bounds(part))
  return result
