"""Our flow, for benchmarks that hold it against its peers."""

import functools
import math

import numpy as np
import serving
import short_run
import tensorflow as tf
import tf_keras
import trained

import tfp_flowopt as fo

# Images whose errors are held beside their bounds.
_NUM_CERTIFIED = 8


class Flow(trained.Trained):
  """An `image_flow`, trained as `Trainer` does."""

  def __init__(self, settings):
    """Creates the flow, initialised at the optimum.

    Args:
      settings: `image_size`, `channels` (3 by default), `batch_size`,
        `learning_rate`; `flow`, further arguments of `image_flow`,
        `compute_dtype` as a string; and `images`, .npy of at least one batch of
        uint8 images, for steps that are timed, or `crops`, .npz, for `run`.
        Optional: `jit_compile`, for XLA; `clip_norm` (1 by default, `None` for
        no clipping); `seed`; `act_norm`, for Glow's initialisation in place of
        the optimum; `init_images`, of `crops`.
    """
    size, channels = settings['image_size'], settings.get('channels', 3)
    flow = dict(settings['flow'])
    if 'compute_dtype' in flow:
      flow['compute_dtype'] = tf.as_dtype(flow['compute_dtype'])
    seed = settings.get('seed', 0)
    self._distribution = fo.image_flow(
        [size, size, channels], **flow, seed=seed
    )
    self._batch_size = settings['batch_size']
    self._jit_compile = settings.get('jit_compile') or None
    self._clip_norm = settings.get('clip_norm', 1.0)
    self._num_steps_done = 0
    if 'crops' in settings:
      self._crops = short_run.Crops(settings['crops'], self._batch_size, seed)
      count = settings['init_images']
      self._initialize(self._crops.first(count), settings.get('act_norm'))
      self._x = tf.constant(self._crops.first(self._batch_size))
    else:
      self._images = np.load(settings['images'], mmap_mode='r')
      batches = [self._batch(i) for i in range(self._num_batches)]
      self._initialize(np.concatenate(batches), settings.get('act_norm'))
      # Not trained on, if there are more.
      self._x = tf.constant(self._batch(0))
    self._variables = self._distribution.trainable_variables
    self._learning_rate = settings.get('learning_rate', 0.0)
    self._optimizer = tf_keras.optimizers.legacy.Adam(self._learning_rate)
    # Else the step would be traced twice.
    self._optimizer._create_all_weights(self._variables)  # pylint: disable=protected-access

  def _initialize(self, x, act_norm):
    if act_norm:
      fo.flows.initialize_act_norm(self._distribution, x)
      return
    # Not from a generator: Python on TensorFlow's threads made all later steps
    # take 1.45 times as long.
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(self._batch_size)
    fo.initialize_at_optimum(self._distribution, dataset)

  @property
  def _num_batches(self):
    return len(self._images) // self._batch_size

  def _batch(self, i):
    """Batch `i` of the images, with noise of its own."""
    images = self._images[i * self._batch_size : (i + 1) * self._batch_size]
    noise = np.random.default_rng(i).random(images.shape, np.float32)
    return (images + noise) / np.float32(256) - np.float32(0.5)

  @functools.cached_property
  def _step(self):
    @tf.function(autograph=False, jit_compile=self._jit_compile)
    def step(x):
      with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
        loss = fo.bits_per_dim(
            tf.reduce_mean(self._distribution.log_prob(x)),
            self._distribution.event_shape.num_elements(),
        )
      gradients = tape.gradient(loss, self._variables)
      if self._clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
      self._optimizer.apply_gradients(
          zip(gradients, self._variables, strict=True)
      )
      return loss

    return step

  @functools.cached_property
  def _bits_per_dim(self):
    return tf.function(
        lambda x: fo.bits_per_dim(
            tf.reduce_mean(self._distribution.log_prob(x)), self._latent_size
        ),
        autograph=False,
    )

  @functools.cached_property
  def _there_and_back(self):
    flow = self._distribution.bijector
    return tf.function(
        lambda x: flow.forward(tf.identity(flow.inverse(x))), autograph=False
    )

  @functools.cached_property
  def _log_prob(self):
    with fo.lipschitz.frozen(self._distribution) as self._kernels:
      return tf.function(
          self._distribution.log_prob, autograph=False
      ).get_concrete_function(tf.TensorSpec(self._x.shape))

  @functools.cached_property
  def _forward(self):
    with fo.lipschitz.frozen(self._distribution) as self._forward_kernels:
      return tf.function(
          self._distribution.bijector.forward, autograph=False
      ).get_concrete_function(
          tf.TensorSpec([self._x.shape[0], self._latent_size])
      )

  @property
  def _latent_size(self):
    return self._distribution.event_shape.num_elements()

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(v.shape.num_elements() for v in self._variables)

  def train_step(self):
    """One step, on the next batch; bits/dim before it."""
    i = 1 + self._num_steps_done % max(self._num_batches - 1, 1)
    self._num_steps_done += 1
    return self.step(self._batch(i % self._num_batches), self._learning_rate)

  def bits_per_dim(self, x):
    """Mean bits/dim, with the weights of now."""
    return float(self._bits_per_dim(tf.constant(x)))

  def there_and_back(self, x):
    """`x` after `inverse` and `forward`."""
    return self._there_and_back(tf.constant(x)).numpy()

  def run(self, **settings):
    """A run of training: `short_run.run`, and what is certified."""
    row = super().run(**settings)
    row['fallbacks'] = self.num_fallbacks()
    if row['finite']:
      row['log_lipschitz'] = {
          part: [_log_or_none(bounds.forward), _log_or_none(bounds.inverse)]
          for part, bounds in self._distribution.bijector.bounds_by_part()
          ._asdict()
          .items()
      }
      row['of_certified'] = {
          kind: self._error_of_certified(x[:_NUM_CERTIFIED])
          for kind, x in self._crops.out_of_distribution().items()
      }
    return row

  def _error_of_certified(self, x):
    """The largest error of a level's steps, divided by its bound."""
    levels = fo.diagnostics.reconstruction_errors(
        self._distribution, tf.constant(x)
    )
    return max(level.measured / level.bound for level in levels)

  def evaluate(self):
    """Bits/dim of the first batch, with the weights of now."""
    _ = self._log_prob
    self._kernels.update()
    return self.log_prob()

  def reconstruction_error(self):
    """The largest error of a recomputed input in a gradient so far."""
    return float(self._distribution.bijector.monitor.error)

  def num_fallbacks(self):
    """Gradients that were not used because of such an error."""
    return int(self._distribution.bijector.monitor.num_fallbacks)

  def log_prob(self):
    """Mean bits/dim of the batch."""
    return float(
        fo.bits_per_dim(
            tf.reduce_mean(self._log_prob(self._x)), self._latent_size
        )
    )

  def sample(self):
    """Images from noise; the largest value."""
    z = tf.random.stateless_normal(
        [self._x.shape[0], self._latent_size], [0, 0]
    )
    return float(tf.reduce_max(self._forward(z)))

  def round_trip(self):
    """Largest error of an image after `inverse` and `forward`."""
    z = self._distribution.bijector.inverse(self._x)
    return float(tf.reduce_max(tf.abs(self._forward(tf.identity(z)) - self._x)))


def _log_or_none(constant):
  """JSON has no infinity."""
  return math.log(constant) if math.isfinite(constant) else None


if __name__ == '__main__':
  serving.serve(Flow)
