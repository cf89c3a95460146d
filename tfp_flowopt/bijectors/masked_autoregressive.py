"""MaskedAutoregressive bijector."""

import math

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import bounded_splines
from tfp_flowopt.bijectors import coupling
from tfp_flowopt.internal import implicit_function
from tfp_flowopt.internal import linearization
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.lipschitz import statements
from tfp_flowopt.networks import masked_conditioner

__all__ = ['MaskedAutoregressive', 'constants_within']


class MaskedAutoregressive(base.JointBijector):
  """Bends each component along a monotone spline, given those before it.

  ```none
  inverse(y)[i] = f(y[i]; p_i) + t_i     (p_i, t_i) = net(y[0], ..., y[i - 1])
  ```

  with the splines `f` of `SplineCoupling`, of slopes in `[m, M]`. `inverse`,
  the direction of `log_prob`, evaluates the network once. `forward` evaluates
  it until nothing changes any more, at most `D` times for `D` components: the
  first `k` are exact after `k` times. Its gradients are those of the implicit
  function; there are no second ones.

  **Lipschitz constants.** The Jacobian of `inverse` is `S + N`: the slopes, and
  below the diagonal what the network adds, of norm `c = G L` at most (`L` the
  constant of the network, `G` that of `SplineCoupling`). So `inverse` has the
  constant `M + c`. Its inverse is `sum_k (-S^-1 N)^k S^-1`, of which only
  `k < D` remain, for `N` is nilpotent: with `r = c / m`, `forward` has the
  constant `(1 + r + ... + r^(D - 1)) / m`. Below `r = 1` it does not grow
  with `D`.

  #### Example

  ```python
  network = fo.networks.MaskedConditioner(3, 32, 16, lipschitz=2.0)
  bijector = fo.bijectors.MaskedAutoregressive(network, num_bins=16)
  bijector.inverse(tf.ones([5, 3]))
  fo.lipschitz.lipschitz_bounds(bijector)
  ```

  (Papamakarios et al. 2017; with splines: Durkan et al. 2019.)
  """

  def __init__(
      self,
      network: masked_conditioner.MaskedConditioner,
      num_bins: int = 16,
      min_slope: float = 0.05,
      max_slope: float = 20.0,
      bound: float = 3.0,
      validate_args: bool = False,
      name: str = 'masked_autoregressive',
  ) -> None:
    """Creates the bijector.

    Args:
      network: `MaskedConditioner` of the `D` components, with `num_bins`
        parameters for each.
      num_bins: As for `SplineCoupling`.
      min_slope: As for `SplineCoupling`, the `m` above.
      max_slope: As for `SplineCoupling`, the `M` above.
      bound: As for `SplineCoupling`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    self._splines = bounded_splines.BoundedSplines.checked(
        num_bins, min_slope, max_slope, bound
    )
    if not isinstance(network, masked_conditioner.MaskedConditioner):
      raise ValueError(
          'Argument `network` must be a `MaskedConditioner`, whose outputs for '
          f'a component see those before it, got {network!r}.'
      )
    if network.params_per_component != num_bins:
      raise ValueError(
          'Argument `network` must have `num_bins` parameters for each '
          f'component, {num_bins}, got {network.params_per_component}.'
      )
    with tf.name_scope(name) as name:
      self._network = network
      super().__init__(1, network.dtype, parameters, name)

  @property
  def network(self) -> masked_conditioner.MaskedConditioner:
    """The `MaskedConditioner`."""
    return self._network

  @property
  def splines(self) -> bounded_splines.BoundedSplines:
    """The `BoundedSplines`."""
    return self._splines

  @property
  def _is_conditional(self):
    return coupling.takes_conditioning(self._network)

  @property
  def _needs_conditioning(self):
    return self._is_conditional

  def _params(self, y, conditioning):
    return coupling.given(self._network, y, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    y = base.check_event(y, [self._network.in_features], self.name)
    x, log_slopes = self._splines.normalize(y, self._params(y, conditioning))
    return x, tf.reduce_sum(log_slopes, axis=-1)

  def _forward_and_log_det(self, x, conditioning=None):
    x = base.check_event(x, [self._network.in_features], self.name)
    solution = linearization.without_gradient(
        lambda x: self._solve(x, conditioning), x
    )
    linear = linearization.Linearization(
        lambda y: self._splines.normalize(y, self._params(y, conditioning))[0],
        solution,
    )
    _, log_slopes = self._splines.normalize(
        solution, self._params(solution, conditioning)
    )
    slopes = tf.stop_gradient(tf.exp(log_slopes))

    def adjoint(u):
      # `v = S^-1 (u - N^T v)`, the last component first.
      return self._iterate(
          lambda v: v + (u - linear.vjp(v)) / slopes, u / slopes
      )

    y = implicit_function.differentiable(solution, linear.value - x, adjoint)
    _, log_det = self._inverse_and_log_det(y, conditioning)
    return y, -log_det

  def _solve(self, x, conditioning):
    return self._iterate(
        lambda y: self._splines.generate(x, self._params(y, conditioning))[0],
        tf.zeros_like(x),
    )

  def _iterate(self, step, start):
    """The fixed point of a map whose component `i` needs others before `i`."""
    size = self._network.in_features

    def going_on(k, before, now):
      return (k < size) & tf.reduce_any(before != now)

    _, _, now = tf.while_loop(
        going_on,
        lambda k, before, now: (k + 1, now, step(now)),
        [1, start, step(start)],
    )
    return now


def constants_within(log_lipschitz, num_bins, bound):
  """`max_slope` and `lipschitz` of a layer of constants of at most `e^b`.

  `b` is `log_lipschitz`; `min_slope` is `m = 1 / max_slope`. With `m = e^-b/2`
  and `r = 1 - m` the constants of any number of components are `1 / (m (1 - r))
  = e^b` at most, forward, and `1 / m + r m <= e^b`, inverse.
  """
  slope = math.exp(0.5 * log_lipschitz)
  gradient = bounded_splines.slope_gradient(
      slope, 2.0 * bound / num_bins, num_bins
  )
  return slope, -math.expm1(-0.5 * log_lipschitz) / (slope * gradient)


@bounds.lipschitz_bounds.register
def _(bijector: MaskedAutoregressive):
  splines = bijector.splines
  cross = splines.cross_constant(
      statements.current_lipschitz(bijector.network)
  )
  smallest = rounding.reciprocal(splines.min_slope)
  ratio = rounding.product(cross, smallest) if cross else 0.0
  total = term = 1.0
  for _ in range(bijector.network.in_features - 1):
    term = rounding.product(term, ratio)
    total = math.nextafter(total + term, math.inf)
    if not term:
      break
  return bounds.LipschitzBounds(
      forward=rounding.product(smallest, total),
      inverse=math.nextafter(splines.max_slope + cross, math.inf),
  )
