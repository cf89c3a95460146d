"""Dense structure: any matrix."""

import dataclasses

from tfp_flowopt.optimum.structures import base

__all__ = ['Dense']


@dataclasses.dataclass(frozen=True)
class Dense(base.Structure):
  """Any `D x D` matrix."""

  name = 'dense'
  axes = ('D',)
  batch_axes = ('...', 'N')
