"""InvertibleConv1x1 bijector."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds
from tfp_flowopt.parameters import anchored_log_scale
from tfp_flowopt.parameters import orthogonal

__all__ = ['InvertibleConv1x1']


class InvertibleConv1x1(base.JointBijector):
  """One matrix for all positions, kept as its singular value decomposition.

  ```none
  inverse(y) = A (y - shift),   A = U diag(s) V^T
  forward(x) = V diag(1/s) U^T x + shift
  log|det d inverse / dy| = H W sum_i log s_i
  ```

  `U` and `V` are orthogonal by parametrisation (`Orthogonal`), and the singular
  values stay within a factor `exp(log_range)` of their anchor
  (`AnchoredLogScale`). So both directions are explicit, no determinant is
  computed, and the Lipschitz constants are known: `1 / min s` forward, `max s`
  inverse. (Kingma & Dhariwal 2018 train `A` itself, with neither.) A new one is
  the identity; `initialize` puts it anywhere else. With `event_ndims=1` it is a
  dense layer of vectors, `H W = 1`.
  """

  def __init__(
      self,
      num_channels: int,
      log_range: float = 1.0,
      trainable: bool = True,
      rate: float = 1.0,
      dtype: types.DType = tf.float32,
      event_ndims: int = 3,
      validate_args: bool = False,
      name: str = 'invertible_conv1x1',
  ) -> None:
    """Creates the bijector, as the identity.

    Args:
      num_channels: Size of the last axis.
      log_range: Positive Python `float`: the singular values can be trained
        within a factor `exp(log_range)` of their initial values.
      trainable: Python `bool`: whether the variables are trained.
      rate: How far the matrix moves for a step of the weights, see
        `AnchoredLogScale` and `Orthogonal`.
      dtype: Type of the variables.
      event_ndims: Number of dimensions of an event, 3 for images `[H, W, C]`
        and 1 for vectors `[C]`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    num_channels = arguments.check_int('num_channels', num_channels)
    dtype = arguments.check_dtype('dtype', dtype)
    event_ndims = arguments.check_int('event_ndims', event_ndims)
    with tf.name_scope(name) as name:
      self._left = orthogonal.Orthogonal(
          num_channels, dtype, trainable, rate, name='left'
      )
      self._log_singular_values = anchored_log_scale.AnchoredLogScale(
          num_channels, log_range, dtype, trainable, rate
      )
      self._right = orthogonal.Orthogonal(
          num_channels, dtype, trainable, rate, name='right'
      )
      self._shift = tf.Variable(
          tf.zeros([num_channels], dtype), trainable=trainable, name='shift'
      )
      super().__init__(
          event_ndims, dtype, parameters, name, is_constant_jacobian=True
      )

  @property
  def left(self) -> tf.Tensor:
    """The orthogonal factor `U`, `[num_channels, num_channels]`."""
    return self._left()

  @property
  def right(self) -> tf.Tensor:
    """The orthogonal factor `V`, `[num_channels, num_channels]`."""
    return self._right()

  @property
  def log_singular_values(self) -> tf.Tensor:
    """Logarithms of the singular values of `A`, `[num_channels]`."""
    return self._log_singular_values()

  log_diagonal = log_singular_values

  @property
  def shift(self) -> tf.Variable:
    """The shift, `[num_channels]`."""
    return self._shift

  def initialize(
      self,
      left: types.TensorLike | None = None,
      singular_values: types.TensorLike | None = None,
      right: types.TensorLike | None = None,
      shift: types.TensorLike | None = None,
  ) -> None:
    """Sets the factors of `A` and the shift.

    Args:
      left: Orthogonal `[num_channels, num_channels]`, the `U` above.
      singular_values: Positive `[num_channels]`.
      right: Orthogonal `[num_channels, num_channels]`, the `V` above (not
        transposed).
      shift: `[num_channels]`. Each argument that is `None` stays as it is.

    Raises:
      ValueError: If a matrix is not orthogonal, a singular value not positive
        and finite, or the shift not finite; nothing is changed then.
    """
    for name, matrix in (('left', left), ('right', right)):
      if matrix is not None:
        orthogonal.check_orthogonal(matrix, self._shift.shape[0], name)
    if singular_values is not None:
      singular_values = np.asarray(singular_values)
      if not np.all((singular_values > 0) & np.isfinite(singular_values)):
        raise ValueError(
            'Argument `singular_values` must be positive and finite, got '
            f'{singular_values}.'
        )
    if shift is not None and not np.all(np.isfinite(shift)):
      raise ValueError(f'Argument `shift` must be finite, got {shift}.')
    if singular_values is not None:
      self._log_singular_values.assign(np.log(singular_values))
    if left is not None:
      self._left.assign(left)
    if right is not None:
      self._right.assign(right)
    if shift is not None:
      self._shift.assign(tf.cast(shift, self._shift.dtype))

  def rows(self) -> tuple[tf.Tensor, tf.Tensor]:
    """The matrices that multiply rows in `inverse` and in `forward`.

    `A^T = V diag(s) U^T` and `A^-T = U diag(1/s) V^T`.
    """
    log_s = self.log_singular_values
    return self._inverse_rows(log_s), self._forward_rows(log_s)

  def _forward_rows(self, log_s):
    return _product(self._left(), -log_s, self._right())

  def _inverse_rows(self, log_s):
    return _product(self._right(), log_s, self._left())

  def _forward_and_log_det(self, x):
    x = self._checked(x, self._shift.shape[0], any_rank=True)
    log_s = self.log_singular_values
    y = tf.tensordot(x, self._forward_rows(log_s), axes=1) + self._shift
    return y, -self._num_positions(x) * tf.reduce_sum(log_s)

  def _inverse_and_log_det(self, y):
    y = self._checked(y, self._shift.shape[0], any_rank=True)
    log_s = self.log_singular_values
    x = tf.tensordot(y - self._shift, self._inverse_rows(log_s), axes=1)
    return x, self._num_positions(y) * tf.reduce_sum(log_s)


def _product(first, log_s, second):
  """`first diag(s) second^T`, of stacked ones, too."""
  scaled = first * tf.exp(log_s)[..., tf.newaxis, :]
  return tf.linalg.matmul(scaled, second, transpose_b=True)


@bounds.lipschitz_bounds.register
def _(bijector: InvertibleConv1x1):
  # Of the matrices that are used: rotations are exact up to rounding, and those
  # of a checkpoint may be none.
  inverse, forward = map(bounds.largest_singular_value, bijector.rows())
  return bounds.LipschitzBounds(forward, inverse).inflated(bijector.dtype)


flow_bounds.bounds_by_part.register(InvertibleConv1x1, flow_bounds.linear)
