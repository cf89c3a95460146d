"""Moving averages of weights."""

import contextlib

import tensorflow as tf

__all__ = ['AveragedWeights']


class AveragedWeights(tf.Module):
  """Exponential moving averages of variables, to evaluate with.

  Not `tf.train.ExponentialMovingAverage`, which sums the weights over the
  replicas, at each step, although they are the same on all.
  """

  def __init__(self, variables, decay, num_updates, name='averaged_weights'):
    """Starts the averages at the present values.

    Args:
      variables: List of `tf.Variable`s; inside their strategy's scope.
      decay: Of the average, below 1.
      num_updates: Integer `tf.Variable`, the updates `n` made so far: the decay
        in use is `min(decay, (1 + n) / (10 + n))`.
      name: Python `str`.
    """
    super().__init__(name=name)
    self._strategy = tf.distribute.get_strategy()
    self._variables = variables
    self._decay = decay
    self._num_updates = num_updates
    self._averages = [
        tf.Variable(tf.identity(v), trainable=False, name='average')
        for v in variables
    ]

  def update(self):
    """Moves the averages towards the variables; not on a replica."""
    num_updates = tf.cast(self._num_updates, tf.float32)
    rate = 1.0 - tf.minimum(
        self._decay, (1.0 + num_updates) / (10.0 + num_updates)
    )
    for variable, average in self._pairs():
      self._strategy.extended.update(
          average,
          lambda average, value, rate: average.assign_sub(
              rate * (average - value)
          ),
          args=(variable, rate),
      )

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
    for variable, average in self._pairs():
      variable.assign(tf.identity(average))

  def restart(self):
    """Puts the averages at the present values of the variables."""
    for variable, average in self._pairs():
      average.assign(tf.identity(variable))

  def _pairs(self):
    return zip(self._variables, self._averages, strict=True)
