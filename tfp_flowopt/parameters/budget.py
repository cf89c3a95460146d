"""A bound for all the log-slopes of a flow together."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.parameters import log_slopes as log_slopes_lib
from tfp_flowopt.parameters import parametrization

__all__ = ['LipschitzBudget']

# A float32 sum of some hundred slopes must not round above what is left.
_ROUNDING = 1.0 - 1e-5


class LipschitzBudget(parametrization.Parametrization):
  """Holds the log-slopes along each path through a flow to one sum.

  Maps with the slopes `e^(s_1), ..., e^(s_J)`, each between 1 and `e^(s_j)`,
  stretch and shrink by at most `exp(sum_j |s_j| / 2)` around the scalar
  `exp(sum_j s_j / 2)`. In a multi-scale flow there is one path for each level,
  where channels are factored out, and only the worst one counts:

  ```none
  fixed_p + factor sum_(j on p) |s_j| / 2 <= beta,   for each path p
  factor = min(1, min_p (beta - fixed_p) / (sum_(j on p) |s_j| / 2))
  ```

  `fixed_p` is what maps with constants of their own need. All slopes are
  multiplied by `factor`: the bound holds whatever training does, and training
  decides which slopes get how much of it.
  """

  def __init__(
      self, log_lipschitz: float, name: str = 'lipschitz_budget'
  ) -> None:
    """Creates a budget of `log_lipschitz` nats, the `beta` above.

    Raises:
      ValueError: If `log_lipschitz` is not a positive number.
    """
    super().__init__(name=name)
    self._log_lipschitz = arguments.check_positive(
        'log_lipschitz', log_lipschitz
    )
    # Pairs of what is left of the budget, and the slopes that share it.
    self._paths: list[Any] = []
    self._members: list[Any] = []

  def add_path(
      self, log_slopes: Sequence[log_slopes_lib.LogSlopes], fixed: float = 0.0
  ) -> None:
    """Adds a path; its slopes are multiplied by the common factor from now on.

    Args:
      log_slopes: List of `LogSlopes`; each may be on several paths.
      fixed: Python `float`, logarithm of the constants of the other maps.

    Raises:
      ValueError: If `fixed` leaves nothing of the budget.
    """
    fixed = arguments.check_number(
        'fixed',
        fixed,
        lambda v: 0 <= v < self._log_lipschitz,
        f'at least 0 and below the budget of {self._log_lipschitz}',
    )
    self._paths.append((self._log_lipschitz - fixed, list(log_slopes)))
    for slopes in log_slopes:
      if slopes not in self._members:
        self._members.append(slopes)
      slopes.join(self)

  def left(
      self,
      member: log_slopes_lib.LogSlopes,
      planned: Mapping[log_slopes_lib.LogSlopes, float],
  ) -> float:
    """What slopes of `member` may still use, in nats of constants.

    Args:
      member: `LogSlopes` that share the budget.
      planned: Dictionary of `LogSlopes` and the sum of `|s_j| / 2` that theirs
        will have, 0 for others.

    Returns:
      Python `float`, that of the path through `member` with the least left.
    """
    return min(
        available - sum(planned.get(other, 0.0) for other in path)
        for available, path in self._paths
        if member in path
    )

  def factor(self) -> tf.Tensor:
    """The common factor of all slopes, a scalar `Tensor` in (0, 1].

    Of steps that are stacked (`RepeatedSteps`) each has a budget of its own.
    """
    return self()

  def compute(self) -> tf.Tensor:
    """Computes the factor."""
    # One tensor of all slopes: each of them calls this, and a sum over each
    # member of each path was most of the graph of a flow.
    sizes = tf.abs(log_slopes_lib.unscaled(self._members))
    on_path = np.repeat(
        [[m in path for m in self._members] for _, path in self._paths],
        [m.num_slopes for m in self._members],
        axis=1,
    )
    totals = tf.linalg.matvec(tf.constant(0.5 * on_path, sizes.dtype), sizes)
    available = tf.constant([a for a, _ in self._paths], sizes.dtype)
    return tf.reduce_min(
        _ROUNDING * available / tf.maximum(totals, available), axis=-1
    )
