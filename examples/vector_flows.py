"""Layers of flows of vectors, for the example binaries."""

import onednn  # noqa: F401
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb = tfp.bijectors

__all__ = ['LAYERS', 'make_layer', 'make_optimizer', 'mixed']

LAYERS = ('affine', 'residual')


def make_layer(
    kind, size, hidden, seed, lipschitz=8.0, scale_bound=1.0, tail_bound=3.0
):
  """A bi-Lipschitz layer that starts as the identity.

  Args:
    kind: One of `LAYERS`.
    size: Number of features.
    hidden: Width of the network, even.
    seed: Python `int`, of the network.
    lipschitz: Constant of the network of an affine coupling; that of a residual
      layer has 0.9.
    scale_bound: See `fo.bijectors.AffineCoupling`, for `'affine'` only.
    tail_bound: See there.

  Returns:
    Bijector of vectors; `inverse` is explicit.
  """
  if kind == 'affine':
    return fo.bijectors.AffineCoupling(
        fo.networks.DenseConditioner(
            size // 2,
            hidden,
            2 * (size - size // 2),
            lipschitz=lipschitz,
            seed=seed,
        ),
        scale_bound=scale_bound,
        tail_bound=tail_bound,
        event_ndims=1,
    )
  return fo.bijectors.LipschitzResidual(
      fo.networks.DenseConditioner(
          size,
          hidden,
          size,
          lipschitz=0.9,
          activation='smooth_max_min',
          seed=seed,
      )
  )


def mixed(layers, mixings, size):
  """Layers with what comes between them, from latents on.

  Args:
    layers: Bijectors of vectors.
    mixings: As many bijectors, isometries; each follows its layer.
    size: Number of features.

  Returns:
    List of bijectors, for a `tfb.Chain`.
  """
  bijectors = []
  for layer, mixing in zip(layers, mixings, strict=True):
    bijectors += [
        layer,
        # What follows a layer sees its features mixed, scaled and shifted.
        tfb.Shift(tf.Variable(tf.zeros([size]))),
        tfb.Scale(log_scale=tf.Variable(tf.zeros([size]))),
        mixing,
    ]
  return bijectors


def make_optimizer(learning_rate, num_steps, variables):
  """Adam with a cosine schedule.

  Args:
    learning_rate: The first one; the last is 0.
    num_steps: Number of steps.
    variables: What it is going to train.

  Returns:
    Optimizer.
  """
  # The new Adam of Keras takes a dozen operations for each of the many small
  # variables, this one a single operation.
  optimizer = tf_keras.optimizers.legacy.Adam(
      tf_keras.optimizers.schedules.CosineDecay(learning_rate, num_steps),
      beta_2=0.99,
      global_clipnorm=5.0,
  )
  # Else it makes its own in the first step, which is traced again for that.
  optimizer._create_all_weights(variables)  # pylint: disable=protected-access
  return optimizer
