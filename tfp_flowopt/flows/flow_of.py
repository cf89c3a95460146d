"""Parts of a distribution of images, and checks of them."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import given
from tfp_flowopt.bijectors.multiscale import separate_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import graphs

__all__ = [
    'check_base',
    'check_fresh',
    'check_single',
    'check_transformed',
    'flow_of',
]


def check_transformed(distribution):
  """Raises a `ValueError` unless it is a TransformedDistribution."""
  # TFP makes instances of a private base class, too.
  if None in (
      getattr(distribution, name, None) for name in ('distribution', 'bijector')
  ):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution, as '
        f'`image_flow` makes it, got {distribution}.'
    )


def check_single(distribution):
  """Raises a `ValueError` unless it is one, and no batch of them."""
  check_transformed(distribution)
  arguments.check_no_batch(distribution)


def flow_of(distribution):
  """The `ImageFlow` of a distribution; a `ValueError` if there is none."""
  flow = getattr(distribution, 'bijector', None)
  if isinstance(flow, given.Given):
    raise ValueError(
        'Argument `distribution` has its condition: give the distribution that '
        '`given` was called with.'
    )
  if not isinstance(flow, bijectors.ImageFlow):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution by an '
        f'ImageFlow, got {distribution}.'
    )
  return flow


def check_base(distribution):
  """Raises a `ValueError` unless the base is a standard normal."""
  check_transformed(distribution)
  base = distribution.distribution
  if _is_ours(base):
    return
  # Whatever the class is called: its density at 0, and the slope of that, which
  # is `-z` in each direction, from there to where a normal has no mass.
  pattern = np.sin(1.0 + np.arange(base.event_shape.num_elements()))
  ones = [1] * (base.batch_shape.rank or 0)
  z = np.reshape([0.0 * pattern, pattern, 30.0 * pattern[::-1]],
                 [3, *ones, *base.event_shape])
  expected = -0.5 * np.sum(
      z**2 + math.log(2.0 * math.pi),
      axis=tuple(range(1 + len(ones), z.ndim)),
  )

  def value_and_slope(points):
    log_prob = base.log_prob(points)
    # In a graph: where a caller traces, tapes do not record.
    (slope,) = tf.gradients(log_prob, points)
    return log_prob, tf.zeros_like(points) if slope is None else slope

  with tf.init_scope():
    points = tf.constant(z, base.dtype)
    # Concrete: there is a graph even where functions are to run eagerly.
    function = graphs.own_graph(value_and_slope).get_concrete_function(points)
    value, slope = function(points)
    is_normal = np.allclose(value, expected, rtol=1e-4, atol=1e-3)
    # Of all members of a batch together.
    count = max(base.batch_shape.num_elements() or 1, 1)
    is_normal &= np.allclose(slope, -z * count, rtol=1e-4, atol=1e-4)
  if not is_normal:
    raise ValueError(
        'Argument `distribution` must have a standard normal for a base, got '
        f'{base}.'
    )


def _is_ours(base):
  """Whether it is what our own flows have, which needs no evaluation."""
  normal = getattr(base, 'distribution', None)
  return (
      type(base) is tfp.distributions.Sample
      and type(normal) is tfp.distributions.Normal
      and np.all(tf.get_static_value(normal.loc) == 0.0)
      and np.all(tf.get_static_value(normal.scale) == 1.0)
  )


def check_fresh(flow):
  """Raises a `ValueError` unless all of a flow but its whitenings does nothing.

  The closed form holds for a flow whose only maps are the whitenings: its
  scalings, and the steps of a level together, must be the identity.
  """
  for level in flow.levels:
    *sides, channels = level.factor_out.event_shape
    num_factored = level.factor_out.num_factored
    maps = None
    if not isinstance(level.repeated_steps, separate_steps.SeparateSteps):
      sides = 4, 4  # what is not the user's takes images of any size
    elif flow.conditioning is not None:
      maps = tf.zeros([3, 1, 1, flow.conditioning.num_channels], flow.dtype)
    for name, parts, size in (
        ('steps', level.parts_after_whitening, channels),
        ('scalings', [level.factor_out.scaling], num_factored),
    ):
      if not _do_nothing(parts, [*sides, size], maps):
        raise ValueError(
            'Argument `distribution` has weights that were changed (its '
            f'{name} are not the identity); make a new one. '
            'Couplings of your own that do something at first have no closed '
            'form: `flows.initialize_act_norm` takes them.'
        )


def _do_nothing(parts, shape, maps=None):
  """Whether bijectors are the identity together, of images of a shape."""
  rest = []
  for part in parts:
    if isinstance(part, bijectors.ScalingCascade):
      if not _do_nothing(part.parts, shape):
        return False
    elif isinstance(part, bijectors.RadialScaling):
      # At some energy or other, any slope matters.
      if np.any(part.log_slopes()):
        return False
    elif part is not None:
      rest.append(part)
  if not rest:
    return True
  dtype = rest[0].dtype
  # Small values show shifts, large ones slopes.
  sizes = np.array([1e-2, 1.0, 1e2]).reshape([3, 1, 1, 1])
  x = tf.random.stateless_normal([3, *shape], [0, 0], dtype=dtype)
  x *= tf.cast(sizes, dtype)
  y, total = x, 0.0
  for part in rest:
    y, log_det = bijectors.inverse_and_log_det(part, y, maps)
    total += log_det
  tolerance = 32.0 * np.finfo(dtype.as_numpy_dtype).eps * (
      shape[-1] * len(rest)
  ) ** 0.5
  # Splines add small values to bounds of some units.
  return bool(
      np.all(np.abs(y - x) <= tolerance * np.maximum(sizes, 0.3))
      and np.all(np.abs(total) <= tolerance * max(16, np.prod(shape[:2])) / 16
                 * shape[-1])
  )
