"""Log-determinants and inverses of small dense matrices, in any graph.

XLA has no determinant; and TensorFlow has an error where it is to invert what
is not a number, which would end a run that could skip the step.
"""

import math

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['inverse', 'log_abs_det', 'log_det_spd']


@custom_gradients.custom_gradient
def log_abs_det(matrix):
  """`log|det A|` `[...]` by QR, with the gradient `A^-T`."""
  _, upper = tf.linalg.qr(matrix)
  log_det = tf.reduce_sum(
      tf.math.log(tf.abs(tf.linalg.diag_part(upper))), axis=-1
  )

  def gradient(upstream):
    # From the argument again, so that this can be differentiated, too.
    transposed = tf.linalg.matrix_transpose(inverse(matrix))
    return upstream[..., tf.newaxis, tf.newaxis] * transposed

  return log_det, gradient


def log_det_spd(matrix):
  """`log det A` of symmetric positive definite matrices, by Cholesky."""
  return tf.linalg.logdet(matrix)


def inverse(matrix):
  """`A^-1` of `[..., D, D]`; NaN of matrices that are not finite."""
  is_finite = tf.reduce_all(
      tf.math.is_finite(matrix), axis=[-2, -1], keepdims=True
  )
  identity = tf.eye(tf.shape(matrix)[-1], dtype=matrix.dtype)
  result = tf.linalg.inv(tf.where(is_finite, matrix, identity))
  return tf.where(is_finite, result, tf.constant(math.nan, matrix.dtype))
