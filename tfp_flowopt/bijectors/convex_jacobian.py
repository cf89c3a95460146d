"""The Jacobian of the gradient of a convex potential, for dense layers."""

import math

import tensorflow as tf

from tfp_flowopt.internal import dense_log_det

__all__ = ['jacobian', 'log_det']


def jacobian(argument, kernel, smallest, largest):
  """`m I + (M - m) A diag(sigmoid(argument)) A^T`, `[..., D, D]`.

  `argument` is `[..., units]`, the kernel `A` `[D, units]`.
  """
  slope = tf.math.sigmoid(argument)[..., tf.newaxis, :]
  product = tf.linalg.matmul(
      kernel * slope, kernel + tf.zeros_like(slope), transpose_b=True
  )
  identity = tf.eye(kernel.shape[0], dtype=kernel.dtype)
  return smallest * identity + (largest - smallest) * product


def log_det(argument, kernel, smallest, largest):
  """Its log-determinant `[...]`."""
  size, units = kernel.shape
  if units >= size:
    return dense_log_det.log_det_spd(
        jacobian(argument, kernel, smallest, largest)
    )
  # Not the root of the slope, whose gradient at slope 0 is infinite.
  root = tf.exp(0.5 * tf.math.log_sigmoid(argument))
  gram = tf.linalg.matmul(kernel, kernel, transpose_a=True)
  inner = root[..., tf.newaxis] * gram * root[..., tf.newaxis, :]
  inner *= (largest - smallest) / smallest
  inner += tf.eye(units, dtype=kernel.dtype)
  return size * math.log(smallest) + dense_log_det.log_det_spd(inner)
