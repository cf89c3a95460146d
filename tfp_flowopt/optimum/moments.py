"""Second moments of data.

Everything is accumulated in float64: the small eigenvalues of photographs are
1e-6 of the largest, below the rounding error of a float32 moment.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import finite_samples

__all__ = ['Moments', 'Spectrum']


class Spectrum(NamedTuple):
  """The eigenvalues of an auto-correlation matrix.

  Attributes:
    eigenvalues: `[..., D]`, in descending order.
    rounding: `[..., D]`, what rounding may have made of an eigenvalue of 0.
  """

  eigenvalues: tf.Tensor
  rounding: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Moments:
  """Mean and second moment of a number of vectors in `R^D`.

  Attributes:
    count: Scalar float64 `Tensor`, the number of vectors.
    mean: `[..., D]` float64 `Tensor`, the mean; zeros when not centred.
    matrix: `[..., D, D]` float64 `Tensor`, the mean of
      `(x - mean) (x - mean)^T`: the covariance when centred, else the
      auto-correlation matrix.
  """

  count: tf.Tensor
  mean: tf.Tensor
  matrix: tf.Tensor

  @classmethod
  def of(cls, vectors, centered):
    """Moments over the second to last axis of `vectors` `[..., N, D]`."""
    vectors = tf.cast(vectors, tf.float64)
    count = tf.cast(tf.shape(vectors)[-2], tf.float64)
    mean = tf.reduce_mean(vectors, axis=-2)
    if centered:
      vectors = vectors - mean[..., tf.newaxis, :]
    else:
      mean = tf.zeros_like(mean)
    matrix = tf.linalg.matmul(vectors, vectors, transpose_a=True) / count
    return cls(count, mean, matrix)

  def merge(self, other):
    """Moments of the union of two disjoint sets of vectors.

    The pairwise update of Chan, Golub & LeVeque (1983): no difference of large
    numbers, so data with a mean far from zero lose nothing.

    Args:
      other: Moments of the same kind and shape.

    Returns:
      Moments of that kind.
    """
    count = self.count + other.count
    # Of two empty sets: nothing.
    weight = tf.math.divide_no_nan(other.count, count)
    shift = other.mean - self.mean
    return dataclasses.replace(
        self,
        count=count,
        mean=self.mean + weight * shift,
        matrix=(1.0 - weight) * self.matrix
        + weight * other.matrix
        + weight * (1.0 - weight) * self._outer(shift),
    )

  def all_reduce(self):
    """Moments of the vectors of all replicas. In replica context.

    First the mean of all, then the moments about it: as in `merge`, no large
    numbers are subtracted.

    Returns:
      Moments of the same kind, the same on each replica.
    """
    context = tf.distribute.get_replica_context()

    def total(x):
      return context.all_reduce(tf.distribute.ReduceOp.SUM, x)

    count = total(self.count)
    weight = tf.math.divide_no_nan(self.count, count)
    mean = total(weight * self.mean)
    matrix = total(weight * (self.matrix + self._outer(self.mean - mean)))
    return dataclasses.replace(self, count=count, mean=mean, matrix=matrix)

  def _outer(self, shift):
    """What a shift of the mean adds to `matrix`."""
    return shift[..., :, tf.newaxis] * shift[..., tf.newaxis, :]

  def fewest_vectors(self):
    """The smallest number of vectors behind a block, and their dimension."""
    return self.count, tf.cast(tf.shape(self.mean)[-1], tf.float64)

  # `matrix` stands for symmetric blocks, whose eigenvalues together are those
  # of the auto-correlation matrix. Here it is one block itself; a subclass may
  # hold more in another layout, and overrides what follows.

  def blocks(self):
    """The symmetric blocks, `[..., K, K]`."""
    return self.matrix

  def pooled(self, values):
    """Eigenvalues of the blocks `[..., K]` as one spectrum, `[..., D]`."""
    return values

  def summed(self, values):
    """The sum over the blocks of one value for each; the blocks themselves."""
    return values

  def squares(self, vectors, precision):
    """`(x - mean)^T P (x - mean)` of vectors `[N, D]`, `[N]`."""
    vectors = tf.cast(vectors, tf.float64) - self.mean
    return tf.reduce_sum(vectors * tf.matmul(vectors, precision), axis=-1)

  def log_det_bias(self, centered):
    """The bias of `log_det()` for Gaussian data, in nats."""
    return finite_samples.wishart_log_det_bias(
        self.count, tf.shape(self.matrix)[-1], centered
    )

  def rounding(self, largest, size):
    """Error of the eigenvalues of blocks, `[..., 1]`.

    Args:
      largest: `[..., 1]`, the largest eigenvalue of each block.
      size: Integer scalar `Tensor`, rows of a block.
    """
    # A symmetric eigenvalue is known up to eps |R|.
    return np.finfo(np.float64).eps * tf.cast(size, largest.dtype) * largest

  def spectrum(self):
    """The `Spectrum` of the auto-correlation matrix."""
    values = tf.linalg.eigvalsh(self.blocks())
    rounding = tf.broadcast_to(
        self.rounding(values[..., -1:], tf.shape(values)[-1]), tf.shape(values)
    )
    values, rounding = self.pooled(values), self.pooled(rounding)
    order = tf.argsort(values, direction='DESCENDING')
    return Spectrum(
        *(tf.gather(x, order, axis=-1, batch_dims=order.shape.rank - 1)
          for x in (values, rounding))
    )

  def log_det(self, noise_variance=0.0):
    """`log det(R + noise_variance I)` `[...]`, by Cholesky.

    Not from eigenvalues: XLA finds those to 1e-6 of the largest only, and
    those that coincide have eigenvectors without gradient.

    Args:
      noise_variance: Number or scalar float64 `Tensor`.

    Returns:
      float64 `Tensor` `[...]`, in nats.
    """
    blocks = self.blocks()
    diagonal = tf.linalg.diag_part(blocks) + noise_variance
    factor = tf.linalg.cholesky(tf.linalg.set_diag(blocks, diagonal))
    return self.summed(
        2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=-1)
    )

  def eigh(self):
    """Eigenvalues `[..., D]`, descending, and eigenvectors (columns)."""
    eigenvalues, eigenvectors = tf.linalg.eigh(self.matrix)
    return eigenvalues[..., ::-1], eigenvectors[..., ::-1]
