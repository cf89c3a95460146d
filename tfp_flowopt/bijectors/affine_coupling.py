"""AffineCoupling bijector."""

import math

import tensorflow as tf

from tfp_flowopt.bijectors import coupling
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import custom_gradients
from tfp_flowopt.internal import half_precision
from tfp_flowopt.internal import soft_scaling
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.lipschitz import statements

__all__ = ['AffineCoupling', 'constants_within']

# What the scale takes of a coupling's constant; the network gets the rest.
_SCALE_SHARE = 0.3


class AffineCoupling(coupling.Coupling):
  """Scales and shifts half of the channels, bi-Lipschitz for all inputs.

  ```none
  inverse(y1, y2) = (y1, y2 + (e^s - 1) phi(y2) + t)
                  = (y1, y2 (e^s + u) / (1 + u) + t),   u = |y2| / B
  phi(y) = y / (1 + |y| / B)        s = a tanh(r / a)       (r, t) = net(y1)
  ```

  Its limit for `B -> inf` is the affine coupling of RealNVP (Dinh,
  Sohl-Dickstein & Bengio 2017), `e^s y2 + t`. There the derivative with respect
  to `y1` grows with `y2`, so it has no Lipschitz constant; here `|phi| < B`
  bounds it. As `0 < phi' = (1 + |y|/B)^-2 <= 1`, each slope lies in
  `[e^-a, e^a]`, the density is continuous, and

  ```none
  log|det d inverse / dy| = sum log(1 + (e^s - 1) phi'(y2)).
  ```

  `forward` solves one quadratic for each element: with `v = |x2 - t|` and
  `b = e^s - v / B`,

  ```none
  |y2| = 2 v / (b + sqrt(b^2 + 4 v / B)).
  ```

  **Lipschitz constants.** If `net` has the constant `L`, the lower left block
  of the Jacobian of `inverse` is `diag(e^s phi tanh'(r/a)) J_r + J_t`, at most
  `c = L sqrt((k B)^2 + 1)` with `k = max_s e^s (1 - (s/a)^2)`, attained at
  `s = sqrt(1 + a^2) - 1`. So `inverse` has the constant `N(c, e^a)`, where
  `N(c, d)` is the spectral norm of `[[1, 0], [c, d]]`. The block of `forward`
  is that times `-1/slope`. The slope is `(e^s + 2 u + u^2) / (1 + u)^2` and
  `phi = B u / (1 + u)`, so `phi / slope = B (u + u^2) / (e^s + 2 u + u^2) <= B`
  again: only `J_t` grows by `e^a`, and `forward` has the constant
  `N(L sqrt((k B)^2 + e^(2 a)), e^a)`.

  #### Example

  ```python
  conditioner = fo.networks.ConvConditioner(6, 64, 12)
  bijector = fo.bijectors.AffineCoupling(conditioner)
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  fo.lipschitz.lipschitz_bounds(bijector)
  ```
  """

  def __init__(
      self,
      conditioner: types.Network,
      scale_bound: float = 1.0,
      tail_bound: float = 3.0,
      event_ndims: int | None = None,
      validate_args: bool = False,
      name: str = 'affine_coupling',
  ) -> None:
    """Creates the coupling.

    Args:
      conditioner: Callable that maps `[..., C // 2]` to
        `[..., 2 (C - C // 2)]`, `r` and `t` of the formula side by side. The
        `lipschitz` that it may state as a property of its class must be a
        Lipschitz constant of it.
      scale_bound: Positive Python `float` of at most 40, the `a` above.
      tail_bound: Positive Python `float`, the `B` above; `inf` for the usual
        affine coupling.
      event_ndims: Number of dimensions of an event, 1 for vectors and 3 for
        images. By default what the conditioner states as its `event_ndims`, as
        those of this package do; 3 if it states none.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    self._scale_bound = arguments.check_number(
        'scale_bound',
        scale_bound,
        lambda v: 0 < v <= 40,
        # The square of e^44 is the last in float32.
        'positive and at most 40',
    )
    self._tail_bound = arguments.check_positive(
        'tail_bound', tail_bound, or_infinite=True
    )
    with tf.name_scope(name) as name:
      super().__init__(conditioner, event_ndims, parameters, name)

  _params_per_channel = 2

  @property
  def scale_bound(self) -> float:
    """Bound of the logarithms of the slopes."""
    return self._scale_bound

  @property
  def tail_bound(self) -> float:
    """Where the scaling levels off."""
    return self._tail_bound

  def _prepared(self, params):
    raw, shift = tf.split(half_precision.widened(params), 2, axis=-1)
    return _bounded_exponential(raw, self._scale_bound), shift

  def _normalize(self, y, params):
    scale, shift = params
    dtype, y = y.dtype, half_precision.widened(y)
    if math.isinf(self._tail_bound):
      return tf.cast(y * scale + shift, dtype), tf.math.log(scale)
    x, log_slope = soft_scaling.scaled(y, scale, self._tail_bound)
    return tf.cast(x + shift, dtype), log_slope

  def _generate(self, x, params):
    scale, shift = params
    dtype, x = x.dtype, half_precision.widened(x) - shift
    if math.isinf(self._tail_bound):
      return tf.cast(x / scale, dtype), -tf.math.log(scale)
    y, log_slope = soft_scaling.unscaled(x, scale, self._tail_bound)
    return tf.cast(y, dtype), -log_slope


def _bounded_exponential(raw, bound):
  """`e^s` with `s = bound tanh(raw / bound)`."""

  @custom_gradients.custom_gradient
  def scale(raw):
    tanh = tf.tanh(raw / bound)
    value = tf.exp(bound * tanh)
    return value, lambda d: tf.raw_ops.TanhGrad(y=tanh, dy=d * value)

  return scale(raw)


def _steepest_scale(a):
  """`k = max_s e^s (1 - (s/a)^2)` over `|s| <= a`."""
  s = math.sqrt(1.0 + a**2) - 1.0
  return math.exp(s) * (1.0 - (s / a) ** 2)


def constants_within(log_lipschitz, tail_bound):
  """`scale_bound` and `lipschitz` of a coupling of a constant of at most `e^b`.

  `b` is `log_lipschitz`. `N(c, d) = e^b` is solved by
  `c^2 = (e^(2 b) - 1) (e^(2 b) - d^2) / e^(2 b)`.
  """
  a = _SCALE_SHARE * log_lipschitz
  # With differences of exponentials: b may be very small.
  square = -math.expm1(-2.0 * log_lipschitz) * (
      math.exp(2.0 * a) * math.expm1(2.0 * (log_lipschitz - a))
  )
  slope = math.hypot(_steepest_scale(a) * tail_bound, math.exp(a))
  return a, math.sqrt(square) / slope


@bounds.lipschitz_bounds.register
def _(bijector: AffineCoupling):
  a = bijector.scale_bound
  lipschitz = statements.current_lipschitz(bijector.conditioner)
  k = _steepest_scale(a)

  def constant(largest_shift_slope):
    slope = math.hypot(k * bijector.tail_bound, largest_shift_slope)
    # Without a cross term not even infinite tails matter (0 times inf is NaN).
    return bounds.coupling_norm(
        lipschitz and rounding.product(lipschitz, slope),
        rounding.exponential(a),
    )

  return bounds.LipschitzBounds(
      forward=constant(rounding.exponential(a)), inverse=constant(1.0)
  )
