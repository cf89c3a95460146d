"""Certified constants of the linear and the non-linear part of a bijector."""

import functools
from typing import NamedTuple

from tfp_flowopt.internal import registered
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds

__all__ = [
    'FlowBounds',
    'bounds_by_part',
    'bounds_of_parts',
    'linear',
    'nonlinear',
    'register_parts',
]


class FlowBounds(NamedTuple):
  """Certified constants of the parts of a flow.

  A flow is a product of linear and non-linear maps in turn; each part has the
  product of the constants of its maps, the larger one where maps act side by
  side. A scaling that stretches by up to `p` and shrinks by up to `q` counts as
  one by at most `sqrt(p q)` both ways, times the scalar `sqrt(p / q)`, which is
  a linear map.

  Attributes:
    linear: `LipschitzBounds` of the linear part: chosen by the data, trained
      within their ranges. So are the curves of `MarginalGaussianization`, which
      the data alone choose, and of a `VectorFlow` support and radius.
    nonlinear: `LipschitzBounds` of the non-linear part: what
      `lipschitz_budget` bounds.
  """

  linear: bounds.LipschitzBounds
  nonlinear: bounds.LipschitzBounds

  def then(self, other: 'FlowBounds') -> 'FlowBounds':
    """Bounds of a composition with `other`, in either order."""
    return FlowBounds(*(a.then(b) for a, b in zip(self, other, strict=True)))

  def beside(self, other: 'FlowBounds') -> 'FlowBounds':
    """Bounds of two flows that act on separate parts of an event."""
    return FlowBounds(*(a.beside(b) for a, b in zip(self, other, strict=True)))


@functools.singledispatch
def _rules(bijector):
  """The registered functions; each is used for its exact class only."""


@registered.with_register_of(_rules)
def bounds_by_part(bijector: types.Bijector) -> FlowBounds:
  """`FlowBounds` of a bijector.

  A class states its share with `@bounds_by_part.register`, beside its
  `lipschitz_bounds`, without which there is a `TypeError`. One that states none
  is counted as non-linear, as is a subclass: it may compute something else.
  """
  bounds.check_registered(bijector)
  return _rules.registry.get(type(bijector), nonlinear)(bijector)


def bounds_of_parts(bijectors):
  """`FlowBounds` of bijectors in turn, in the order of `inverse`."""
  return functools.reduce(
      FlowBounds.then,
      (
          bounds_by_part(part)
          if together is None
          else FlowBounds(together, bounds.ISOMETRY)
          for part, together in bounds.with_neighbours(bijectors)
      ),
      FlowBounds(bounds.ISOMETRY, bounds.ISOMETRY),
  )


def register_parts(cls, parts):
  """Registers a class that applies the bijectors `parts(bijector)` in turn."""
  bounds.lipschitz_bounds.register(
      cls, lambda bijector: bounds.bounds_of_parts(parts(bijector))
  )
  bounds_by_part.register(
      cls, lambda bijector: bounds_of_parts(parts(bijector))
  )


def linear(bijector):
  """`FlowBounds` of a bijector all of which is linear."""
  return FlowBounds(bounds.lipschitz_bounds(bijector), bounds.ISOMETRY)


def nonlinear(bijector):
  """`FlowBounds` of a bijector all of which counts as non-linear."""
  return FlowBounds(bounds.ISOMETRY, bounds.lipschitz_bounds(bijector))
