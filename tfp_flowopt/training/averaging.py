"""Moving averages of weights."""

import contextlib

import tensorflow as tf

__all__ = ['AveragedWeights']


class AveragedWeights(tf.Module):
  """Exponential moving averages of variables, to evaluate with.

  The averaging is `tf.train.ExponentialMovingAverage`; this makes its averages
  part of checkpoints, and swaps them in.
  """

  def __init__(self, variables, decay, num_updates, name='averaged_weights'):
    """Starts the averages at the present values.

    Args:
      variables: List of `tf.Variable`s.
      decay: Of the average, below 1.
      num_updates: Integer `tf.Variable`, the updates `n` made so far: the decay
        in use is `min(decay, (1 + n) / (10 + n))`.
      name: Python `str`.
    """
    super().__init__(name=name)
    self._variables = variables
    self._average = tf.train.ExponentialMovingAverage(decay, num_updates)
    self._average.apply(variables)
    self._averages = [self._average.average(v) for v in variables]

  def update(self):
    """Moves the averages towards the variables."""
    self._average.apply(self._variables)

  @contextlib.contextmanager
  def swapped_in(self):
    """Context in which the variables hold their averages."""
    trained = [tf.identity(v) for v in self._variables]
    self.assign_to_variables()
    try:
      yield
    finally:
      for variable, value in zip(self._variables, trained, strict=True):
        variable.assign(value)

  def assign_to_variables(self):
    """Assigns the averages to the variables."""
    for variable, average in zip(
        self._variables, self._averages, strict=True
    ):
      variable.assign(average)

  def restart(self):
    """Puts the averages at the present values of the variables."""
    for variable, average in zip(
        self._variables, self._averages, strict=True
    ):
      average.assign(variable)
