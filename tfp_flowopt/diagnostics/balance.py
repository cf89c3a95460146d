"""Balance of expansion and contraction by a flow."""

import tensorflow as tf

from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import types

__all__ = ['event_balances', 'volume_balance']


def volume_balance(
    distribution: types.TransformedDistribution,
    x: types.TensorLike,
    bijector_kwargs: types.Kwargs | None = None,
) -> tf.Tensor:
  """How far a flow is from the best global scale of its latents.

  ```none
  balance = E|z|^2 / D - 1,   z = inverse(x),  standard normal base
  ```

  Scaling the latents, `z -> c z`, changes the mean log-likelihood by
  `D log c - (c^2 - 1) E|z|^2 / 2`, whose slope at `c = 1` is `-D balance`. So

  * 0: no scale does better. It is 0 at every optimum over a family of flows
    that is closed under scaling, such as that of `initialize_at_optimum`;
  * positive: `inverse` **expands** too much;
  * negative: it **contracts** too much.

  The best scale is `(1 + balance)^(-1/2)`, and gains
  `D/2 (balance - log(1 + balance))` nats per event. For all bases it is
  `-E[z . grad log p_Z(z)] / D - 1`, with the same meaning of 0 and of the sign.

  Args:
    distribution: `tfd.TransformedDistribution` by a bijector of single tensors;
      its base has a density that is differentiable at the latents.
    x: `Tensor` `[N] + event_shape`, the data.
    bijector_kwargs: As `distribution.log_prob` takes it.

  Returns:
    Scalar `Tensor` of the type of `x`, the mean over the batch.

  Raises:
    ValueError: If `distribution` is not transformed, the batch is empty, or
      `x` holds integers.
  """
  return tf.reduce_mean(event_balances(distribution, x, bijector_kwargs))


def event_balances(distribution, x, bijector_kwargs=None):
  """The `volume_balance` of each event, `[N]`; arguments as there."""
  flow_of.check_transformed(distribution)
  base, bijector = distribution.distribution, distribution.bijector
  x = floats.as_floats(x, distribution.dtype, 'x')
  if x.shape.rank in (None, 0) or x.shape[0] == 0:
    raise ValueError(
        'Argument `x` must have a batch axis, and an event at least, got '
        f'shape {x.shape}.'
    )
  z = tf.identity(bijector.inverse(tf.identity(x), **(bijector_kwargs or {})))
  with tf.GradientTape() as tape:
    tape.watch(z)
    log_density = base.log_prob(z)
  score = tape.gradient(
      log_density, z, unconnected_gradients=tf.UnconnectedGradients.ZERO
  )
  # The mean over dimensions: z . score / D.
  products = tf.reshape(z * score, [tf.shape(z)[0], -1])
  return -tf.reduce_mean(products, axis=-1) - 1.0
