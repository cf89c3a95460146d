"""Log-determinants of small dense matrices, where XLA has no determinant."""

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['log_abs_det', 'log_det_spd']


@custom_gradients.custom_gradient
def log_abs_det(matrix):
  """`log|det A|` `[...]` by QR, with the gradient `A^-T`."""
  _, upper = tf.linalg.qr(matrix)
  log_det = tf.reduce_sum(
      tf.math.log(tf.abs(tf.linalg.diag_part(upper))), axis=-1
  )

  def gradient(upstream):
    # From the argument again, so that this can be differentiated, too.
    inverse = tf.linalg.matrix_transpose(tf.linalg.inv(matrix))
    return upstream[..., tf.newaxis, tf.newaxis] * inverse

  return log_det, gradient


def log_det_spd(matrix):
  """`log det A` of symmetric positive definite matrices, by Cholesky."""
  return tf.linalg.logdet(matrix)
