"""Our flow, for benchmarks that hold it against its peers."""

import functools

import numpy as np
import serving
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo


class Flow:
  """An `image_flow`, trained as `Trainer` does."""

  def __init__(self, settings):
    """Creates the flow, initialised at the optimum.

    Args:
      settings: `image_size`, `batch_size`, `learning_rate`, `images` (path of
        an .npy file of uint8 images, at least one batch) and `flow`, further
        arguments of `image_flow`; `compute_dtype` as a string. Optional:
        `jit_compile`, for XLA.
    """
    size = settings['image_size']
    flow = dict(settings['flow'])
    if 'compute_dtype' in flow:
      flow['compute_dtype'] = tf.as_dtype(flow['compute_dtype'])
    self._distribution = fo.image_flow([size, size, 3], **flow)
    self._images = np.load(settings['images'], mmap_mode='r')
    self._batch_size = settings['batch_size']
    self._jit_compile = settings.get('jit_compile') or None
    self._num_steps_done = 0
    # Not from a generator: Python on TensorFlow's threads made all later steps
    # take 1.45 times as long.
    dataset = tf.data.Dataset.from_tensor_slices(np.array(self._images))
    noise = fo.flows.dequantization_noise([size, size, 3], [0, 0])
    fo.initialize_at_optimum(
        self._distribution,
        dataset.batch(self._batch_size).map(
            lambda images: fo.flows.dequantize(images, noise=noise)
        ),
    )
    # Not trained on, if there are more.
    self._x = tf.constant(self._batch(0))
    self._variables = self._distribution.trainable_variables
    self._optimizer = tf_keras.optimizers.legacy.Adam(settings['learning_rate'])
    # Else the step would be traced twice.
    self._optimizer._create_all_weights(self._variables)  # pylint: disable=protected-access

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
      gradients, _ = tf.clip_by_global_norm(
          tape.gradient(loss, self._variables), 1.0
      )
      self._optimizer.apply_gradients(
          zip(gradients, self._variables, strict=True)
      )
      return loss

    return step

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
    return float(self._step(tf.constant(self._batch(i % self._num_batches))))

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


if __name__ == '__main__':
  serving.serve(Flow)
