"""Structures with one matrix for many vectors: dense, pointwise, individual."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum import result
from tfp_flowopt.optimum import vector_moments
from tfp_flowopt.optimum.structures import base

__all__ = ['Dense', 'Individual', 'Pointwise']


@dataclasses.dataclass(frozen=True)
class Dense(base.Structure):
  """Any `D x D` matrix."""

  name = 'dense'
  axes = ('D',)
  batch_axes = ('...', 'N')


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

  def events(self, vectors, shape):
    """Images of blocks."""
    k = self.block_size
    _, height, width, _ = tf.unstack(shape)
    sides = height // k, width // k
    x = tf.reshape(vectors, [-1, *sides, tf.shape(vectors)[-1]])
    return tf.nn.depth_to_space(x, k) if k > 1 else x

  def _rows(self, x, leading):
    """Vectors `leading + [block_size**2 C]`."""
    if self.block_size > 1:
      x = tf.nn.space_to_depth(x, self.block_size)
    channels = x.shape[-1] if x.shape[-1] is not None else tf.shape(x)[-1]
    return tf.reshape(x, [*leading, channels])


@dataclasses.dataclass(frozen=True)
class Individual(Pointwise):
  """A matrix for all positions of one image, and another one for the next.

  The moments of a stream are those of each image's own optimum, as a vector
  `[2 + D]`: log-likelihood, log-determinant, logarithms of the eigenvalues.
  """

  name = 'individual'
  has_flow = False
  takes_condition = False

  def vectors(self, x):
    """Vectors of each image, `[N, H W / k^2, k^2 C]`."""
    return self._rows(x, [tf.shape(x)[0], -1])

  def dimension(self, event_shape):
    """Of the vector of an optimum, `2 + D`."""
    return 2 + super().dimension(event_shape)

  def moments(self, x, centered, constraint):
    """Those of the optima of the images."""
    x = tf.cast(x, tf.float64)
    optima = self.optimum(
        self.moments_at_once(x, centered, constraint).checked(),
        tf.unstack(tf.shape(x)),
        constraint,
        tf.float64,
    )
    # A bounded optimum may have eigenvalues of 0.
    eigenvalues = tf.maximum(optima.eigenvalues, np.finfo(np.float64).tiny)
    log_values = tf.stack([optima.log_likelihood, optima.log_det], axis=-1)
    return vector_moments.VectorMoments.of(
        tf.concat([log_values, tf.math.log(eigenvalues)], axis=-1), True
    )

  def num_events(self, count, event_shape):
    """One for each image."""
    del event_shape
    return count

  def optimum_of_stream(self, moments, event_shape, constraint, dtype):
    """Means of log_*, and the geometric means of the eigenvalues with them."""
    del event_shape, constraint
    mean = moments.mean
    return result.LikelihoodOptimum(
        tf.cast(mean[0], dtype), tf.cast(mean[1], dtype), tf.exp(mean[2:])
    )
