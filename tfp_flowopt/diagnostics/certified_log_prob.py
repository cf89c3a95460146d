"""Bounds of log-densities that hold in a ball."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import not_copied
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import regions
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import balls
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
      ValueError: If it is no `TransformedDistribution` of a standard normal, or
        in a `tf.function`.
    """
    arguments.check_eager(
        'distribution',
        'this reads weights. Make a `CertifiedLogProb` before, and call that.'
    )
    flow_of.check_base(distribution)
    self._bijector = distribution.bijector
    self._local = maps.local_map(distribution.bijector)
    self._base = distribution.distribution
    # A last function of the norm is taken for a part of the base density.
    self._radial = None
    if self._base.event_shape.rank == 1:
      self._local, self._radial = self._local.without_last_radial()
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
    reach = balls.Reach(x, radius, conditioning)
    change, square, weighed = self._weighed(reach)
    latent = reach._replace(center=change.value)
    distance = tf.math.multiply_no_nan(change.slope, radius)
    # Half of how much the square of the norm can grow and shrink: by the errors
    # of all layers, weighed, or by how far the latent goes. Both hold.
    size, half = tf.sqrt(square), 0.5 * tf.square(distance)
    nearest = tf.minimum(distance, size)
    grown = weighed + half, size * distance + half
    shrunk = weighed, size * nearest - 0.5 * tf.square(nearest)
    inflation = rounding.inflation(x.dtype)
    value, log_det = change.value, change.log_det
    if self._radial is None:
      # With the weighed errors goes what is linear of log-determinants.
      down = tf.minimum(grown[0] - change.rest[0], grown[1] - change.low)
      up = tf.minimum(shrunk[0] + change.rest[1], shrunk[1] + change.high)
    else:
      moves = -tf.minimum(*shrunk), tf.zeros_like(square), tf.minimum(*grown)
      low, high = self._radial.density_changes(
          [
              tf.sqrt(tf.nn.relu(square + 2.0 * inflation * move))
              for move in moves
          ],
          value.shape[-1],
      )
      down, up = -low - change.low, high + change.high
      value, last = maps.evaluated(self._radial.bijector, 'inverse', latent)
      log_det += last
    log_prob = self._base.log_prob(value) + log_det
    lower = log_prob - inflation * down
    upper = log_prob + inflation * up
    # Beyond the range of the type nothing was computed.
    infinity = tf.constant(math.inf, x.dtype)
    return LogProbRange(
        tf.where(tf.math.is_nan(lower), -infinity, lower),
        tf.where(tf.math.is_nan(upper), infinity, upper),
    )

  def _weighed(self, reach):
    """The `Change` of a ball, `|z|^2`, and the weighed errors of all layers."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      errors = _Errors(tape)
      tape.watch(reach.center)
      change = self._local.inverse(reach._replace(errors=errors))
      latent = reach._replace(center=change.value)
      square = tf.square(latent.norm(change.value))
      goal = 0.5 * square
      if self._radial is None:
        goal -= change.log_det
      goal = tf.reduce_sum(goal)
    tensors = [reach.center, *(tensor for tensor, _ in errors)]
    gradients = tape.gradient(
        goal, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    weighed = tf.zeros_like(reach.radius)
    for gradient, error in zip(
        gradients, [reach.radius, *(error for _, error in errors)], strict=True
    ):
      norm = latent.norm(gradient)
      # What cannot be told, of an infinite error, may be anything.
      weight = tf.where(norm == 0, tf.zeros_like(norm), norm * error)
      infinity = tf.constant(math.inf, weight.dtype)
      weighed += tf.where(tf.math.is_nan(weight), infinity, weight)
    return change, square, weighed


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
  does to constants and radii is in them, the rounding error of `log_prob` is
  not. That is largest where networks compute in bfloat16.

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
