"""Everything that changes while a flow is trained."""

import tensorflow as tf
import tf_keras

from tfp_flowopt.training import averaging
from tfp_flowopt.training import learning_rate

__all__ = ['TrainState']


class TrainState(tf.Module):
  """The flow, its optimiser, averages and counts: what a checkpoint holds.

  Attributes:
    distribution: The flow.
    optimizer: Legacy Adam with its slots made.
    average: `AveragedWeights`.
    schedule: `LearningRate`, not part of checkpoints.
    step: int64 variable, number of steps done.
    skipped: int64 variable, number of those that changed nothing.
    fallbacks: int64 variable, gradients computed from kept inputs.
  """

  def __init__(self, distribution, config, name='train_state'):
    """Creates the variables, inside the scope of the strategy.

    Args:
      distribution: The flow.
      config: `TrainConfig`.
      name: Python `str`.
    """
    super().__init__(name=name)
    variables = distribution.trainable_variables
    self.distribution = distribution
    self.schedule = learning_rate.LearningRate(config)
    # Its update is one fused kernel; Keras' new Adam makes 40 operations of it,
    # for each variable.
    self.optimizer = tf_keras.optimizers.legacy.Adam(self.schedule)
    # Else the first step would make the slots, and be traced twice.
    self.optimizer._create_all_weights(variables)  # pylint: disable=protected-access
    self.average = averaging.AveragedWeights(
        variables, config.ema_decay, self.optimizer.iterations
    )
    self.step = _counter('step')
    self.skipped = _counter('skipped')
    self.fallbacks = _counter('fallbacks')

  @property
  def to_save(self):
    """Dictionary of what a checkpoint holds."""
    return {
        'distribution': self.distribution,
        'optimizer': self.optimizer,
        'average': self.average,
        'step': self.step,
        'skipped': self.skipped,
        'fallbacks': self.fallbacks,
    }


def _counter(name):
  return tf.Variable(
      0,
      dtype=tf.int64,
      trainable=False,
      aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      name=name,
  )
