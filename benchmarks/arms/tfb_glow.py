"""TFP's own Glow, for benchmarks."""

import functools

import numpy as np
import serving
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

tfb, tfd = tfp.bijectors, tfp.distributions


class Glow:
  """`tfb.Glow` with its default networks and a standard normal."""

  def __init__(self, settings):
    """Creates the flow.

    Args:
      settings: `image_size`, `batch_size`, `learning_rate`, `images`,
        `num_levels`, `num_steps` and `hidden_channels`.
    """
    size = settings['image_size']
    self._size = 3 * size**2
    self._bijector = tfb.Glow(
        output_shape=(size, size, 3),
        num_glow_blocks=settings['num_levels'],
        num_steps_per_block=settings['num_steps'],
        coupling_bijector_fn=functools.partial(
            tfb.GlowDefaultNetwork, num_hidden=settings['hidden_channels']
        ),
        exit_bijector_fn=tfb.GlowDefaultExitNetwork,
        seed=0,
    )
    self._distribution = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [self._size]), self._bijector
    )
    images = np.load(settings['images'])[: settings['batch_size']]
    noise = np.random.default_rng(0).random(images.shape)
    self._x = tf.constant((images + noise) / 256 - 0.5, tf.float32)
    self._optimizer = tf_keras.optimizers.Adam(settings['learning_rate'])

  def _bits_per_dim(self, log_prob):
    return 8 - tf.reduce_mean(log_prob) / (self._size * np.log(2.0))

  @functools.cached_property
  def _step(self):
    # Its ActNorm is initialised at the first call, and some networks are built
    # there.
    self._distribution.log_prob(self._x)
    variables = self._bijector.trainable_variables
    self._optimizer.build(variables)

    @tf.function(autograph=False)
    def step(x):
      with tf.GradientTape() as tape:
        loss = self._bits_per_dim(self._distribution.log_prob(x))
      gradients, _ = tf.clip_by_global_norm(
          tape.gradient(loss, variables), 1.0
      )
      self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
      return loss

    return step

  @functools.cached_property
  def _log_prob(self):
    return tf.function(self._distribution.log_prob, autograph=False)

  @functools.cached_property
  def _forward(self):
    return tf.function(self._bijector.forward, autograph=False)

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(
        v.shape.num_elements() for v in self._bijector.trainable_variables
    )

  def train_step(self):
    """One step; bits/dim before it."""
    return float(self._step(self._x))

  def log_prob(self):
    """Mean bits/dim of the batch."""
    return float(self._bits_per_dim(self._log_prob(self._x)))

  def sample(self):
    """Images from noise; the largest value."""
    z = tf.random.stateless_normal([self._x.shape[0], self._size], [0, 0])
    return float(tf.reduce_max(self._forward(z)))

  def round_trip(self):
    """Largest error of an image after `inverse` and `forward`."""
    z = tf.function(self._bijector.inverse, autograph=False)(self._x)
    return float(tf.reduce_max(tf.abs(self._forward(tf.identity(z)) - self._x)))


if __name__ == '__main__':
  serving.serve(Glow)
