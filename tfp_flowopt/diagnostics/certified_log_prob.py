"""Bounds of log-densities that hold in a ball."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import not_copied
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import regions
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import maps

__all__ = ['CertifiedLogProb', 'LogProbRange', 'certified_log_prob']


class LogProbRange(NamedTuple):
  """Bounds of a log-density within a ball, in nats per event.

  Attributes:
    lower: `Tensor` `[...]`; no event of the ball has less.
    upper: `Tensor` `[...]`; none has more.
  """

  lower: tf.Tensor
  upper: tf.Tensor


class CertifiedLogProb(not_copied.NotCopied):
  """`certified_log_prob` of a distribution with its weights as they are.

  What depends on weights alone is computed once, eagerly. Calls may be traced,
  and differentiated with respect to nothing.
  """

  def __init__(self, distribution: types.TransformedDistribution) -> None:
    """Prepares.

    Args:
      distribution: As for `certified_log_prob`.

    Raises:
      TypeError: If no Lipschitz constants of the bijector are known.
      ValueError: If it is no `TransformedDistribution` of a standard normal.
    """
    flow_of.check_base(distribution)
    self._bijector = distribution.bijector
    self._local = maps.local_map(distribution.bijector)
    self._base = distribution.distribution
    self._event_shape = distribution.event_shape

  # A user's `tf.function` would translate the whole flow.
  @tf.autograph.experimental.do_not_convert
  def __call__(
      self,
      x: types.TensorLike,
      radius: types.TensorLike,
      conditioning: types.TensorLike | None = None,
  ) -> LogProbRange:
    """The `LogProbRange` of the balls around events `[..., event]`."""
    x = floats.as_floats(x, self._bijector.dtype, 'x')
    shape = self._event_shape
    if x.shape.rank is None or (
        x.shape.rank < shape.rank
        or not x.shape[x.shape.rank - shape.rank :].is_compatible_with(shape)
    ):
      raise ValueError(
          f'Argument `x` must be events of shape {shape}, got {x.shape}.'
      )
    ball = regions.Ball(x, radius)
    x, radius = regions.as_ball(ball, shape.rank, x.dtype)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      errors = _Errors(tape)
      tape.watch(x)
      reach = maps.Reach(x, radius, conditioning, errors)
      change = self._local.inverse(reach)
      latent = reach._replace(center=change.value)
      square = tf.square(latent.norm(change.value))
      loss = tf.reduce_sum(0.5 * square - change.log_det)
    tensors = [x, *(tensor for tensor, _ in errors)]
    gradients = tape.gradient(
        loss, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    weighed, infinity = tf.zeros_like(radius), tf.constant(math.inf, x.dtype)
    for gradient, error in zip(
        gradients, [radius, *(error for _, error in errors)], strict=True
    ):
      norm = latent.norm(gradient)
      # What cannot be told, of an infinite error, may be anything.
      weight = tf.where(norm == 0, tf.zeros_like(norm), norm * error)
      weighed += tf.where(tf.math.is_nan(weight), infinity, weight)
    distance = tf.math.multiply_no_nan(change.slope, radius)
    size = tf.sqrt(square)
    inflation = rounding.inflation(x.dtype)
    # By the errors of all layers, weighed; or by how far the latent goes, and
    # how far log-determinants. Both hold.
    farthest = size * distance + 0.5 * tf.square(distance)
    nearest = tf.minimum(distance, size)
    nearest = size * nearest - 0.5 * tf.square(nearest)
    down = tf.minimum(
        weighed + 0.5 * tf.square(distance) - change.rest[0],
        farthest - change.low,
    )
    up = tf.minimum(weighed + change.rest[1], nearest + change.high)
    log_prob = self._base.log_prob(change.value) + change.log_det
    lower = log_prob - inflation * down
    upper = log_prob + inflation * up
    # Beyond the range of the type nothing was computed.
    return LogProbRange(
        tf.where(tf.math.is_nan(lower), -infinity, lower),
        tf.where(tf.math.is_nan(upper), infinity, upper),
    )


class _Errors(list):
  """Pairs of a `Tensor` and a bound of its error; a tape watches each.

  Eagerly, a tape knows nothing of what `tf.stop_gradient` has returned, and
  would have it weigh nothing.
  """

  def __init__(self, tape: tf.GradientTape) -> None:
    super().__init__()
    self._tape = tape

  def append(self, pair: tuple[tf.Tensor, tf.Tensor]) -> None:
    """Adds a pair."""
    self._tape.watch(pair[0])
    super().append(pair)


def certified_log_prob(
    distribution: types.TransformedDistribution,
    x: types.TensorLike,
    radius: types.TensorLike,
    conditioning: types.TensorLike | None = None,
) -> LogProbRange:
  """Bounds of `log_prob` at all events within a radius of given ones.

  For `|x' - x| <= radius`, `lower <= log p(x') <= upper`. With the latent
  `z = f(x)`, each layer `f_i` moves what a ball of radius `r_i` brings by its
  linear part `M_i` and an error `e_i` of at most `E_i`. So, exactly,

  ```none
  |z'|^2 - |z|^2 = 2 <g_0, x' - x> + 2 sum_i <g_i, e_i> + |z' - z|^2,
  ```

  where `g_n = z` and `g_(i-1) = M_i^T g_i` are one gradient, and
  `|<g_i, e_i>| <= |g_i| E_i`. The radii `r_(i+1) <= K_i r_i` come from
  constants within the balls (`lipschitz_bounds(..., region=)`), as do the
  changes of the log-determinants of the layers, which are added.

  The bounds hold in exact arithmetic for the weights as they are; what rounding
  does to constants and radii is in them, the rounding error of `log_prob` at
  `x` is not.

  ```python
  lower, upper = fo.diagnostics.certified_log_prob(distribution, x, 0.1)
  ```

  Args:
    distribution: `tfd.TransformedDistribution` of a standard normal, by a
      bijector that `lipschitz_bounds` knows.
    x: Events `[..., event]`.
    radius: Euclidean radius, not negative: a number, or `[...]`.
    conditioning: What the bijector depends on, the same within the ball; or
      `None`.

  Returns:
    `LogProbRange`. For many calls, or in a `tf.function`, make a
    `CertifiedLogProb` once.

  Raises:
    TypeError: As `CertifiedLogProb`.
    ValueError: As `CertifiedLogProb`; or if an argument does not fit.
  """
  return CertifiedLogProb(distribution)(x, radius, conditioning)
