"""LipschitzResidual bijector."""

import functools
import math
from typing import Literal

import tensorflow as tf

from tfp_flowopt.bijectors import coupling
from tfp_flowopt.bijectors import implicit
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import dense_log_det
from tfp_flowopt.internal import lanczos
from tfp_flowopt.internal import linearization
from tfp_flowopt.internal import power_series
from tfp_flowopt.internal import stochastic_log_det
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.lipschitz import statements

__all__ = ['LipschitzResidual']


class LipschitzResidual(implicit.ImplicitBijector):
  """Adds a contraction to its input: an invertible residual network.

  ```none
  inverse(y) = y + g(y),   Lip(g) <= L < 1
  forward(x) = the fixed point of y -> x - g(y)
  ```

  (Behrmann et al. 2019; Chen et al. 2019.) The network may be any that
  certifies its constant. `forward` is solved to a certified error
  (`forward_with_error`).

  **Lipschitz constants.** `1 + L` inverse, `1 / (1 - L)` forward.

  **Log-determinant** of `I + J`, `J` the Jacobian of `g`, in nats:

  * `'exact'`: the dense Jacobian, by QR. For small events: it costs as much as
    `D` evaluations.
  * `'series'`: the first `num_terms` of `sum (-1)^(k+1) tr(J^k) / k`, with
    random probes for the traces (Hutchinson 1990). What is left out is bounded
    (`series_bias_bound`).
  * `'roulette'`: without bias. After `num_terms` terms each next one is
    computed with probability `1 - stop_probability`, and divided by the
    probability that it is reached. Its variance is finite for all weights if
    `stop_probability < 1 - L^2`. One draw serves all samples of a call.
  * `'lanczos'`: quadrature of `1/2 log` of `(I+J)^T (I+J)` with `num_terms`
    products, for evaluation: its error falls at least as fast as that of a
    series of twice the terms (both as a power of `L` for the worst branch).

  All can be trained with: their gradients are estimates of the exact one with
  the memory of one evaluation. The random ones take a seed at each call:

  ```python
  network = fo.networks.DenseConditioner(
      2, 32, 2, lipschitz=0.9, activation='smooth_max_min')
  bijector = fo.bijectors.LipschitzResidual(network, log_det='roulette')
  y = tf.ones([5, 2])
  x = bijector.inverse(y, seed=[0, 1])
  bijector.inverse_log_det_jacobian(y, seed=[0, 1])  # of the same terms
  bijector.forward_with_error(x)
  ```

  A distribution passes them on: `log_prob(y, bijector_kwargs={'seed': seed})`.
  So it does the `conditioning` that a network with `conditioning_channels`
  takes; the constants are those for any.
  """

  def __init__(
      self,
      network: types.Network,
      event_ndims: int = 1,
      log_det: Literal['exact', 'series', 'roulette', 'lanczos'] = 'exact',
      num_terms: int = 8,
      num_probes: int = 1,
      stop_probability: float | None = None,
      seed: int | types.Seed = 0,
      tolerance: float | None = None,
      max_iterations: int = 5000,
      validate_args: bool = False,
      name: str = 'lipschitz_residual',
  ) -> None:
    """Creates the bijector.

    Args:
      network: Callable, the `g` above: maps `[..., event]` to the same shape,
        for any number of batch dimensions, each element of the batch alone. It
        states its `lipschitz`, below 1. A `tf.Module`'s variables are tracked.
      event_ndims: Number of dimensions of an event: 1 for vectors, 3 for
        images.
      log_det: `'exact'`, `'series'`, `'roulette'` or `'lanczos'`.
      num_terms: Terms of the series, terms before the roulette begins, or
        steps of Lanczos.
      num_probes: Random probes whose mean is taken.
      stop_probability: Of the roulette, in (0, 1 - L^2); by default half of
        that.
      seed: Python `int` or pair, the seed of calls that give none, and so have
        the same probes: for training, give each call its own.
      tolerance: Positive Python `float`, the certified error of `forward`
        relative to `max(1, |x|)`; by default 32 times the type's resolution.
      max_iterations: Python `int`, the most steps of the solver. It stops by
        itself at the number that plain iteration needs for the tolerance.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      TypeError: If the network inherits its constant.
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    if not callable(network):
      raise ValueError(f'Argument `network` must be callable, got {network!r}.')
    lipschitz = statements.stated_lipschitz(network)
    if not 0 <= lipschitz < 1:
      raise ValueError(
          'Argument `network` must certify a constant below 1 as '
          f'`network.lipschitz`, got {lipschitz}.'
      )
    self._configure_by(parameters)
    most = 1.0 - lipschitz**2
    self._stop_probability = arguments.check_number(
        'stop_probability',
        0.5 * most if stop_probability is None else stop_probability,
        lambda v: 0 < v < most,
        f'in (0, 1 - L^2) = (0, {most:.6g}) for a finite variance',
    )
    with tf.name_scope(name) as name:
      coupling.warn_of_network(network, 'network')
      self._network = network
      self._lipschitz = lipschitz
      dtype = getattr(network, 'dtype', None)
      super().__init__(event_ndims, dtype, parameters, name)

  _LOG_DETS = ('exact', 'series', 'roulette', 'lanczos')
  _step = 1.0

  @property
  def network(self) -> types.Network:
    """The residual branch `g`."""
    return self._network

  @property
  def lipschitz(self) -> float:
    """The certified constant `L` of the residual branch."""
    return self._lipschitz

  def series_bias_bound(self, event_size: int) -> float:
    """Bound of what `'series'` leaves out, in nats for an event.

    `D L^(n+1) / ((n+1) (1-L))` with `D = event_size` and `n = num_terms`.
    """
    return power_series.series_bias_bound(
        event_size, self._lipschitz, self._num_terms
    )

  @property
  def _contraction(self):
    return self._lipschitz

  @property
  def _forward_lipschitz(self):
    return 1.0 / (1.0 - self._lipschitz)

  @property
  def _is_conditional(self):
    return coupling.takes_conditioning(self._network)

  @property
  def _needs_conditioning(self):
    return self._is_conditional

  def _branch(self, y, conditioning):
    value = coupling.given(self._network, y, conditioning)
    if not value.shape.is_compatible_with(y.shape):
      raise ValueError(
          'Argument `network` must keep the shape of its input; it turns '
          f'{y.shape} into {value.shape}.'
      )
    return value

  def _map(self, y, conditioning=None):
    return y + self._branch(y, conditioning)

  def _map_and_log_det(self, y, seed, conditioning=None):
    ndims = self.forward_min_event_ndims
    branch = functools.partial(self._branch, conditioning=conditioning)
    if self._log_det == 'exact':
      value, jacobian = linearization.value_and_jacobian(branch, y, ndims)
      identity = tf.eye(jacobian.shape[-1], dtype=y.dtype)
      return y + value, dense_log_det.log_abs_det(identity + jacobian)
    probes = stochastic_log_det.rademacher(self._num_probes, y, seed)
    if self._log_det == 'lanczos':
      estimator = self._lanczos
    else:
      estimator = self._series(seed)
    value, log_det = stochastic_log_det.value_and_log_det(
        branch, y, ndims, probes, estimator
    )
    return y + value, log_det

  def _series(self, seed):
    """The estimator of `'series'` or `'roulette'`."""
    num_terms, going_on = self._num_terms, 1.0
    if self._log_det == 'roulette':
      # Not the seed of the probes, of which it must be independent.
      num_terms = power_series.num_roulette_terms(
          self._num_terms,
          self._stop_probability,
          tf.random.experimental.stateless_fold_in(seed, 1),
      )
      going_on = 1.0 - self._stop_probability

    def weight(k):
      return going_on ** -tf.maximum(k - self._num_terms, 0.0)

    return lambda linear, probes: power_series.power_series(
        linear, probes, self.forward_min_event_ndims, num_terms, weight
    )

  def _lanczos(self, linear, probes):
    """The estimator of `'lanczos'`: `log det(I + J) = 1/2 log det A`."""

    def matvec(v):
      v += linear.jvp(v)
      return v + linear.vjp(v)

    log_det, solution = lanczos.log_quadrature(
        matvec,
        probes,
        self.forward_min_event_ndims,
        self._num_terms,
        (1.0 - self._lipschitz) ** 2,
        (1.0 + self._lipschitz) ** 2,
    )
    # (I + J)^-T = (I + J) A^-1.
    return 0.5 * log_det, solution + linear.jvp(solution)


@bounds.lipschitz_bounds.register
def _(bijector: LipschitzResidual):
  lipschitz = bijector.lipschitz
  return bounds.LipschitzBounds(
      rounding.reciprocal(1.0 - lipschitz),
      math.nextafter(1.0 + lipschitz, math.inf),
  )
