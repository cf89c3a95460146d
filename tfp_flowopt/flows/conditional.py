"""A distribution for one condition, or for a batch of them."""

import tensorflow_probability as tfp

from tfp_flowopt.bijectors import given as given_lib
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import types

__all__ = ['given']

tfd = tfp.distributions


def given(
    distribution: types.TransformedDistribution,
    conditioning: types.TensorLike,
) -> types.TransformedDistribution:
  """The distribution for one condition, or for a batch of them.

  ```python
  distribution = fo.vector_flow(2, num_steps=1, conditioning=[3])
  posterior = fo.flows.given(distribution, [0.5, -1.0, 2.0])
  draws = posterior.sample(1000, seed=[0, 1])
  posterior.log_prob(draws)
  ```

  It is what `bijector_kwargs={'conditioning': conditioning}` of each method
  gives, and needs none. The batch shape of the conditions is that of the
  distribution: of `[n, F]` features, `sample(m)` are `m` draws for each of the
  `n`, and `log_prob` of one event is `[n]` numbers. So it can be a part of a
  joint distribution, a mixture or a `tfp.vi` loss. The weights are those of
  `distribution`, and are trained with either.

  Args:
    distribution: `tfd.TransformedDistribution` by a bijector with a condition,
      as `vector_flow` and `image_flow` make it.
    conditioning: Labels `[...]`, features `[..., F]` or, of images, maps
      `[..., H, W, F]`. A `tf.Variable` is read once, here.

  Returns:
    `tfd.TransformedDistribution` of batch shape `[...]`.

  Raises:
    ValueError: If the distribution has no condition, or `conditioning` does not
      fit.
    InvalidArgumentError: If labels are out of range.
  """
  flow_of.check_transformed(distribution)
  bijector = given_lib.Given(distribution.bijector, conditioning)
  base = distribution.distribution
  if bijector.batch_ndims:
    base = tfd.BatchBroadcast(base, bijector.batch_shape_of_conditions())
  return tfd.TransformedDistribution(
      base, bijector, name=f'{distribution.name}_given'
  )
