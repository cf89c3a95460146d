"""Optimum of a linear flow as a function of the data's eigenvalues.

Nothing here knows where the eigenvalues come from.
"""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import types

__all__ = [
    'check_bounds',
    'optimal_log_scales',
    'spectral_optimum',
    'tie_smallest',
]


def check_bounds(lipschitz):
  """The floats `(m, M)`, `0 <= m <= M`, `M > 0`; `(0., inf)` for `None`."""
  if lipschitz is None:
    return 0.0, math.inf
  try:
    lower, upper = (float(bound) for bound in lipschitz)
    is_range = 0 <= lower <= upper and upper > 0 and lower < math.inf
  except (TypeError, ValueError):
    is_range = False
  if not is_range:
    raise ValueError(
        'Argument `lipschitz` must be a pair of numbers (m, M) with '
        f'0 <= m <= M and M > 0, got {lipschitz!r}.'
    )
  # Beyond this the squares in the formulas overflow; no data is meant.
  return lower, upper if upper < 1e100 else math.inf


def tie_smallest(eigenvalues, rank):
  """Replaces all but the `rank` largest eigenvalues by their mean."""
  if rank is None or rank == eigenvalues.shape[-1]:
    return eigenvalues
  with tf.control_dependencies([
      tf.debugging.assert_less_equal(
          rank,
          tf.shape(eigenvalues)[-1],
          message='Argument `rank` must be in 1..D, the dimension.',
      )
  ]):
    tail = eigenvalues[..., rank:]
  mean = tf.reduce_mean(tail, axis=-1, keepdims=True)
  return tf.concat(
      [eigenvalues[..., :rank], tf.broadcast_to(mean, tf.shape(tail))], axis=-1
  )


def optimal_log_scales(
    eigenvalues: types.TensorLike,
    rank: int | None = None,
    lipschitz: tuple[float, float] | None = None,
) -> tf.Tensor:
  """Logarithms of the optimal singular values of the normalising map.

  ```none
  log s_i = log clip(l_i^(-1/2), m, M)
  ```

  with the eigenvalues beyond `rank` replaced by their mean. Tied directions
  share one scale `s`, and `sum_i (log s - s^2 l_i / 2)` over them depends on
  their mean alone; so tying first and clipping then is the joint optimum.

  Args:
    eigenvalues: Floating-point `Tensor` `[..., D]`, descending, not negative.
    rank: `None` or Python `int`, the number of free directions.
    lipschitz: `None` or `(m, M)`, the singular values allowed.

  Returns:
    `Tensor` like `eigenvalues`; infinite where one is 0 and `M` is infinite.
  """
  lower, upper = check_bounds(lipschitz)
  eigenvalues = tie_smallest(tf.convert_to_tensor(eigenvalues), rank)
  if upper < math.inf:
    # M decides at 0; the floor keeps the gradient finite there.
    tiny = np.finfo(eigenvalues.dtype.as_numpy_dtype).tiny
    eigenvalues = tf.maximum(eigenvalues, tiny)
  log_scales = -0.5 * tf.math.log(eigenvalues)
  smallest = -math.inf if lower == 0 else math.log(lower)
  return tf.clip_by_value(log_scales, smallest, math.log(upper))


def spectral_optimum(
    eigenvalues: types.TensorLike,
    rank: int | None = None,
    lipschitz: tuple[float, float] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """The optimal log-likelihood and log-determinant for one linear map.

  ```none
  L* = sum_i (log s_i - s_i^2 l_i / 2) - D/2 log(2 pi)
  log|det A*| = sum_i log s_i
  ```

  Args:
    eigenvalues: As for `optimal_log_scales`, noise floor included.
    rank: Likewise.
    lipschitz: Likewise.

  Returns:
    log_likelihood: `[...]`, nats per vector.
    log_det: `[...]`, nats per vector.
  """
  eigenvalues = tie_smallest(tf.convert_to_tensor(eigenvalues), rank)
  log_scales = optimal_log_scales(eigenvalues, lipschitz=lipschitz)
  dimension = tf.cast(tf.shape(eigenvalues)[-1], eigenvalues.dtype)
  log_det = tf.reduce_sum(log_scales, axis=-1)
  log_likelihood = (
      log_det
      - 0.5 * tf.reduce_sum(tf.exp(2.0 * log_scales) * eigenvalues, axis=-1)
      - 0.5 * dimension * math.log(2.0 * math.pi)
  )
  return log_likelihood, log_det
