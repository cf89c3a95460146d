"""Covariances scaled to unit variances, which know no units.

Scaling a dimension by `c` adds `log c` to the log-determinant of a linear flow
and changes nothing else, so whether a covariance is singular is a question to
its correlations.
"""

import numpy as np
import tensorflow as tf

__all__ = [
    'condition',
    'dependence',
    'inverse',
    'log_det',
    'pseudo_inverse',
    'roots',
]

_EPS = np.finfo(np.float64).eps


def _scaled(blocks, noise_variance):
  """Variances `[..., K]` and correlations `[..., K, K]` of `R + v I`."""
  variances = tf.linalg.diag_part(blocks) + noise_variance
  positive = variances > 0
  inverse_deviations = tf.where(
      positive,
      tf.math.rsqrt(tf.where(positive, variances, tf.ones_like(variances))),
      tf.zeros_like(variances),
  )
  # One factor after the other: their product may overflow.
  correlations = blocks * inverse_deviations[..., tf.newaxis]
  correlations *= inverse_deviations[..., tf.newaxis, :]
  return variances, tf.linalg.set_diag(correlations, tf.ones_like(variances))


def _identity(blocks):
  shape = tf.shape(blocks)
  return tf.eye(shape[-1], batch_shape=shape[:-2], dtype=blocks.dtype)


def log_det(blocks, noise_variance=0.0):
  """`log det(R + v I)` `[...]` of float64 `[..., K, K]`, in nats.

  By Cholesky of the correlations, not from eigenvalues: XLA finds those to 1e-6
  of the largest only, and those that coincide have eigenvectors without
  gradient.
  """
  variances, correlations = _scaled(blocks, noise_variance)
  factor = tf.linalg.cholesky(correlations)
  return tf.reduce_sum(
      tf.math.log(variances)
      + 2.0 * tf.math.log(tf.linalg.diag_part(factor)),
      axis=-1,
  )


def inverse(blocks, noise_variance=0.0):
  """`(R + v I)^-1`, `[..., K, K]`."""
  variances, correlations = _scaled(blocks, noise_variance)
  factor = tf.linalg.cholesky(correlations)
  deviations = tf.sqrt(variances)
  result = tf.linalg.cholesky_solve(factor, _identity(blocks))
  return result / deviations[..., tf.newaxis] / deviations[..., tf.newaxis, :]


def roots(blocks, noise_variance=0.0):
  """`A` with `A^T A = (R + v I)^-1`, and its inverse, `[..., K, K]`.

  `A = C^(-1/2) D^(-1/2)`, `C` the correlations and `D` the variances.
  """
  variances, correlations = _scaled(blocks, noise_variance)
  deviations = tf.sqrt(variances)[..., tf.newaxis, :]
  values, vectors = tf.linalg.eigh(correlations)
  root, inverse_root = (
      tf.linalg.matmul(
          vectors * values[..., tf.newaxis, :] ** power,
          vectors,
          transpose_b=True,
      )
      for power in (0.5, -0.5)
  )
  inverse = tf.linalg.matrix_transpose(root * deviations)
  return inverse_root / deviations, inverse


def pseudo_inverse(blocks, variance_rounding):
  """A generalised inverse of covariances `[..., K, K]`, and their rank.

  `D^(-1/2) C^+ D^(-1/2)`, `C` the correlations and `D` the variances: what is
  singular does not depend on units. Variances up to `variance_rounding` are 0.
  """
  variances = tf.linalg.diag_part(blocks)
  positive = variances > variance_rounding
  scales = tf.where(
      positive,
      tf.math.rsqrt(tf.where(positive, variances, tf.ones_like(variances))),
      tf.zeros_like(variances),
  )
  values, vectors = tf.linalg.eigh(
      blocks * scales[..., tf.newaxis] * scales[..., tf.newaxis, :]
  )
  size = tf.cast(tf.shape(blocks)[-1] + 64, tf.float64)
  positive = values > _EPS * size * values[..., -1:]
  inverses = tf.where(
      positive,
      1.0 / tf.where(positive, values, tf.ones_like(values)),
      tf.zeros_like(values),
  )
  vectors *= scales[..., tf.newaxis]
  rank = tf.reduce_sum(tf.cast(positive, tf.float64), axis=-1)
  return (
      tf.linalg.matmul(
          vectors * inverses[..., tf.newaxis, :], vectors, transpose_b=True
      ),
      rank,
  )


def condition(blocks, noise_variance=0.0):
  """Condition numbers of correlations `[...]`, infinite of what is constant."""
  variances, correlations = _scaled(blocks, noise_variance)
  values = tf.linalg.eigvalsh(correlations)
  smallest = tf.where(
      tf.reduce_all(variances > 0, axis=-1),
      tf.maximum(values[..., 0], 0.0),
      tf.zeros_like(values[..., 0]),
  )
  return values[..., -1] / smallest


def dependence(blocks, noise_variance, variance_rounding, num_dimensions):
  """How near the dimensions of all blocks `R + v I` are to linear dependence.

  `variance_rounding`, which broadcasts against `[..., K]`, is what rounding may
  have made of a variance of 0. Row `k` of a block is about dimension
  `k % num_dimensions`.

  Three scalars: whether rounding alone may keep some correlation matrix from
  being singular; the dimension concerned most; and its variance over what the
  others do not explain of it, which the condition number is no less than.
  """
  variances, correlations = _scaled(blocks, noise_variance)
  size = tf.shape(blocks)[-1]
  # What sums of many products leave of a zero, and some room.
  slack = _EPS * tf.cast(size + 64, tf.float64)
  # With it there is a Cholesky factor, whatever the correlations.
  factor = tf.linalg.cholesky(
      tf.linalg.set_diag(correlations, tf.ones_like(variances) + slack)
  )
  # The diagonal of the inverse; its sum is 1 / (smallest eigenvalue), up to a
  # factor of K.
  inflation = tf.reduce_sum(
      tf.linalg.triangular_solve(factor, _identity(blocks)) ** 2, axis=-2
  )
  inflation = tf.where(variances > variance_rounding, inflation, 1.0 / slack)
  worst = tf.argmax(tf.reshape(inflation, [-1]), output_type=tf.int32)
  return (
      tf.reduce_any(tf.reduce_sum(inflation, axis=-1) >= 0.5 / slack),
      worst % size % num_dimensions,
      tf.reduce_max(inflation),
  )
