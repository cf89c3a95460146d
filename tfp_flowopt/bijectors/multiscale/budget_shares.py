"""The shares of a Lipschitz budget, known before a layer is built."""

import math

import numpy as np

from tfp_flowopt.bijectors import scaling_cascade
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import budget as budget_lib
from tfp_flowopt.parameters import log_slopes as log_slopes_lib

__all__ = ['BudgetShares']

# What the couplings get of a budget, and how much less at each coarser level;
# the rest goes to the scaling cascades. Chosen by measurement: see
# docs/lipschitz.md.
_COUPLING_SHARE = 0.3
_SHARE_RATIO = 1.0 / 3.0
# No coupling gets more, in nats, however few there are to share a budget: a
# network of constant 4 needs no more, one of 1e5 would only be hard to train.
_LARGEST_COUPLING = 2.25


class BudgetShares:
  """What each coupling of a flow may use of a budget, and what is left.

  Couplings have fixed shares, which fall from level to level. The rest is one
  `LipschitzBudget` of the log-slopes of all cascades: training shares it out,
  along each path through the levels.

  Attributes:
    of_coupling: List: for each level, the logarithm of the Lipschitz constants
      that one coupling may have.
    arriving: List: for each level, the `LogSlopes` of the cascade of what
      arrives there; `None` where there is none.
    leaving: The same for the cascade of what is factored out there.
  """

  def __init__(self, config, cascade_shapes):
    """Shares out the budget of a flow.

    Args:
      config: `ImageFlowConfig` with a budget.
      cascade_shapes: List: for each level, pairs of the channels and the tile
        sizes of the cascade of what arrives there (`None` at the first) and of
        that of what is factored out. Empty for a flow without cascades.

    Raises:
      ValueError: If the fixed shares leave nothing of the budget.
    """
    weights = _SHARE_RATIO ** np.arange(config.num_levels)
    share = _COUPLING_SHARE if cascade_shapes else 1.0
    self.of_coupling = [
        min(
            config.lipschitz_budget * share * weight / config.num_steps,
            _LARGEST_COUPLING,
        )
        for weight in (weights / weights.sum()).tolist()
    ]
    self.arriving, self.leaving = [], []
    budget = budget_lib.LipschitzBudget(config.lipschitz_budget)
    fixed, passed, num_passed = 0.0, [], 0
    for index, (arriving, leaving) in enumerate(cascade_shapes):
      fixed += config.num_steps * self.of_coupling[index]
      self.arriving.append(_log_slopes(arriving, config.dtype))
      self.leaving.append(_log_slopes(leaving, config.dtype))
      if arriving is not None:
        passed.append(self.arriving[-1])
        num_passed += scaling_cascade.num_scalings(*arriving)
      # The certificate of each scaling has the safety factor.
      num_scalings = num_passed + scaling_cascade.num_scalings(*leaving)
      fixed_and_safety = fixed + num_scalings * math.log(
          rounding.inflation(config.dtype)
      )
      if not fixed_and_safety < config.lipschitz_budget:
        raise ValueError(
            'Argument `lipschitz_budget` must be more: couplings and rounding '
            f'take {fixed_and_safety:.3g}, got {config.lipschitz_budget}.'
        )
      budget.add_path([*passed, self.leaving[-1]], fixed_and_safety)


def _log_slopes(cascade, dtype):
  if cascade is None:
    return None
  return log_slopes_lib.LogSlopes(
      scaling_cascade.num_log_slopes(*cascade), dtype=dtype
  )
