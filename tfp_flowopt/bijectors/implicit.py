"""Bijectors with an explicit inverse and a solved forward."""

import abc
import functools
import math
from typing import Any

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import dense_log_det
from tfp_flowopt.internal import fixed_point
from tfp_flowopt.internal import flat_events
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import implicit_function
from tfp_flowopt.internal import linearization
from tfp_flowopt.internal import stochastic_log_det
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import rounding

__all__ = ['ImplicitBijector']


class ImplicitBijector(base.JointBijector):
  """`inverse` is a formula; `forward` solves it to a certified error.

  Subclasses implement `_map`, the formula `f`, `_map_and_log_det`, and the
  constants `_step`, `_contraction` and `_forward_lipschitz` such that
  `y -> y - step (f(y) - x)` contracts by `contraction < 1`, and `forward` has
  the Lipschitz constant `forward_lipschitz`.

  `forward` stops when

  ```none
  |y_hat - y| <= Lip(forward) |f(y_hat) - x| <= tolerance max(1, |x|)
  ```

  or when rounding lets the residual fall no further, or after
  `max_iterations`. Its gradient is that of the implicit function, by one linear
  solve of the same kind; there are no second ones.
  """

  # The ways to compute log-determinants.
  _LOG_DETS: tuple[str, ...] = ('exact', 'lanczos')

  def __init__(
      self,
      event_ndims: int,
      dtype: types.DType,
      parameters: dict[str, Any],
      name: str,
  ) -> None:
    """Creates the bijector; the weights may have no `dtype`."""
    if dtype is not None:
      _resolution(dtype)
    event_ndims = arguments.check_int('event_ndims', event_ndims)
    super().__init__(event_ndims, dtype, parameters, name)

  def _configure(
      self, log_det, num_terms, num_probes, seed, tolerance, max_iterations
  ):
    self._log_det = arguments.check_choice('log_det', log_det, self._LOG_DETS)
    self._num_terms = arguments.check_int('num_terms', num_terms)
    self._num_probes = arguments.check_int('num_probes', num_probes)
    stochastic_log_det.seed_tensor(seed)  # checks it
    self._seed = seed
    if tolerance is not None:
      tolerance = arguments.check_positive('tolerance', tolerance)
    self._tolerance = tolerance
    self._max_iterations = arguments.check_int('max_iterations', max_iterations)

  @property
  def has_exact_log_det(self) -> bool:
    """Whether the log-determinant is exact, and no estimate."""
    return self._log_det == 'exact'

  @abc.abstractmethod
  def _map(self, y, **kwargs):
    """Returns `f(y) = inverse(y)` for any number of batch dimensions."""

  @abc.abstractmethod
  def _map_and_log_det(self, y, seed, **kwargs):
    """Returns `f(y)` and its log-determinant; `seed` is an int32 `[2]`."""

  def forward_with_error(
      self, x: types.TensorLike, **kwargs: Any
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """`forward(x)` and a certified bound of its error.

    Args:
      x: `Tensor` `[batch..., event]`.
      **kwargs: `conditioning`, for a map that takes it.

    Returns:
      `y_hat`, and `[batch...]` with `Lip(forward) |f(y_hat) - x|` plus an
      allowance for the rounding of that residual, `4 eps` of the sizes of `x`,
      of `y_hat` and of what the class itself adds up in `f`. The Euclidean
      distance of `y_hat` to the exact solution is at most this, unless a
      *network* rounds by more: one whose large biases cancel. In float64 that
      does not matter.

    Raises:
      ValueError: If `x` holds integers or booleans.
    """
    x = floats.as_floats(x, self.dtype, 'x')
    y, residual_norm = self._solve(x, **kwargs)
    magnitude = sum(self._norm(t) for t in (x, y)) + self._magnitude(
        y, **kwargs
    )
    rounding = 4.0 * _resolution(x.dtype) * magnitude
    return y, self._forward_lipschitz * (residual_norm + rounding)

  def _norm(self, x):
    """Euclidean norms of events, `[batch...]`."""
    axes = list(range(-self.forward_min_event_ndims, 0))
    return tf.sqrt(tf.reduce_sum(tf.square(x), axis=axes))

  def _magnitude(self, y, **kwargs):
    """Size of what `f(y)` adds up beside `y` and itself, `[batch...]`."""
    del y, kwargs
    return 0.0

  def _flat_solve(self, residual, x, start):
    """Solves `residual(y) = 0`, unscaled, with the right-hand side `x`.

    Returns the solution, a constant like `x`, and the norms of its residuals.
    """
    ndims = self.forward_min_event_ndims
    batch_shape = tf.shape(x)[: x.shape.rank - ndims]

    def flat(t):
      return flat_events.flatten(t, ndims)

    def unflat(t):
      return flat_events.unflatten(t, x)

    tolerance = self._tolerance or 32.0 * _resolution(x.dtype)
    right = flat(x)
    scale = tf.maximum(tf.norm(right, axis=-1), 1.0)
    target = scale * (self._step * tolerance / self._forward_lipschitz)

    def solve(point):
      y, norm, _ = fixed_point.solve(
          lambda t: self._step * flat(residual(unflat(t))),
          point,
          self._contraction,
          target,
          self._max_iterations,
      )
      return y, norm / self._step

    # The first residual is taken outside of what is not recorded.
    y, norm = linearization.without_gradient(
        solve, (flat(start), self._step * flat(residual(start)))
    )
    # Beyond what a square can hold nothing was solved.
    y = tf.where(tf.math.is_finite(scale)[:, tf.newaxis], y, math.nan)
    return unflat(y), tf.reshape(norm, batch_shape)

  def _solve(self, x, **kwargs):
    """Returns `forward(x)`, differentiable, and the norms of its residuals."""
    function = functools.partial(self._map, **kwargs)
    solution, norm = self._flat_solve(
        lambda y: function(y) - x, x, self._start(x, **kwargs)
    )
    # The formula once more at the solution: `x` and the weights get their
    # gradients through the residual, which the Jacobian's inverse carries on.
    value, adjoint = self._map_and_adjoint(function, solution)

    solution = implicit_function.differentiable(solution, value - x, adjoint)
    return solution, norm

  def _map_and_adjoint(self, function, y):
    """`f(y)`, and the function `u -> J^-T u` at `y`."""
    if self._log_det == 'exact':  # of events that are small
      ndims = self.forward_min_event_ndims
      value, jacobian = linearization.value_and_jacobian(function, y, ndims)

      def dense(u):
        inverse = dense_log_det.inverse(tf.stop_gradient(jacobian))
        shape = tf.concat([tf.shape(u)[: u.shape.rank - ndims], [-1]], axis=0)
        rows = tf.linalg.matvec(inverse, tf.reshape(u, shape), transpose_a=True)
        return flat_events.unflatten(rows, u)

      return value, dense
    linear = linearization.Linearization(function, y)

    def solved(u):
      # Another contraction, with the transposed Jacobian.
      return self._flat_solve(lambda v: linear.vjp(v) - u, u, self._step * u)[0]

    return linear.value, solved

  def _start(self, x, **kwargs):
    """Where the iteration starts."""
    del kwargs
    return x

  def _forward_and_log_det(self, x, seed=None, **kwargs):
    x = base.check_event(x, [None] * self.forward_min_event_ndims, self.name)
    y, _ = self._solve(x, **kwargs)
    _, log_det = self._inverse_and_log_det(y, seed, **kwargs)
    return y, -log_det

  def _inverse_and_log_det(self, y, seed=None, **kwargs):
    y = base.check_event(y, [None] * self.forward_min_event_ndims, self.name)
    seed = self._seed if seed is None else seed
    seed = stochastic_log_det.seed_tensor(seed)
    return self._map_and_log_det(y, seed, **kwargs)


def _resolution(dtype):
  """Distance of 1 to the next number; a `ValueError` for half precision."""
  if tf.as_dtype(dtype) not in (tf.float32, tf.float64):
    raise ValueError(
        'Argument `dtype` must be float32 or float64 (no solution is certified '
        f'in another type), got {tf.as_dtype(dtype).name}.'
    )
  return 2.0 * rounding.properties(dtype).unit
