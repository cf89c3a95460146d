"""Maximum likelihood in a few lines, for examples that are about other things.

`fo.training.Trainer` is the thorough way.
"""

import onednn  # noqa: F401
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo

__all__ = ['fit']

_LEARNING_RATE, _CLIP_NORM = 3e-3, 1.0


def fit(distribution, batches, num_steps, seed, bits=8):
  """Trains a flow, in place, with a cosine down to zero.

  Args:
    distribution: Of images `[H, W, C]`.
    batches: `tf.data.Dataset` of uint8 `[N, H, W, C]`, without end.
    num_steps: Number of steps.
    seed: Python `int`, of the dequantisation noise.
    bits: Number of bits of a value.
  """
  optimizer = tf_keras.optimizers.Adam(
      tf_keras.optimizers.schedules.CosineDecay(
          _LEARNING_RATE, max(num_steps, 1)
      )
  )
  variables = distribution.trainable_variables
  optimizer.build(variables)  # else the step would be traced twice

  @tf.function(autograph=False)
  def step(images, number):
    noise = fo.flows.dequantization_noise(
        tf.shape(images), tf.stack([seed, number])
    )
    x = fo.flows.dequantize(images, bits, noise)
    with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
      loss = fo.bits_per_dim(
          tf.reduce_mean(distribution.log_prob(x)),
          x.shape[1:].num_elements(),
          bits,
      )
    gradients, _ = tf.clip_by_global_norm(
        tape.gradient(loss, variables), _CLIP_NORM
    )
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return loss

  batch_size = batches.element_spec.shape[0]
  bar = fo.training.Progress(num_steps, batch_size or 1)
  for number, batch in enumerate(batches.take(num_steps)):
    with fo.training.under_way('Taking the first step', quiet=number > 0):
      loss = step(batch, tf.constant(number))
    if number % 10 == 0 or number + 1 == num_steps:
      bar.update(number + 1, bits_per_dim=float(loss))
  bar.close()
