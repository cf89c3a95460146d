"""Certified constants of the linear and the non-linear part of a flow."""

import math
from typing import NamedTuple

from tfp_flowopt.bijectors import additive_coupling
from tfp_flowopt.bijectors import affine_coupling
from tfp_flowopt.bijectors import radial_scaling
from tfp_flowopt.bijectors import scaling_cascade
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import layers

__all__ = ['FlowBounds', 'bounds_by_part', 'bounds_of_bijector']


class FlowBounds(NamedTuple):
  """Certified constants of the parts of a flow.

  A flow is a product of linear and non-linear maps in turn; each part has the
  product of the constants of its maps, the larger one where maps act side by
  side. A scaling that stretches by up to `p` and shrinks by up to `q` is
  counted as one by at most `sqrt(p q)` both ways, times the scalar
  `sqrt(p / q)`, which is a linear map.

  Attributes:
    linear: `LipschitzBounds` of the linear part: chosen by the data, trained
      within their ranges. The curves of `MarginalGaussianization`, chosen by
      the data alone, are counted here, too.
    nonlinear: `LipschitzBounds` of the non-linear part: what
      `lipschitz_budget` bounds.
  """

  linear: bounds.LipschitzBounds
  nonlinear: bounds.LipschitzBounds

  def then(self, other):
    """Bounds of a composition with `other`, in either order."""
    return FlowBounds(*(a.then(b) for a, b in zip(self, other, strict=True)))

  def beside(self, other):
    """Bounds of two flows that act on separate parts of an event."""
    return FlowBounds(*(a.beside(b) for a, b in zip(self, other, strict=True)))


_IDENTITY = FlowBounds(bounds.ISOMETRY, bounds.ISOMETRY)


def bounds_by_part(level):
  """Certified constants of a level and all coarser ones.

  Args:
    level: `FlowLevel`.

  Returns:
    `FlowBounds`.
  """
  factor_out = level.factor_out
  result = bounds_of_bijector(factor_out.scaling)
  if factor_out.travel is not None:
    result = result.beside(bounds_by_part(factor_out.travel))
  for part in level.parts:
    result = result.then(bounds_of_bijector(part))
  return result


def bounds_of_bijector(part):
  """Certified constants of one bijector, all in one part or scalings.

  Args:
    part: Bijector that `ImageFlow` is made of; `None` is the identity.

  Returns:
    `FlowBounds`.
  """
  if part is None:
    return _IDENTITY
  if isinstance(part, scaling_cascade.ScalingCascade):
    result = _IDENTITY
    for scaling in part.parts:
      result = result.then(bounds_of_bijector(scaling))
    return result
  constants = bounds.lipschitz_bounds(part)
  if isinstance(part, radial_scaling.RadialScaling):
    stretch = math.sqrt(constants.forward * constants.inverse)
    scalar = math.sqrt(constants.forward / constants.inverse)
    return FlowBounds(
        bounds.LipschitzBounds(scalar, 1.0 / scalar),
        bounds.LipschitzBounds(stretch, stretch),
    )
  if isinstance(part, affine_coupling.AffineCoupling) or (
      isinstance(part, additive_coupling.AdditiveCoupling)
      and not isinstance(part.conditioner, layers.LipschitzLinear)
  ):
    return FlowBounds(bounds.ISOMETRY, constants)
  return FlowBounds(constants, bounds.ISOMETRY)
