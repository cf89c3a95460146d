"""What a call of `fit` has found."""

from typing import NamedTuple

__all__ = ['FitResult']


class FitResult(NamedTuple):
  """How `fit` went.

  Attributes:
    history: List of dictionaries, one for each evaluation: `step`, `seconds`,
      and the mean log-likelihoods in nats `train` (of the batches since the
      evaluation before; NaN at the start) and `validation`.
    best_step: The step whose weights the distribution has now.
    validation: Its mean log-likelihood of the validation data, nats.
    skipped_steps: Steps that changed nothing, as they were not finite.
    stopped: `'steps'` if all were taken, or `'patience'`.
  """

  history: list
  best_step: int
  validation: float
  skipped_steps: int
  stopped: str
