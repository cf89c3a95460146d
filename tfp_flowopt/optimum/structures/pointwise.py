"""Pointwise structure: one matrix for all positions of all images."""

import dataclasses

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum.structures import base

__all__ = ['Pointwise']


@dataclasses.dataclass(frozen=True)
class Pointwise(base.Structure):
  """A 1x1 convolution after `space_to_depth(block_size)`.

  Attributes:
    block_size: Side of the square blocks that make a vector.
  """

  block_size: int = 1

  name = 'pointwise'

  def __post_init__(self):
    arguments.check_int('block_size', self.block_size)

  def __str__(self):
    return f'{self.name} {self.block_size}x{self.block_size}'

  def check_event(self, event_shape):
    """Also whether blocks fit into the images."""
    super().check_event(event_shape)
    for name, size in zip(('height', 'width'), event_shape[:2], strict=True):
      if size is not None and size % self.block_size:
        raise ValueError(
            f'Argument `block_size` ({self.block_size}) must divide the {name} '
            f'of the images ({size}).'
        )

  def num_vectors(self, shape):
    """Number of blocks."""
    height, width, _ = shape[-3:]
    return (height // self.block_size) * (width // self.block_size)

  def dimension(self, event_shape):
    """Numbers in a block."""
    return event_shape[-1] * self.block_size**2

  def vectors(self, x):
    """Blocks, `[N H W / k^2, k^2 C]`."""
    return self._rows(x, [-1])

  def _rows(self, x, leading):
    """Vectors `leading + [block_size**2 C]`."""
    if self.block_size > 1:
      x = tf.nn.space_to_depth(x, self.block_size)
    channels = x.shape[-1] if x.shape[-1] is not None else tf.shape(x)[-1]
    return tf.reshape(x, [*leading, channels])
