"""SplineCoupling bijector."""

import math

import tensorflow as tf

from tfp_flowopt.bijectors import bounded_splines
from tfp_flowopt.bijectors import coupling
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.lipschitz import statements

__all__ = ['SplineCoupling', 'constants_within']

# What the slopes take of the logarithm of a coupling's constant.
_SLOPE_SHARE = 0.5


class SplineCoupling(coupling.Coupling):
  """Bends half of the channels along monotone splines, bi-Lipschitz.

  ```none
  inverse(y1, y2) = (y1, f(y2; p) + t)      p_k = a tanh(r_k / a)
  forward(x1, x2) = (x1, f^-1(x2 - t; p))   (r_1, ..., r_(K-1), t) = net(y1)
  ```

  `f` has `K` bins of width `w = 2 B / K` on `[-B, B]` and the slope `e^p_k` at
  knot `k`, `p_0 = p_K = 0`; beyond it has slope 1. In each bin it is a quotient
  of linear functions: with `u` in `[0, 1]` the place in bin `k`,

  ```none
  f = f_k + h_k v       h_k = w e^((p_k + p_(k+1)) / 2)
  v = q u / D           q = e^((p_k - p_(k+1)) / 2)
  f' = e^p_k / D^2      D = 1 - u + q u
  ```

  Among such functions the slope is monotone in a bin, and the mean slope is
  the geometric mean of those at its ends. So the slopes at the knots are free,
  `f'` is continuous, and lies between theirs: in `[m, M]` for all parameters,
  with `a = log M` where `r > 0`, and `-log m` elsewhere. Neither direction has
  a root. `f` keeps the knot in the middle, `K // 2`. (The rational-quadratic
  splines of Durkan et al. 2019 leave the slopes at their knots: with slope `d`
  at both ends, and `s` on average, they have `2 s^2 / (s + d)` between.)

  **Lipschitz constants.** `d log f' = (1 - v) dp_k + v dp_(k+1)`: slopes grow
  with all `p`, so `|df / dp_k|` grows away from the middle, up to the tails. It
  is at most the mean of the bins beside knot `k`, `(h_(k-1) + h_k) / 2`, and
  half of one for the middle knot. With `tanh'` and `p <= log M` around,

  ```none
  |df / dr_k| <= w k,    k = sqrt(M) max_p e^(p/2) (1 - (p/a)^2),
  ```

  attained at `p = sqrt(4 + a^2) - 2`. On either side are `K - K // 2` knots or
  fewer, the middle one among them, so the gradient of `f + t` by the parameters
  is at most `G = sqrt(1 + (w k)^2 (K - K // 2 - 3/4))`. If `net` has the
  constant `L`, `inverse` has the constant `N(G L, M)` and `forward`
  `N(G L / m, 1 / m)`, `N(c, d)` the spectral norm of `[[1, 0], [c, d]]`.

  #### Example

  ```python
  conditioner = fo.networks.DenseConditioner(1, 32, 16)
  bijector = fo.bijectors.SplineCoupling(conditioner, num_bins=16)
  bijector.inverse(tf.ones([5, 2]))
  fo.lipschitz.lipschitz_bounds(bijector)
  ```
  """

  def __init__(
      self,
      conditioner: types.Network,
      num_bins: int = 16,
      min_slope: float = 0.05,
      max_slope: float = 20.0,
      bound: float = 3.0,
      event_ndims: int | None = None,
      validate_args: bool = False,
      name: str = 'spline_coupling',
  ) -> None:
    """Creates the coupling.

    Args:
      conditioner: Callable that maps `[..., C // 2]` to
        `[..., K (C - C // 2)]`: `r_1` of all channels, `r_2` and so on, and `t`
        of the formula, side by side; zeros for the identity. The `lipschitz`
        that it may state as a property of its class must be a Lipschitz
        constant of it.
      num_bins: Number of bins, the `K` above, at least 2.
      min_slope: Smallest slope, the `m` above, in `[1e-3, 1)`.
      max_slope: Largest slope, the `M` above, in `(1, 1e3]`.
        With slopes in [1/5, 5] six couplings lose 0.015 nats on eight Gaussians
        in the plane to the defaults, with constants smaller by e^14 (forward).
      bound: Positive Python `float`, the `B` above.
      event_ndims: As for `AffineCoupling`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    self._splines = bounded_splines.BoundedSplines.checked(
        num_bins, min_slope, max_slope, bound
    )
    self._params_per_channel = self._splines.num_bins
    with tf.name_scope(name) as name:
      super().__init__(conditioner, event_ndims, parameters, name)

  @property
  def splines(self) -> bounded_splines.BoundedSplines:
    """The `BoundedSplines`."""
    return self._splines

  @property
  def num_bins(self) -> int:
    """Number of bins of each spline."""
    return self._splines.num_bins

  @property
  def min_slope(self) -> float:
    """Lower bound of the slopes of `inverse`."""
    return self._splines.min_slope

  @property
  def max_slope(self) -> float:
    """Upper bound of the slopes of `inverse`."""
    return self._splines.max_slope

  @property
  def bound(self) -> float:
    """Half of the length of the interval that the bins divide."""
    return self._splines.bound

  def _normalize(self, y, params):
    return self._splines.normalize(y, params)

  def _generate(self, x, params):
    return self._splines.generate(x, params)


def constants_within(log_lipschitz, num_bins, bound):
  """`max_slope` and `lipschitz` of a coupling of constants of at most `e^b`.

  `b` is `log_lipschitz`; `min_slope` is `1 / max_slope`. `forward` has the
  larger constant, `N(c, d)` with `c = G L d` and `d = max_slope`; `N(c, d) =
  e^b` is solved by `c^2 = (e^(2 b) - 1) (e^(2 b) - d^2) / e^(2 b)`.
  """
  a = _SLOPE_SHARE * log_lipschitz
  slope = math.exp(a)
  # With differences of exponentials: b may be very small.
  square = -math.expm1(-2.0 * log_lipschitz) * (
      slope**2 * math.expm1(2.0 * (log_lipschitz - a))
  )
  gradient = bounded_splines.slope_gradient(
      slope, 2.0 * bound / num_bins, num_bins
  )
  return slope, math.sqrt(square) / (gradient * slope)


@bounds.lipschitz_bounds.register
def _(bijector: SplineCoupling):
  smallest = rounding.reciprocal(bijector.min_slope)
  cross = bijector.splines.cross_constant(
      statements.current_lipschitz(bijector.conditioner)
  )
  return bounds.LipschitzBounds(
      forward=bounds.coupling_norm(
          cross and rounding.product(cross, smallest), smallest
      ),
      inverse=bounds.coupling_norm(cross, bijector.max_slope),
  )
