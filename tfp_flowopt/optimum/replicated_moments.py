"""Moments of data that several replicas read."""

import tensorflow as tf

from tfp_flowopt.optimum import moment_variables

__all__ = ['ReplicatedMoments']


class ReplicatedMoments:
  """Moments that all replicas share, and each one's own since then.

  On one replica there are the shared ones only.

  Attributes:
    variables: Those of the shared moments, by name: the state to save.
  """

  def __init__(self, template, shapes, name):
    """Creates variables for no data, for the strategy whose scope this is in.

    Args:
      template: See `MomentVariables`.
      shapes: See `MomentVariables`.
      name: For error messages.
    """
    self._name = name
    self._strategy = tf.distribute.get_strategy()
    # Every replica assigns the same there, after `all_reduce`.
    self._shared = moment_variables.MomentVariables(
        template,
        shapes,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    self.variables = self._shared.variables
    self._own = None
    if self._strategy.num_replicas_in_sync > 1:
      self._own = moment_variables.MomentVariables(
          template,
          shapes,
          synchronization=tf.VariableSynchronization.ON_READ,
          aggregation=tf.VariableAggregation.NONE,
      )

  def add(self, moments):
    """Merges `moments`: on a replica into its own, else into the shared."""
    if self._on_one_of_many():
      self._own.add(moments)
      return
    with self._strategy.scope():
      self._shared.add(moments)

  def all_reduce(self):
    """Merges each replica's own moments into the shared ones."""
    if self._on_one_of_many():
      self._shared.add(self._own.read().all_reduce())
      self._own.clear()
    elif self._own is not None:
      with self._strategy.scope():
        self._strategy.run(self.all_reduce)

  def read(self):
    """The shared `Moments`, behind a check that they are all there is."""
    if self._own is None:
      return self._shared.read()

    counts = [self._own.variables['count']]
    if not self._on_one_of_many():
      # Each replica's own: no worker waits for another one here.
      counts = self._strategy.experimental_local_results(*counts)
    counts = [tf.identity(count) for count in counts]
    check = tf.debugging.assert_equal(
        tf.add_n(counts),
        tf.constant(0.0, tf.float64),
        message=(
            'Replicas have seen data that is not shared yet: call '
            '`AutoCorrelation.all_reduce` first.'
        ),
    )
    with tf.control_dependencies([] if check is None else [check]):
      return self._shared.read()

  def _on_one_of_many(self):
    """Whether this is the context of one of several replicas."""
    if tf.distribute.in_cross_replica_context():
      return False
    if tf.distribute.get_replica_context().num_replicas_in_sync == 1:
      return False
    if self._own is None:
      raise ValueError(
          f'"{self._name}" is used on several replicas: create it in the scope '
          'of their strategy (`with strategy.scope():`).'
      )
    return True
