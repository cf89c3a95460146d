"""Second moments of vectors, as one matrix."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import moments

__all__ = ['GramMoments', 'VectorMoments']

# From so many dimensions on, a product of matrices pays in panels.
_LARGE, _NUM_PANELS = 256, 6


@dataclasses.dataclass(frozen=True)
class VectorMoments(moments.SummedMoments):
  """Moments of vectors in `R^D`, one matrix."""

  @classmethod
  def of(cls, vectors, centered):
    """Moments over the second to last axis of `vectors` `[..., N, D]`."""
    count, mean, vectors = _centered(vectors, centered)
    between = tf.zeros_like(mean[..., tf.newaxis] * mean[..., tf.newaxis, :])
    return cls(count, mean, _gram(vectors), centered, between)

  def squares(self, vectors, precision):
    """`(x - mean)^T P (x - mean)` of vectors `[N, D]`, `[N]`."""
    vectors = tf.cast(vectors, tf.float64) - self.mean
    return tf.reduce_sum(vectors * tf.matmul(vectors, precision), axis=-1)

  def product(self, vectors, blocks):
    """`A x` of vectors `[N, D]`, `A` one of `blocks()` or a function of it."""
    return tf.linalg.matmul(vectors, blocks, transpose_b=True)

  def eigh(self):
    """Eigenvalues `[..., D]`, descending, and eigenvectors (columns)."""
    eigenvalues, eigenvectors = tf.linalg.eigh(self.matrix)
    return eigenvalues[..., ::-1], eigenvectors[..., ::-1]


@dataclasses.dataclass(frozen=True)
class GramMoments(moments.Moments):
  """Moments of `N` vectors in `R^D` as the matrix of their inner products.

  `X X^T / N`, `[N, N]`, has the eigenvalues of `X^T X / N`, `[D, D]`, other
  than `D - N` zeros. Of few long vectors it is all that the optimum needs, in
  `N D` numbers rather than `D^2`. They cannot be added to.

  Attributes:
    vectors: The vectors less their mean, `[..., N, D]` float64.
  """

  vectors: tf.Tensor

  @classmethod
  def of(cls, vectors, centered):
    """Moments over the second to last axis of `vectors` `[..., N, D]`."""
    count, mean, vectors = _centered(vectors, centered)
    inner = tf.linalg.matmul(vectors, vectors, transpose_b=True)
    return cls(count, mean, inner, centered, vectors)

  def in_full(self):
    """The same as `VectorMoments`, `[..., D, D]`."""
    within = _gram(self.vectors)
    return VectorMoments(
        self.count,
        self.mean,
        within,
        self.centered,
        tf.zeros_like(within),
        regression=self.regression,
    )

  def pooled(self, values):
    """Values of the eigenvalues `[..., N]`, and zeros, `[..., D]`."""
    shape = tf.shape(self.mean)
    missing = tf.concat([shape[:-1], shape[-1:] - tf.shape(values)[-1:]], 0)
    values = tf.concat([values, tf.zeros(missing, values.dtype)], axis=-1)
    return tf.ensure_shape(values, self.mean.shape)

  def log_det(self, noise_variance=0.0):
    """`log det(R + v I) = (D - N) log v + log det(X X^T / N + v I)`."""
    size = tf.shape(self.mean)[-1] - tf.shape(self.within)[-1]
    noisy = tf.linalg.set_diag(
        self.matrix, tf.linalg.diag_part(self.matrix) + noise_variance
    )
    return tf.cast(size, tf.float64) * tf.math.log(
        tf.convert_to_tensor(noise_variance, tf.float64)
    ) + tf.linalg.logdet(noisy)


def _centered(vectors, centered):
  """Number of vectors, their mean (or 0), and they less that, in float64."""
  vectors = tf.cast(vectors, tf.float64)
  count = tf.cast(tf.shape(vectors)[-2], tf.float64)
  if not centered:
    return count, tf.zeros_like(tf.reduce_sum(vectors[..., :1, :], -2)), vectors
  # A sum over many vectors is off by many roundings. Without the first one,
  # none are left of a dimension that is constant.
  start = tf.stop_gradient(vectors[..., :1, :])
  vectors = vectors - start
  mean = tf.reduce_mean(vectors, axis=-2, keepdims=True)
  return count, tf.reduce_sum(start + mean, axis=-2), vectors - mean


def _gram(vectors):
  """`V^T V` of `[..., N, D]`; a large one by panels, half of the products.

  TensorFlow has no product that knows its result to be symmetric.
  """
  size = vectors.shape[-1]
  if size is None or size < _LARGE:
    return tf.linalg.matmul(vectors, vectors, transpose_a=True)
  ends = np.linspace(0, size, _NUM_PANELS + 1).astype(int)
  panels = tf.split(vectors, np.diff(ends), axis=-1)
  rows = []
  for i, (panel, start) in enumerate(zip(panels, ends, strict=False)):
    row = tf.concat(
        [
            tf.linalg.matmul(panel, other, transpose_a=True)
            for other in panels[i:]
        ],
        axis=-1,
    )
    left = [[0, 0]] * (row.shape.rank - 1) + [[start, 0]]
    rows.append(tf.pad(row, left))
  upper = tf.linalg.band_part(tf.concat(rows, axis=-2), 0, -1)
  diagonal = tf.linalg.diag_part(upper)
  return tf.linalg.set_diag(upper + tf.linalg.matrix_transpose(upper), diagonal)
