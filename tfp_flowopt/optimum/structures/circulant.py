"""Circulant structure: convolutions with circular padding."""

import dataclasses

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum import circulant_moments
from tfp_flowopt.optimum.structures import base

__all__ = ['Circulant']


@dataclasses.dataclass(frozen=True)
class Circulant(base.Structure):
  """One `C x C` matrix for each frequency of the 2-D Fourier transform.

  Attributes:
    frequency_pool: `None`, or the side of the cells of frequencies that share
      one matrix.
  """

  frequency_pool: int | None = None

  name = 'circulant'
  takes_condition = False

  def __post_init__(self):
    if self.frequency_pool is not None:
      arguments.check_int('frequency_pool', self.frequency_pool)

  def moments_at_once(self, x, centered, constraint, conditions=None):
    """Those of a stream."""
    del conditions
    return self.moments(x, centered, constraint)

  def moments(self, x, centered, constraint):
    """Products of Fourier coefficients."""
    del constraint
    return circulant_moments.CirculantMoments.of(x, centered)

  def empty_moments(self, event_shape, centered):
    """Those of `CirculantMoments`."""
    height, width, channels = event_shape
    empty = circulant_moments.CirculantMoments(
        None, None, None, centered, None, width
    )
    return empty, (
        [channels],
        [channels, channels, height, width // 2 + 1],
        [channels, channels],
    )

  def pooled(self, moments):
    """Cells of frequencies share a matrix."""
    return dataclasses.replace(moments, frequency_pool=self.frequency_pool)
