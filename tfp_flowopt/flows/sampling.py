"""Samples at a temperature."""

import tensorflow as tf

from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments

__all__ = ['sample_at_temperature']


def sample_at_temperature(
    distribution, num_samples, seed, temperature=1.0, bijector_kwargs=None
):
  """Samples with the base variable scaled.

  `x = forward(temperature * z)`, `z` from the standard normal base: below 1,
  samples are more typical and less diverse (Kingma & Dhariwal 2018).

  Args:
    distribution: `tfd.TransformedDistribution` of a standard normal.
    num_samples: Number of samples, may be a `Tensor`.
    seed: `[2]` integer `Tensor`; the same seed gives the same `z` at every
      temperature.
    temperature: Number or scalar `Tensor`, finite and not negative.
    bijector_kwargs: As `distribution.sample` takes it.

  Returns:
    `[num_samples] + event_shape` `Tensor`.

  Raises:
    ValueError: If the base is no standard normal, or `temperature` no scalar.
    InvalidArgumentError: If it is negative or not finite (XLA drops this).
  """
  flow_of.check_base(distribution)
  temperature = tf.convert_to_tensor(temperature, name='temperature')
  arguments.check_scalar('temperature', temperature)
  if not temperature.dtype.is_floating:
    temperature = tf.cast(temperature, tf.float32)
  temperature = tf.cast(
      arguments.not_negative('temperature', temperature), distribution.dtype
  )
  base_shape = distribution.distribution.event_shape
  dtype = distribution.dtype
  z = tf.random.stateless_normal(
      tf.concat([[num_samples], base_shape], axis=0), seed, dtype=dtype
  )
  return distribution.bijector.forward(
      temperature * z, **(bijector_kwargs or {})
  )
