"""Certified constants of the linear and the non-linear part of a flow."""

import math
from typing import NamedTuple

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import additive_coupling
from tfp_flowopt.bijectors import depth_to_space
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors import marginal_gaussianization
from tfp_flowopt.bijectors import radial_scaling
from tfp_flowopt.bijectors import scaling_cascade
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import layers

__all__ = ['FlowBounds', 'bounds_by_part', 'bounds_of_bijector']

# Exact classes, in all that follows: a subclass may compute something else.
_LINEAR = (
    act_norm.ActNorm,
    depth_to_space.DepthToSpace,
    invertible_conv1x1.InvertibleConv1x1,
    marginal_gaussianization.MarginalGaussianization,
)
_LINEAR_NETWORKS = (layers.LipschitzConv2D, layers.LipschitzDense)


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

  Raises:
    TypeError: If a class is not registered (`lipschitz_bounds`).
  """
  factor_out = level.factor_out
  for bijector in (level, factor_out):
    bounds.check_registered(bijector)
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
    `FlowBounds`. What is not known to be linear is counted as non-linear.

  Raises:
    TypeError: If the class is not registered (`lipschitz_bounds`).
  """
  if part is None:
    return _IDENTITY
  if type(part) is scaling_cascade.ScalingCascade:
    result = _IDENTITY
    for scaling in part.parts:
      result = result.then(bounds_of_bijector(scaling))
    return result
  constants = bounds.lipschitz_bounds(part)
  if type(part) is radial_scaling.RadialScaling and math.inf not in constants:
    # Of roots: their product may be out of range.
    forward, inverse = map(math.sqrt, constants)
    scalar, stretch = forward / inverse, forward * inverse
    return FlowBounds(
        bounds.LipschitzBounds(scalar, 1.0 / scalar),
        bounds.LipschitzBounds(stretch, stretch),
    )
  if type(part) in _LINEAR or (
      type(part) is additive_coupling.AdditiveCoupling
      and type(part.conditioner) in _LINEAR_NETWORKS
  ):
    return FlowBounds(constants, bounds.ISOMETRY)
  return FlowBounds(bounds.ISOMETRY, constants)
