"""What can be asked of a run that has begun."""

import abc
from typing import Any

from tfp_flowopt import diagnostics
from tfp_flowopt import flows
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import not_copied
from tfp_flowopt.training import run_samples

__all__ = ['RunInspection']


class RunInspection(not_copied.NotCopied, abc.ABC):
  """The part of a `Trainer` that looks at its flow, and does not train it."""

  _config: Any
  _kind: Any
  _state: Any
  _evaluator: Any
  _examples: Any
  _files: Any

  @abc.abstractmethod
  def _started(self) -> Any:
    """The `TrainingLoop`, or a `RuntimeError` if there is none yet."""

  @property
  def dequantization(self) -> flows.VariationalDequantization | None:
    """The noise that is trained with the flow; `None` if it is uniform."""
    return self._state.dequantization

  def evaluate_draws(
      self, num_images: int, num_draws: int
  ) -> list[tuple[float, float]]:
    """Losses of any number of held-out images, with several draws of noise.

    Args:
      num_images: Number of images; their number in the set takes each once.
      num_draws: How often, with other noise each time.

    Returns:
      List of pairs of Python `float`s, one a draw: the mean over images, and
      its standard error, which is NaN for a single image.

    Raises:
      ValueError: If a number is not a positive integer.
    """
    return self.evaluate_dequantization(num_images, num_draws)[0]

  def evaluate_dequantization(
      self, num_images: int, num_draws: int
  ) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """`evaluate_draws`, and the loss of all draws together.

    Both are upper bounds for images without noise, and that of the mean of the
    densities of the draws is the tighter one, the more so the more there are:
    importance-weighted dequantisation (Hoogeboom et al. 2020).
    """
    self._started()
    num_images = arguments.check_int('num_images', num_images)
    num_draws = arguments.check_int('num_draws', num_draws)
    with self._state.average.swapped_in():
      return self._evaluator.of_draws(
          self._examples.draws(num_images, num_draws)
      )

  def report(self) -> diagnostics.OptimumReport:
    """A `diagnostics.OptimumReport` of the flow, with averaged weights.

    Linear flows are fitted to the images that the flow was initialised with.
    """
    self._started()
    with self._state.average.swapped_in():
      self._evaluator.update()
      return self._kind.report(
          self._examples.init, self._examples.held_out, self._evaluator.log_prob
      )

  def sample_report(self) -> diagnostics.SampleReport | None:
    """A `diagnostics.SampleReport` with averaged weights, or `None`.

    `None` if images are too few, too small or too large, or not finite.
    """
    with self._state.average.swapped_in():
      return self._samples().report

  def _samples(self):
    pictures = self._started().pictures
    return run_samples.RunSamples(pictures, self._examples, self._config)

  def restore_best(self) -> None:
    """Goes to the checkpoint that was best on held-out images, to look at.

    This `Trainer` trains no more: a new one goes on with the run.

    Raises:
      ValueError: If there is none that can be read.
    """
    self._started()
    self._files.restore_best()

  def use_averaged_weights(self) -> None:
    """Gives the distribution the averaged weights, for good (for export).

    `dequantization` gets its own, too. This `Trainer` trains no more: a new one
    goes on with the run.
    """
    self._started()
    self._state.average.assign_to_variables()
    self._files.other_weights = 'The weights are averaged ones.'
