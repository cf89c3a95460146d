"""TFP's own Glow, for benchmarks."""

import functools

import numpy as np
import serving
import short_run
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
import trained

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions


class Glow(trained.Trained):
  """`tfb.Glow` with its default networks and a standard normal."""

  def __init__(self, settings):
    """Creates the flow.

    Args:
      settings: `image_size`, `channels` (3 by default), `batch_size`,
        `learning_rate`, `num_levels`, `num_steps`, `hidden_channels`; and
        `images`, .npy, for steps that are timed, or `crops`, .npz, for `run`.
        Optional: `clip_norm` (1 by default, `None` for no clipping), `seed`;
        `curves`, for our `MarginalGaussianization` between images and flow.
    """
    seed = settings.get('seed', 0)
    tf.random.set_seed(seed)
    size, channels = settings['image_size'], settings.get('channels', 3)
    self._size = channels * size**2
    self._clip_norm = settings.get('clip_norm', 1.0)
    self._bijector = tfb.Glow(
        output_shape=(size, size, channels),
        num_glow_blocks=settings['num_levels'],
        num_steps_per_block=settings['num_steps'],
        coupling_bijector_fn=functools.partial(
            tfb.GlowDefaultNetwork, num_hidden=settings['hidden_channels']
        ),
        exit_bijector_fn=tfb.GlowDefaultExitNetwork,
        seed=seed,
    )
    batch_size = settings['batch_size']
    if 'crops' in settings:
      self._crops = short_run.Crops(settings['crops'], batch_size, seed)
      if settings.get('curves'):
        self._bijector = tfb.Chain(
            [_curves(self._crops.value_counts(), channels), self._bijector]
        )
      self._x = tf.constant(self._crops.first(batch_size))
    else:
      images = np.load(settings['images'])[:batch_size]
      noise = np.random.default_rng(0).random(images.shape)
      self._x = tf.constant((images + noise) / 256 - 0.5, tf.float32)
    self._distribution = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [self._size]), self._bijector
    )
    self._learning_rate = settings.get('learning_rate', 0.0)
    self._optimizer = tf_keras.optimizers.Adam(self._learning_rate)

  def _bits_per_dim(self, log_prob):
    return 8 - tf.reduce_mean(log_prob) / (self._size * np.log(2.0))

  @functools.cached_property
  def _variables(self):
    # Its ActNorm is initialised at the first call, and some networks are built
    # there.
    self._distribution.log_prob(self._x)
    variables = self._bijector.trainable_variables
    self._optimizer.build(variables)
    return variables

  @functools.cached_property
  def _step(self):
    variables = self._variables

    @tf.function(autograph=False)
    def step(x):
      with tf.GradientTape() as tape:
        loss = self._bits_per_dim(self._distribution.log_prob(x))
      gradients = tape.gradient(loss, variables)
      if self._clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
      self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
      return loss

    return step

  @functools.cached_property
  def _log_prob(self):
    return tf.function(self._distribution.log_prob, autograph=False)

  @functools.cached_property
  def _forward(self):
    return tf.function(self._bijector.forward, autograph=False)

  @functools.cached_property
  def _inverse(self):
    return tf.function(self._bijector.inverse, autograph=False)

  def bits_per_dim(self, x):
    """Mean bits/dim."""
    return float(self._bits_per_dim(self._log_prob(tf.constant(x))))

  def there_and_back(self, x):
    """`x` after `inverse` and `forward`."""
    z = self._inverse(tf.constant(x))
    return self._forward(tf.identity(z)).numpy()

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(v.shape.num_elements() for v in self._variables)

  def train_step(self):
    """One step on the batch of timings; bits/dim before it."""
    return self.step(self._x, self._learning_rate)

  def log_prob(self):
    """Mean bits/dim of the batch."""
    return self.bits_per_dim(self._x)

  def sample(self):
    """Images from noise; the largest value."""
    z = tf.random.stateless_normal([self._x.shape[0], self._size], [0, 0])
    return float(tf.reduce_max(self._forward(z)))

  def round_trip(self):
    """Largest error of an image after `inverse` and `forward`."""
    return float(np.max(np.abs(self.there_and_back(self._x) - self._x)))


def _curves(counts, channels):
  """The optimal curves for values that were counted, `[C, 256]`."""
  curves = fo.bijectors.MarginalGaussianization(channels)
  num_knots = curves.inputs.shape[-1]
  knots = [fo.optimum.gaussian_knots(row, num_knots) for row in counts]
  curves.initialize(*(np.stack(rows) for rows in zip(*knots, strict=True)))
  return curves


if __name__ == '__main__':
  serving.serve(Glow)
