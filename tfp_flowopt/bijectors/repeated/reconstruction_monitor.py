"""An account of how exactly flows find back to their inputs."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['ReconstructionMonitor']


class ReconstructionMonitor(tf.Module):
  """What reversible steps measured, and what they do about it.

  Each gradient of `RepeatedSteps` compares the input that it recomputed with
  the true one, for nothing. Above the tolerance the gradient is computed from
  kept inputs instead, which is as exact as ever, and counted.

  Under a `tf.distribute.Strategy` each replica keeps an account of its own;
  outside of the replicas `num_fallbacks` is the sum over them, `error` the
  mean.
  """

  def __init__(
      self, tolerance: float = 1e-4, name: str = 'reconstruction_monitor'
  ) -> None:
    """Creates the account.

    `tolerance` is the largest error of an event, relative to its norm, at which
    gradients are used.

    Raises:
      ValueError: If `tolerance` is not positive.
    """
    super().__init__(name=name)
    self._tolerance = arguments.check_positive(
        'tolerance', tolerance, or_infinite=True
    )
    self._error = tf.Variable(
        0.0,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
        name='largest_error',
    )
    self._num_fallbacks = tf.Variable(
        0,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
        name='num_fallbacks',
    )

  @property
  def tolerance(self) -> float:
    """The largest relative error at which gradients are used."""
    return self._tolerance

  @property
  def error(self) -> tf.Tensor:
    """The largest relative error since the last `restart`."""
    return tf.identity(self._error)

  @property
  def num_fallbacks(self) -> tf.Tensor:
    """How many gradients were computed from kept inputs so far."""
    return tf.identity(self._num_fallbacks)

  def restart(self) -> None:
    """Forgets the errors so far, not the fall-backs."""
    self._error.assign(0.0)

  def record(self, error: types.TensorLike) -> tf.Tensor:
    """Notes an error, a scalar that may be NaN.

    Returns:
      Boolean scalar `Tensor`, whether it is tolerable.
    """
    error = tf.cast(error, tf.float32)
    accepted = error <= self._tolerance
    # Not tf.maximum, whose result with NaN depends on the device: NaN stays.
    self._error.assign(
        tf.where(
            (error <= self._error) | tf.math.is_nan(self._error),
            self._error,
            error,
        )
    )
    self._num_fallbacks.assign_add(1 - tf.cast(accepted, tf.int32))
    return accepted
