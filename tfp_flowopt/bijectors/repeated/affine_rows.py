"""Linear layers in a row as one matrix."""

import itertools

import tensorflow as tf

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import invertible_conv1x1

__all__ = ['folded']

_LINEAR = (act_norm.ActNorm, invertible_conv1x1.InvertibleConv1x1)


class _AffineRows(base.JointBijector):
  """`inverse(y) = (y + offset) M`, without its log-determinant."""

  def __init__(self, event_ndims, offset, inverse_rows, forward_rows):
    super().__init__(event_ndims, offset.dtype, {}, 'affine_rows')
    self._offset = offset
    self._inverse_rows = inverse_rows
    self._forward_rows = forward_rows

  def _forward_and_log_det(self, x):
    y = tf.tensordot(x, self._forward_rows, axes=1) - self._offset
    return y, tf.zeros([], x.dtype)

  def _inverse_and_log_det(self, y):
    x = tf.tensordot(y + self._offset, self._inverse_rows, axes=1)
    return x, tf.zeros([], y.dtype)


def folded(parts):
  """Bijectors with stacked weights, `[K, ...]`, whose linear layers are folded.

  An `ActNorm` and the `InvertibleConv1x1` after it are one matrix, computed for
  all steps at once. Its log-determinant is the same at all points, and no
  matter of a step.

  Args:
    parts: Bijectors in the order of `inverse`.

  Returns:
    The bijectors, and the sum of the log-determinants of `inverse` of those
    folded, of all steps: for each position of an image, or for a vector.
  """
  result, log_det = [], None
  for is_linear, run in itertools.groupby(parts, _is_linear):
    run = list(run)
    if is_linear and any(not isinstance(p, act_norm.ActNorm) for p in run):
      layer, of_run = _fold(run)
      run = [layer]
      log_det = of_run if log_det is None else log_det + of_run
    result += run
  return result, log_det


def _is_linear(part):
  # In half precision a product of matrices would be rounded too coarsely.
  return type(part) in _LINEAR and part.dtype.size >= 4


def _fold(run):
  """One layer for several, and the sum of their log-determinants."""
  log_det = tf.add_n([tf.reduce_sum(part.log_diagonal) for part in run])
  offset, inverse_rows, forward_rows = _rows(run[0])
  for part in run[1:]:
    more, inverse, forward = _rows(part)
    # ((y + a) M + b) N = (y + a + b M^-1) M N
    offset += tf.linalg.matvec(forward_rows, more, transpose_a=True)
    inverse_rows = tf.linalg.matmul(inverse_rows, inverse)
    forward_rows = tf.linalg.matmul(forward, forward_rows)
  ndims = run[0].forward_min_event_ndims
  return _AffineRows(ndims, offset, inverse_rows, forward_rows), log_det


def _rows(part):
  """The offset of `inverse`, its matrix, and that of `forward`."""
  inverse_rows, forward_rows = part.rows()
  return -part.shift, inverse_rows, forward_rows
