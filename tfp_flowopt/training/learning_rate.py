"""The course of the learning rate."""

import math

import tensorflow as tf
import tf_keras

__all__ = ['LearningRate']


class LearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
  """A linear warm-up, then a constant or half a cosine, times a scale.

  ```none
  rate(n) = scale * peak * warmup(n) * course(n),  n: updates made
  warmup(n) = min(1, (n + 1) / warmup_steps)
  course(n) = 1, or (1 + cos(pi min(1, n / train_steps))) / 2
  ```
  """

  def __init__(self, config):
    """Creates the schedule.

    Args:
      config: `TrainConfig`.
    """
    super().__init__()
    self._config = config
    # A variable, so that a roll-back need not trace the step again.
    self.scale = tf.Variable(
        1.0,
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )

  def __call__(self, step):
    """The rate of update number `step`, a float32 scalar `Tensor`."""
    config = self._config
    step = tf.cast(step, tf.float32)
    rate = config.learning_rate * self.scale
    if config.warmup_steps:
      rate *= tf.minimum(1.0, (step + 1.0) / config.warmup_steps)
    if config.schedule == 'cosine':
      # Of the updates that are left: the last one is above 0.
      part = tf.minimum(1.0, step / config.train_steps)
      rate *= 0.5 * (1.0 + tf.cos(math.pi * part))
    return rate

  def get_config(self):
    """The argument of the constructor; the scale is not part of it."""
    return {'config': self._config}
