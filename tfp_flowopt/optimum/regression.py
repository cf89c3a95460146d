"""Least squares: what a condition explains of vectors.

The optimum over all `z = A (x - B c - b)` has the `B` of least squares,
whatever `A` is, and then that of the residuals. `B` is stationary: an error of
it, and its derivative, change the residual covariance in second order only.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import correlations
from tfp_flowopt.optimum import vector_moments

__all__ = ['Regression', 'marginal', 'of_joint', 'of_vectors']

_EPS = np.finfo(np.float64).eps


@dataclasses.dataclass(frozen=True)
class Regression:
  """The best linear prediction `B c + b` of vectors.

  Attributes:
    matrix: `B`, `[..., D, F]` float64.
    rank: `[...]`, degrees of freedom that it takes from the residuals: the rank
      of `R_cc`.
    gram: `R_cc`, `[..., F, F]`.
    variances: `[..., D]`, of the vectors before.
  """

  matrix: tf.Tensor
  rank: tf.Tensor
  gram: tf.Tensor
  variances: tf.Tensor

  def rounding(self):
    """What rounding may have made of a residual variance of 0, `[..., D]`."""
    size = tf.cast(tf.shape(self.matrix)[-1] + 64, tf.float64)
    return _EPS * size * self.variances


def _matrix(cross, conditions, is_labels):
  """`B = R_xc R_cc^+` from `R_xc` and moments of `c`, and the rank of `R_cc`.

  Labels need no eigenvalues. Their `B` is the means of the classes, less that
  of all vectors if centred; 0 for a class without vectors.
  """
  gram = conditions.matrix
  if is_labels:
    centered = conditions.centered
    shares = conditions.mean if centered else tf.linalg.diag_part(gram)
    rank = tf.math.count_nonzero(shares, axis=-1, dtype=tf.float64)
    matrix = tf.math.divide_no_nan(cross, shares[..., tf.newaxis, :])
    return matrix, rank - float(centered)
  rounding = (4.0 * _EPS * conditions.mean) ** 2
  inverse, rank = correlations.pseudo_inverse(gram, rounding)
  matrix = tf.linalg.matmul(cross, inverse)
  # Once more: XLA's eigenvectors have half of the digits.
  left = cross - tf.linalg.matmul(matrix, gram)
  return matrix + tf.linalg.matmul(left, inverse), rank


def of_vectors(vectors, features, centered, is_labels):
  """The `Regression` on `features` `[..., N, F]`, and what it leaves.

  Of `vectors` `[..., N, D]` the residuals `x - B (c - m)` in float64, `m` the
  mean of `c` or 0; and `B m`, `[..., D]`.
  """
  vectors, features = (tf.cast(v, tf.float64) for v in (vectors, features))
  conditions = vector_moments.VectorMoments.of(features, centered)
  # Only one of them has to be centred.
  about_mean = features - conditions.mean[..., tf.newaxis, :]
  start = tf.stop_gradient(vectors[..., :1, :]) if centered else 0.0
  cross = tf.linalg.matmul(vectors - start, about_mean, transpose_a=True)
  matrix, rank = _matrix(cross / conditions.count, conditions, is_labels)
  mean = tf.reduce_mean(vectors, axis=-2, keepdims=True)
  about = vectors - mean if centered else vectors
  variances = tf.reduce_mean(about**2, axis=-2)
  explained = tf.linalg.matmul(
      about_mean, tf.stop_gradient(matrix), transpose_b=True
  )
  return (
      Regression(matrix, rank, conditions.matrix, variances),
      vectors - explained,
      tf.linalg.matvec(matrix, conditions.mean),
  )


def of_joint(joint, num_features, is_labels):
  """`VectorMoments` of the residuals, from those of `[x, c]`."""
  size = tf.shape(joint.mean)[-1] - num_features
  vectors, conditions = _part(joint, 0, size), _part(joint, size, None)
  second = joint.matrix
  cross = second[..., :size, size:]
  matrix, rank = _matrix(cross, conditions, is_labels)
  # Of second order in an error of B, other than R_xx - B R_cx.
  product = tf.linalg.matmul(matrix, cross, transpose_b=True)
  squares = tf.linalg.matmul(
      tf.linalg.matmul(matrix, conditions.matrix), matrix, transpose_b=True
  )
  residual = (
      second[..., :size, :size]
      - product
      - tf.linalg.matrix_transpose(product)
      + squares
  )
  return dataclasses.replace(
      vectors,
      mean=vectors.mean - tf.linalg.matvec(matrix, conditions.mean),
      within=joint.count * residual,
      between=tf.zeros_like(residual),
      regression=Regression(
          matrix,
          rank,
          conditions.matrix,
          tf.linalg.diag_part(vectors.matrix),
      ),
  )


def marginal(moments):
  """Moments of the vectors, from those of their residuals.

  `R_xx = R_{x|c} + B R_cc B^T`.
  """
  explained = moments.regression
  if not isinstance(moments, vector_moments.VectorMoments):
    count, size = moments.vectors.shape[-2:]
    if count is None or count + explained.gram.shape[-1] > size:
      # More vectors than dimensions.
      moments = moments.in_full()
  if isinstance(moments, vector_moments.VectorMoments):
    added = tf.linalg.matmul(
        tf.linalg.matmul(explained.matrix, explained.gram),
        explained.matrix,
        transpose_b=True,
    )
    return dataclasses.replace(
        moments,
        within=moments.within + moments.count * added,
        regression=None,
    )
  # As many further vectors as there are features.
  values, basis = tf.linalg.eigh(moments.count * explained.gram)
  roots = basis * tf.sqrt(tf.maximum(values, 0.0))[..., tf.newaxis, :]
  further = tf.linalg.matmul(
      roots, explained.matrix, transpose_a=True, transpose_b=True
  )
  vectors = tf.concat([moments.vectors, further], axis=-2)
  return dataclasses.replace(
      moments,
      within=tf.linalg.matmul(vectors, vectors, transpose_b=True),
      vectors=vectors,
      regression=None,
  )


def _part(moments, start, stop):
  """`VectorMoments` of some of the dimensions."""
  within, between = (
      matrix[..., start:stop, start:stop]
      for matrix in (moments.within, moments.between)
  )
  return dataclasses.replace(
      moments,
      mean=moments.mean[..., start:stop],
      within=within,
      between=between,
  )
