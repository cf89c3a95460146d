"""Moments in variables, of one replica or of several."""

import dataclasses
import math

import tensorflow as tf

from tfp_flowopt.internal import device_memory

__all__ = ['MomentVariables']

_FIELDS = ('count', 'mean', 'within', 'between')


class MomentVariables:
  """Moments that all replicas share, and each one's own since then, if many.

  `variables` are those of the shared moments, by name: the state to save.
  """

  def __init__(self, template, shapes, name):
    """Creates variables for no data, for the strategy whose scope this is in.

    `template` is `Moments` whose further fields are kept, `shapes` those of
    `mean`, `within` and `between`; `name` is for messages.
    """
    _check_memory(shapes)
    self._name = name
    self._strategy = tf.distribute.get_strategy()
    # Every replica assigns the same there, after `all_reduce`.
    self._shared = _OneSet(
        template,
        shapes,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    self.variables = self._shared.variables
    self._own = None
    if self._strategy.num_replicas_in_sync > 1:
      self._own = _OneSet(
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
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.strategy is self._strategy:
      self._shared.add(moments)  # the only one, which cannot enter the scope
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
    with tf.control_dependencies([check]):
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


class _OneSet:
  """The variables of one `Moments`, of any kind.

  Not a `tf.Module`: the owner decides what a checkpoint holds.
  """

  def __init__(self, template, shapes, **options):
    self._template = template
    self.variables = {
        name: tf.Variable(
            tf.zeros(shape, tf.float64), trainable=False, name=name, **options
        )
        for name, shape in zip(_FIELDS, ([], *shapes), strict=True)
    }

  def read(self):
    return dataclasses.replace(
        self._template,
        **{name: tf.identity(v) for name, v in self.variables.items()},
    )

  def add(self, moments):
    """Merges `moments` into them, in place; nothing where those are refused."""
    means = self.read().merged_means(moments)
    # In a graph the count may not depend on the values, and would be assigned
    # although they are refused.
    with tf.control_dependencies([moments.within]):
      # The largest one without a copy.
      self.variables['within'].assign_add(moments.within)
      for name, value in means.items():
        self.variables[name].assign(value)

  def clear(self):
    for variable in self.variables.values():
      variable.assign(tf.zeros_like(variable))


def _check_memory(shapes):
  """Refuses variables that no memory here could hold."""
  size = 8 * sum(math.prod(shape) for shape in shapes)
  memory = device_memory.host_memory()
  if memory is not None and size > memory:
    raise ValueError(
        f'Argument `event_shape`: moments of shapes {list(shapes)} take '
        f'{size / 2**30:.1f} GiB, and this machine has {memory / 2**30:.1f}. '
        'Structures "pointwise" and "circulant" need less; so does '
        '`likelihood_optimum` of fewer vectors than dimensions.'
    )
