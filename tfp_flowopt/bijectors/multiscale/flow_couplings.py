"""The couplings of an image flow: ours, or the user's."""

import math
import warnings

import tensorflow_probability as tfp

from tfp_flowopt import networks
from tfp_flowopt.bijectors import additive_coupling
from tfp_flowopt.bijectors import affine_coupling
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.networks import conv_conditioner

__all__ = ['FlowCouplings']

# The constants of couplings without a budget, unless they are chosen.
_DEFAULTS = {
    'scale_bound': 1.0, 'tail_bound': 3.0, 'conditioner_lipschitz': 4.0
}
# The tail bound of couplings within a budget.
_TAIL_BOUND_IN_BUDGET = 1.0


class FlowCouplings:
  """Makes the couplings of a flow, each within its share of the budget."""

  def __init__(self, config, conditioning_channels, rng):
    """Creates the maker; `rng` draws the seeds of the networks."""
    self._config = config
    self._conditioning_channels = conditioning_channels
    self._rng = rng
    self._warned = False

  def make(self, event_shape, log_lipschitz):
    """The next coupling of images `[H, W, C]`.

    `log_lipschitz` is what the logarithms of its Lipschitz constants may be, or
    `None` without a budget. A `ValueError` if what the user's function returns
    is no bijector or network, or has larger constants.
    """
    config = self._config
    if config.coupling_fn is None:
      coupling = self._coupling(event_shape[-1], log_lipschitz)
    else:
      coupling = config.coupling_fn(list(event_shape), log_lipschitz)
      if not isinstance(coupling, tfp.bijectors.Bijector):
        raise ValueError(
            'Argument `coupling_fn` must return a tfb.Bijector, got '
            f'{coupling!r}.'
        )
    if config.coupling_fn or config.conditioner_fn:
      self._check(coupling, log_lipschitz)
    return coupling

  def _coupling(self, channels, log_lipschitz):
    """A coupling of the kind that the configuration names."""
    config = self._config
    first, second = channels // 2, channels - channels // 2
    is_affine = config.coupling == 'affine'
    outputs = 2 * second if is_affine else second
    if log_lipschitz is None:
      scale_bound, tail_bound, lipschitz = (
          default if getattr(config, name) is None else getattr(config, name)
          for name, default in _DEFAULTS.items()
      )
    elif is_affine:
      tail_bound = _TAIL_BOUND_IN_BUDGET
      scale_bound, lipschitz = affine_coupling.constants_within(
          log_lipschitz, tail_bound
      )
    else:
      lipschitz = 2.0 * math.sinh(log_lipschitz)
    if config.conditioner_fn is not None:
      conditioner = config.conditioner_fn(first, outputs, lipschitz)
    else:
      sizes = first, config.hidden_channels, outputs
      if log_lipschitz is not None:
        # The network states its constant with the safety factor, which is
        # hardly larger for a smaller one: for half of it, it is for certain.
        lipschitz /= conv_conditioner.inflation(
            sizes, 0.5 * lipschitz, config.dtype, config.compute_dtype
        )
      conditioner = networks.ConvConditioner(
          *sizes,
          lipschitz=lipschitz,
          conditioning_channels=self._conditioning_channels,
          dtype=config.dtype,
          compute_dtype=config.compute_dtype,
          seed=int(self._rng.integers(2**31)),
      )
    if is_affine:
      return affine_coupling.AffineCoupling(
          conditioner, scale_bound, tail_bound
      )
    return additive_coupling.AdditiveCoupling(conditioner)

  def _check(self, coupling, log_lipschitz):
    """Refuses what takes more than its share; warns of what is not known."""
    constants = bounds.known_bounds(coupling)
    if math.isinf(max(constants)):
      if not self._warned:
        warnings.warn(
            'A coupling of the flow has no Lipschitz constants that are known, '
            'so the certificate of the flow is infinite: register its class '
            'with `fo.lipschitz.lipschitz_bounds`, or give its network a '
            'property `lipschitz`.',
            stacklevel=2,
        )
      self._warned = True
    elif log_lipschitz is not None and (
        math.log(max(constants)) > log_lipschitz
    ):
      raise ValueError(
          'Argument `lipschitz_budget` leaves a coupling '
          f'{log_lipschitz:.6g} nats, and the logarithm of the constants of '
          f'{coupling.name} is {math.log(max(constants)):.6g}.'
      )
