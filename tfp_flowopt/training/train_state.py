"""Everything that changes while a flow is trained."""

import contextlib
import math

import tensorflow as tf
import tf_keras

from tfp_flowopt import flows
from tfp_flowopt.training import muon

__all__ = ['AveragedWeights', 'BestWeights', 'LearningRate', 'TrainState']


class TrainState(tf.Module):
  """The flow, its optimiser, averages and counts: what a checkpoint holds.

  Made in the scope of the strategy.

  Attributes:
    distribution: The flow.
    dequantization: `flows.VariationalDequantization`, or `None`.
    trained: List of the variables that steps change.
    optimizer: Legacy Adam, or `Muon`, with its slots made.
    average: `AveragedWeights`.
    schedule: `LearningRate`, not part of checkpoints.
    step: int64 variable, number of steps done.
    skipped: int64 variable, number of those that changed nothing.
    fallbacks: int64 variable, gradients computed from kept inputs.
  """

  def __init__(
      self, distribution, config, dequantization=None, name='train_state'
  ):
    super().__init__(name=name)
    self.distribution = distribution
    if dequantization is None and config.dequantization == 'variational':
      dequantization = flows.VariationalDequantization(
          distribution.event_shape, config.bits, seed=config.seed
      )
    self.dequantization = dequantization
    variables = list(distribution.trainable_variables)
    if dequantization is not None:
      variables += dequantization.trainable_variables
    self.trained = variables
    self.schedule = LearningRate(config)
    # Its update is one fused kernel; Keras' new Adam makes 40 operations of it,
    # for each variable.
    self.optimizer = (
        muon.Muon(self.schedule)
        if config.optimizer == 'muon'
        else tf_keras.optimizers.legacy.Adam(self.schedule)
    )
    # Else the first step would make the slots, and be traced twice.
    self.optimizer._create_all_weights(variables)  # pylint: disable=protected-access
    self.average = AveragedWeights(
        variables, config.ema_decay, self.optimizer.iterations
    )
    self.step, self.skipped, self.fallbacks = (
        _host_variable(0, tf.int64, name)
        for name in ('step', 'skipped', 'fallbacks')
    )

  def log_prob(self, x, **kwargs):
    """Log-likelihoods of `x`, of images a bound of those of their bins."""
    if self.dequantization is None:
      return self.distribution.log_prob(x, **kwargs)
    x, log_det = self.dequantization(x)
    return self.distribution.log_prob(x, **kwargs) + log_det

  @property
  def to_save(self):
    """Dictionary of what a checkpoint holds."""
    names = (
        'distribution', 'optimizer', 'average', 'step', 'skipped', 'fallbacks'
    )
    if self.dequantization is not None:
      names += ('dequantization',)
    return {name: getattr(self, name) for name in names}


class LearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
  """A linear warm-up, then a constant or half a cosine, times a scale.

  ```none
  rate(n) = scale * peak * warmup(n) * course(n),  n: updates made
  warmup(n) = min(1, (n + 1) / warmup_steps)
  course(n) = 1, or (1 + cos(pi min(1, n / train_steps))) / 2
  ```
  """

  def __init__(self, config):
    super().__init__()
    self._config = config
    # A variable, so that a roll-back need not trace the step again.
    self.scale = _host_variable(1.0, tf.float32, 'scale')

  def __call__(self, step):
    """The rate of update number `step`."""
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


class AveragedWeights(tf.Module):
  """Exponential moving averages of variables, to evaluate with.

  After `n` updates, a variable, the decay in use is
  `min(decay, (1 + n) / (10 + n))`.

  Not `tf.train.ExponentialMovingAverage`, which sums the weights over the
  replicas, at each step, although they are the same on all.
  """

  def __init__(self, variables, decay, num_updates, name='averaged_weights'):
    super().__init__(name=name)
    self._strategy = tf.distribute.get_strategy()
    self._variables = variables
    self._decay = float(decay)
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
    for variable, average in zip(self._variables, self._averages, strict=True):
      self._strategy.extended.update(
          average,
          lambda average, value, rate: average.assign_sub(
              tf.cast(rate, average.dtype) * (average - value)
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
      _assign(self._variables, trained)

  def assign_to_variables(self):
    """Assigns the averages to the variables."""
    _assign(self._variables, self._averages)

  def restart(self):
    """Puts the averages at the present values of the variables."""
    _assign(self._averages, self._variables)


class BestWeights(tf.Module):
  """The best weights of variables so far, and how good they are."""

  def __init__(self, variables, name='best_weights'):
    super().__init__(name=name)
    self._variables = variables
    self._kept = [tf.Variable(v, trainable=False) for v in variables]
    self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
    self._value = tf.Variable(-math.inf, dtype=tf.float64, trainable=False)

  @property
  def step(self):
    """The step at which they were kept."""
    return int(self._step.numpy())

  @property
  def value(self):
    """What they reached; larger is better."""
    return float(self._value.numpy())

  def keep(self, step, value):
    """Keeps the present weights."""
    self._step.assign(step)
    self._value.assign(value)
    _assign(self._kept, self._variables)

  def restore(self):
    """Gives the variables their best weights."""
    _assign(self._variables, self._kept)


def _assign(variables, values):
  for variable, value in zip(variables, values, strict=True):
    variable.assign(tf.identity(value))


def _host_variable(value, dtype, name):
  """A number that the host counts, the same on all replicas."""
  return tf.Variable(
      value,
      dtype=dtype,
      trainable=False,
      aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      name=name,
  )
