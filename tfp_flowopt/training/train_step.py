"""One step of training, on all replicas."""

from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt import lipschitz
from tfp_flowopt import optimum
from tfp_flowopt.data import labelled
from tfp_flowopt.data import quantization
from tfp_flowopt.internal import graphs

__all__ = ['StepResult', 'TrainStep']


class StepResult(NamedTuple):
  """What a step measured, the same on all replicas.

  Attributes:
    loss: Mean bits/dim of the global batch, before the step.
    gradient_norm: Of the loss, before it was bounded.
    error: Largest error of a recomputed input, 0 without a monitor.
    fallbacks: Number of gradients that were computed from kept inputs.
    skipped: Whether nothing was changed, as something was not finite.
    stop: Whether a process was asked to end.
  """

  loss: float
  gradient_norm: float
  error: float
  fallbacks: int
  skipped: bool
  stop: bool


class TrainStep:
  """Gradients on each replica, their sum, and the same update on all.

  A replica's loss is the sum over its images by the number of images of the
  global batch, so sums over replicas, and over the parts that gradients are
  accumulated of, are the mean. Losses, gradients and what is to be agreed on
  travel in one all-reduce; the gradient is bounded after it. So all replicas
  decide alike whether it is finite.

  Image `j` of step `n` has the noise of `(seed, n, j)`, whichever replica it is
  on.

  `loss` is a function of the examples of a part of a batch, of the seed of the
  step and of the number of the first of them: their mean loss. By default it is
  the bits/dim of uint8 images.
  """

  def __init__(self, state, config, replicas, loss=None):
    parts = replicas.count * config.accumulation
    if config.batch_size % parts:
      raise ValueError(
          'Argument `batch_size` must be a multiple of the number of replicas '
          f'times `accumulation`, {replicas.count} * {config.accumulation}, '
          f'got {config.batch_size}.'
      )
    self._state = state
    distribution = self._distribution = state.distribution
    # Of bijectors of other kinds there is nothing to report.
    bijector = getattr(distribution, 'bijector', None)
    self._monitor = getattr(bijector, 'monitor', None)
    self._variables = state.trained
    self._event_size = distribution.event_shape.num_elements()
    self._loss = loss or self._image_loss
    self._config = config
    self._replicas = replicas
    self.part_size = config.batch_size // parts
    self._compiled = self._gradients
    if config.jit_compile:
      # Without the all-reduce, which XLA would have to bring along itself.
      self._compiled = graphs.own_graph(self._gradients, jit_compile=True)

  def __call__(self, images, stop=False):
    """The `StepResult` of a step; `stop`: this process was asked to end.

    Each replica has uint8 images `[B / replicas, H, W, C]`
    (`Replicas.distributed`), or a pair of these and labels.
    """
    numbers = self.take(images, tf.constant(stop)).numpy()
    loss, norm, error, fallbacks, skipped, stops = map(float, numbers)
    return StepResult(
        loss, norm, error, round(fallbacks), bool(skipped), bool(stops)
    )

  @graphs.own_graph_method
  def take(self, images, stop):
    """The same in a graph: the fields of a `StepResult`, as one `Tensor`."""
    strategy = self._replicas.strategy
    numbers, gradients = strategy.run(
        self._reduced, args=(images, self._state.step, stop)
    )
    # The same on all replicas.
    numbers = self._replicas.local(numbers)[0]
    finite = tf.reduce_all(tf.math.is_finite(numbers[:2]))

    def update():
      strategy.run(self._apply, args=(gradients,))
      self._state.average.update()
      return tf.constant(0.0)

    # Not autograph: it would translate the whole flow for one condition. Not
    # on the replicas: the optimiser merges them, which it cannot do in there.
    skipped = tf.cond(finite, update, lambda: tf.constant(1.0))
    self._state.step.assign_add(1)
    return tf.concat([numbers[:4], [skipped], numbers[4:]], 0)

  def _reduced(self, images, step, stop):
    """On a replica: numbers and bounded gradients, of all replicas."""
    replicas = self._replicas
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    seed = tf.stack([self._config.seed, tf.identity(step)])
    first = number * self.part_size * self._config.accumulation
    loss, error, fallbacks, *gradients = self._compiled(images, seed, first)
    # There is no all-reduce that takes the largest: each has a place.
    place = tf.equal(tf.range(replicas.count), number)
    errors = tf.where(place, error, 0.0)
    numbers = tf.concat(
        [tf.stack([loss, fallbacks, tf.cast(stop, tf.float32)]), errors], 0
    )
    numbers, *gradients = replicas.all_sum([numbers, *gradients])
    gradients, norm = tf.clip_by_global_norm(gradients, self._config.clip_norm)
    norm = tf.cast(norm, tf.float32)
    loss, fallbacks, stops = tf.unstack(numbers[:3])
    errors = numbers[3:]
    # NaN, if there is one, on every device.
    nan = tf.reduce_any(tf.math.is_nan(errors))
    error = tf.where(nan, float('nan'), tf.reduce_max(errors))
    return tf.stack([loss, norm, error, fallbacks, stops]), gradients

  def _gradients(self, images, seed, first):
    """Loss, error, fall-backs and gradients, summed over the parts."""
    monitor = self._monitor
    if monitor is None:
      loss, *gradients = self._accumulated(images, seed, first)
      return [loss, tf.zeros([]), tf.zeros([]), *gradients]
    monitor.restart()
    before = monitor.num_fallbacks
    loss, *gradients = self._accumulated(images, seed, first)
    fallbacks = tf.cast(monitor.num_fallbacks - before, tf.float32)
    return [loss, monitor.error, fallbacks, *gradients]

  def _accumulated(self, images, seed, first):
    """Loss and gradients; one part after the other, in the memory of one."""
    size, num_parts = self.part_size, self._config.accumulation
    if num_parts == 1:
      return self._part_gradients(images, seed, first)
    parts = tf.nest.map_structure(
        lambda x: tf.reshape(x, [num_parts, size, *x.shape[1:]]), images
    )

    def add(i, *sums):
      own = tf.nest.map_structure(lambda x: x[i], parts)
      part = self._part_gradients(own, seed, first + i * size)
      return (i + 1, *(a + b for a, b in zip(sums, part, strict=True)))

    zeros = [tf.zeros([]), *(tf.zeros_like(v) for v in self._variables)]
    _, *sums = tf.while_loop(
        lambda i, *_: i < num_parts,
        add,
        [tf.constant(0), *zeros],
        parallel_iterations=1,
        maximum_iterations=num_parts,
    )
    return sums

  def _part_gradients(self, images, seed, first):
    """Loss and gradients of the images from number `first` on."""
    with tf.GradientTape() as tape, lipschitz.shared_rescaling():
      loss = self._loss(images, seed, first)
      loss *= self.part_size / self._config.batch_size
    gradients = tape.gradient(
        loss,
        self._variables,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    loss = tf.cast(loss, tf.float32)
    return [loss, *(tf.convert_to_tensor(g) for g in gradients)]

  def _image_loss(self, images, seed, first):
    images, kwargs = labelled.split(images)
    bits = self._config.bits
    x = quantization.dequantize_numbered(images, bits, seed, first)
    # `memory='auto'` must know how many they are.
    x = tf.ensure_shape(x, [self.part_size, *x.shape[1:]])
    return optimum.bits_per_dim(
        tf.reduce_mean(self._state.log_prob(x, **kwargs)),
        self._event_size,
        bits,
    )

  def _apply(self, gradients):
    """On a replica: the update, from gradients that all have in common."""
    self._state.optimizer.apply_gradients(
        zip(gradients, self._variables, strict=True),
        experimental_aggregate_gradients=False,
    )
