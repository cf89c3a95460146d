"""Check that a flow is new but for its linear maps."""

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors

__all__ = ['check_fresh']


def check_fresh(flow):
  """Raises a `ValueError` unless all of a flow but its whitenings does nothing.

  The closed form holds for a flow whose only maps are the whitenings: its
  scalings, and the steps of a level together, must be the identity.
  """
  for level in flow.levels:
    channels = level.factor_out.event_shape[-1]
    num_factored = level.factor_out.num_factored
    for name, parts, size in (
        ('scalings', [level.scaling], channels // 4),
        ('steps', level.parts_after_whitening, channels),
        ('scalings', [level.factor_out.scaling], num_factored),
    ):
      if not _do_nothing(parts, size):
        raise ValueError(
            'Argument `distribution` has weights that were changed (its '
            f'{name} are not the identity); make a new one.'
        )


def _do_nothing(parts, num_channels):
  """Whether bijectors are the identity together, for images of any size."""
  rest = []
  for part in parts:
    if isinstance(part, bijectors.ScalingCascade):
      if not _do_nothing(part.parts, num_channels):
        return False
    elif isinstance(part, bijectors.RadialScaling):
      # At some energy or other, any slope matters.
      if np.any(part.log_slopes()):
        return False
    elif part is not None:
      rest.append(part)
  if not rest:
    return True
  dtype = rest[0].dtype
  # Small values show shifts, large ones slopes.
  sizes = np.array([1e-2, 1.0, 1e2]).reshape([3, 1, 1, 1])
  x = tf.random.stateless_normal([3, 4, 4, num_channels], [0, 0], dtype=dtype)
  x *= tf.cast(sizes, dtype)
  y, total = x, 0.0
  for part in rest:
    y, log_det = bijectors.inverse_and_log_det(part, y)
    total += log_det
  tolerance = 32.0 * np.finfo(dtype.as_numpy_dtype).eps * (
      num_channels * len(rest)
  ) ** 0.5
  return bool(
      np.all(np.abs(y - x) <= tolerance * sizes)
      and np.all(np.abs(total) <= tolerance * num_channels)
  )
