"""Whole models: flows with their base distributions, and their samples."""

from typing import Any
from typing import Literal

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['image_flow', 'sample_at_temperature', 'vector_flow']


def image_flow(
    event_shape: types.Shape,
    num_levels: int = 3,
    num_steps: int = 8,
    hidden_channels: int = 128,
    coupling: Literal['affine', 'additive'] = 'affine',
    lipschitz_budget: float | None = 7.0,
    memory: types.Memory = 'auto',
    compute_dtype: types.DType | None = None,
    seed: int = 0,
    dtype: types.DType = tf.float32,
    name: str = 'image_flow',
    **kwargs: Any,
) -> types.TransformedDistribution:
  """A distribution of images: a standard normal through an `ImageFlow`.

  It is not initialised: `log_prob` works, but call `initialize_at_optimum`
  before training.

  #### Example

  ```python
  distribution = fo.image_flow([32, 32, 3], num_levels=2, num_steps=4)
  predicted = fo.initialize_at_optimum(distribution, images)
  distribution.log_prob(images)  # [N], nats per image
  distribution.sample(4, seed=[0, 1])  # [4, 32, 32, 3]
  ```

  The distribution knows neither `copy.deepcopy` nor `pickle`, its `bijector`
  does: `distribution.copy(bijector=copy.deepcopy(distribution.bijector))`.

  Args:
    event_shape: `[H, W, C]`; `2**num_levels` must divide `H` and `W`.
    num_levels: Number of resolutions.
    num_steps: Number of steps at each resolution.
    hidden_channels: Width of the networks in the couplings, even.
    coupling: `'affine'` or `'additive'`.
    lipschitz_budget: Positive Python `float`: the logarithm of the Lipschitz
      constants of the non-linear part and of its inverse stays below it,
      whatever training does; `None` for no budget. See `bijectors.ImageFlow`,
      and docs/lipschitz.md for what a budget costs and buys.
    memory: `'reversible'`: gradients recompute what they need, so that their
      memory does not grow with `num_steps`; `'stored'`, which is faster;
      `'unrolled'`, still faster but slower to start; or `'auto'`, stored where
      there is memory. See `bijectors.RepeatedSteps`.
    compute_dtype: Type of what the networks compute, such as `tf.bfloat16`; by
      default `dtype`.
    seed: Python `int`, of the rotations and the initial networks.
    dtype: Type of the variables and of the images.
    name: Python `str`.
    **kwargs: Further arguments of `bijectors.ImageFlow`.

  Returns:
    `tfd.TransformedDistribution` with event shape `[H, W, C]`.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  flow = bijectors.ImageFlow(
      event_shape,
      num_levels=num_levels,
      num_steps=num_steps,
      hidden_channels=hidden_channels,
      coupling=coupling,
      lipschitz_budget=lipschitz_budget,
      memory=memory,
      compute_dtype=compute_dtype,
      seed=seed,
      dtype=dtype,
      **kwargs,
  )
  return _of_standard_normal(flow, flow.event_size, name)


def vector_flow(
    event_size: int,
    num_steps: int = 6,
    hidden_units: int = 64,
    coupling: types.VectorCoupling = 'spline',
    conditioning: types.ConditioningSpec | None = None,
    support: types.Bijector | None = None,
    lipschitz_budget: float | None = None,
    seed: int = 0,
    dtype: types.DType = tf.float32,
    name: str = 'vector_flow',
    **kwargs: Any,
) -> types.TransformedDistribution:
  """A distribution of vectors: a standard normal through a `VectorFlow`.

  It is not initialised: `log_prob` works, but call `initialize_at_optimum`
  before training (`training.fit`).

  #### Example

  ```python
  c = tf.random.normal([500, 2])
  x = tf.concat([c, c**2], axis=1) + tf.random.normal([500, 4])
  distribution = fo.vector_flow(4, num_steps=2, conditioning=[2])
  predicted = fo.initialize_at_optimum(distribution, x, conditioning=c)
  result = fo.training.fit(distribution, x, c, train_steps=20)
  given = {'conditioning': c[:3]}
  distribution.log_prob(x[:3], bijector_kwargs=given)  # [3], nats
  distribution.sample(3, seed=[0, 1], bijector_kwargs=given)  # [3, 4]
  ```

  Args:
    event_size: Number of components of a vector.
    num_steps: Number of steps; 0 for the closed form alone.
    hidden_units: Width of the networks, even.
    coupling: `'affine'`, `'spline'`, `'autoregressive'`, `'residual'` or
      `'convex'`.
    conditioning: A number of classes, for integer labels `[...]`; or the shape
      `[F]` of vectors. By default nothing.
    support: `tfb.Bijector` from R^D to where the data are, such as
      `tfb.Sigmoid(low, high)`.
    lipschitz_budget: Positive Python `float`: the logarithm of the Lipschitz
      constants of all steps together and of their inverse stays below it,
      whatever training does; `None` for no budget.
    seed: Python `int`, of the rotations and the initial networks.
    dtype: Type of the variables and of the vectors, float32 or float64.
    name: Python `str`.
    **kwargs: Further arguments of `bijectors.VectorFlow`.

  Returns:
    `tfd.TransformedDistribution` with event shape `[event_size]`.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  flow = bijectors.VectorFlow(
      event_size,
      num_steps=num_steps,
      hidden_units=hidden_units,
      coupling=coupling,
      conditioning=conditioning,
      support=support,
      lipschitz_budget=lipschitz_budget,
      seed=seed,
      dtype=dtype,
      **kwargs,
  )
  return _of_standard_normal(flow, flow.latent_size, name)


def _of_standard_normal(flow, size, name):
  zero, one = tf.zeros([], flow.dtype), tf.ones([], flow.dtype)
  return tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(tfp.distributions.Normal(zero, one), [size]),
      flow,
      name=name,
  )


def sample_at_temperature(
    distribution: types.TransformedDistribution,
    num_samples: types.TensorLike,
    seed: types.Seed,
    temperature: types.TensorLike = 1.0,
    bijector_kwargs: types.Kwargs | None = None,
) -> tf.Tensor:
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
    `[num_samples] + batch_shape + event_shape` `Tensor`.

  Raises:
    ValueError: If the base is no standard normal, or an argument is none of
      those above.
    InvalidArgumentError: If it is negative or not finite (XLA drops this).
  """
  flow_of.check_base(distribution)
  num_samples = arguments.check_count('num_samples', num_samples)
  seed = arguments.check_seed('seed', seed)
  temperature = arguments.check_real(
      'temperature', temperature, distribution.dtype
  )
  arguments.check_scalar('temperature', temperature)
  temperature = arguments.not_negative('temperature', temperature)
  shape = [num_samples], distribution.batch_shape_tensor()
  z = tf.random.stateless_normal(
      tf.concat([*shape, distribution.distribution.event_shape], axis=0),
      seed,
      dtype=distribution.dtype,
  )
  return distribution.bijector.forward(
      temperature * z, **(bijector_kwargs or {})
  )
