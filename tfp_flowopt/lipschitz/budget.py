"""A bound for all the log-slopes of a flow together."""

import math

import tensorflow as tf

__all__ = ['LipschitzBudget']

# The factor is a float32 number; it must not round above what is left.
_ROUNDING = 1.0 - 1e-6


class LipschitzBudget(tf.Module):
  """Holds the log-slopes along each path through a flow to one sum.

  Maps with the slopes `e^(s_1), ..., e^(s_J)`, each between 1 and `e^(s_j)`,
  stretch and shrink by at most `exp(sum_j |s_j| / 2)` around the scalar
  `exp(sum_j s_j / 2)`. In a multi-scale flow what is factored out early takes
  no part in what comes later, so there is one path for each level, and for the
  flow only the worst one counts:

  ```none
  fixed_p + factor sum_(j on p) |s_j| / 2 <= beta,   for each path p
  factor = min(1, min_p (beta - fixed_p) / (sum_(j on p) |s_j| / 2))
  ```

  `fixed_p` is what maps with constants of their own need. All slopes are
  multiplied by `factor`, so the bound holds whatever training does, and
  training decides which slopes get how much of it.
  """

  def __init__(self, log_lipschitz, name='lipschitz_budget'):
    """Creates a budget that nothing has joined.

    Args:
      log_lipschitz: Positive Python `float`, the `beta` above, in nats.
      name: Python `str`.

    Raises:
      ValueError: If `log_lipschitz` is not a positive number.
    """
    super().__init__(name=name)
    if not 0 < log_lipschitz < math.inf:
      raise ValueError(
          'Argument `log_lipschitz` must be a positive number, got '
          f'{log_lipschitz}.'
      )
    self._log_lipschitz = log_lipschitz
    self._paths = []

  def add_path(self, log_slopes, fixed=0.0):
    """Adds a path; its slopes are multiplied by the common factor from now on.

    Args:
      log_slopes: List of `LogSlopes`; each may be on several paths.
      fixed: Python `float`, logarithm of the constants of the other maps of
        the path.

    Raises:
      ValueError: If `fixed` leaves nothing of the budget.
    """
    if not 0 <= fixed < self._log_lipschitz:
      raise ValueError(
          'Argument `fixed` must be at least 0 and below the budget of '
          f'{self._log_lipschitz}, got {fixed}.'
      )
    self._paths.append((self._log_lipschitz - fixed, list(log_slopes)))
    for slopes in log_slopes:
      slopes.join(self)

  def factor(self):
    """The common factor of all slopes, a scalar `Tensor` in (0, 1)."""
    factors = []
    for available, log_slopes in self._paths:
      total = 0.5 * tf.add_n(
          [tf.reduce_sum(tf.abs(slopes.unscaled())) for slopes in log_slopes]
      )
      factors.append(_ROUNDING * available / tf.maximum(total, available))
    return tf.reduce_min(tf.stack(factors))
