"""Orthogonal matrices without a determinant or a matrix exponential."""

from collections.abc import Hashable
from collections.abc import Sequence
from typing import Self

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.parameters import parametrization

__all__ = ['Orthogonal', 'check_orthogonal', 'random_rotation']

# Of the entries of `L` below.
_BOUND = 10.0


def check_orthogonal(matrix, size, name):
  """Raises a `ValueError` unless `matrix` is orthogonal, `[size, size]`.

  Up to rounding: no entry of `Q^T Q - I` may be 1e-4 or more, or NaN.
  """
  matrix = np.asarray(matrix, np.float64)
  if matrix.shape != (size, size):
    raise ValueError(
        f'Argument `{name}` must have shape [{size}, {size}], got '
        f'{list(matrix.shape)}.'
    )
  error = np.abs(matrix.T @ matrix - np.eye(matrix.shape[-1])).max()
  if not error < 1e-4:
    raise ValueError(
        f'Argument `{name}` must be orthogonal, |Q^T Q - I| is {error:.2g} at '
        'its largest.'
    )


def random_rotation(rng, size):
  """A Haar-distributed orthogonal matrix of a `np.random.Generator`."""
  q, r = np.linalg.qr(rng.normal(size=(size, size)))
  return q * np.sign(np.diag(r))


class Orthogonal(parametrization.Parametrization):
  """A trainable orthogonal matrix: a Cayley transform of a base matrix.

  ```none
  Q = Q_0 (I - S) (I + S)^-1 = Q_0 (2 (I + S)^-1 - I)
  S = (L - L^T) / sqrt(size),   L = 10 tanh(rate W / 10)
  ```

  with `W` strictly lower triangular and trained, `Q_0` orthogonal and set from
  data; `W = 0` gives `Q_0`. `I + S` has singular values of at least 1, so the
  inverse always exists; `L` is bounded as `I` would vanish beside a large `S`.
  Unlike Gram-Schmidt it is smooth, and unlike `expm` its gradient compiles with
  XLA. The square root is for optimisers that move each weight as far as any
  other, such as Adam: a row of `S` moves by as much, however long it is.
  """

  def __init__(
      self,
      size: int,
      dtype: types.DType = tf.float32,
      trainable: bool = True,
      rate: float = 1.0,
      name: str = 'orthogonal',
  ) -> None:
    """Creates the identity.

    Args:
      size: Number of rows and columns.
      dtype: Type of the variables, not bfloat16 if it is trained.
      trainable: Python `bool`; if not, the matrix is `Q_0`.
      rate: Positive Python `float`: how far the matrix moves for a step of the
        weights.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(name=name)
    self._size = size = arguments.check_int('size', size)
    self._rate = arguments.check_positive('rate', rate)
    dtype = arguments.check_dtype('dtype', dtype)
    if trainable and size > 1 and dtype == tf.bfloat16:
      raise ValueError(
          'Argument `dtype` must not be bfloat16 for what is trained: '
          'TensorFlow inverts no matrix of it.'
      )
    self._base = tf.Variable(
        tf.eye(size, dtype=dtype), trainable=False, name='base'
    )
    self._lower = None
    if trainable and size > 1:
      self._lower = tf.Variable(
          tf.zeros([size * (size - 1) // 2], dtype), name='lower'
      )

  def compute(self) -> tf.Tensor:
    """Returns the matrix, `[size, size]`."""
    if self._lower is None:
      return tf.identity(self._base)
    [value] = self.compute_together([self])
    return value

  def alike(self) -> Hashable:
    """See `Parametrization`: trained ones of one size and rate."""
    if self._lower is None:
      return None
    return self._size, self._rate, self._lower.dtype, tuple(self._lower.shape)

  @classmethod
  def compute_together(
      cls, parametrizations: Sequence[Self]
  ) -> list[tf.Tensor]:
    """See `Parametrization`: one inverse of all matrices."""
    first = parametrizations[0]
    if first._lower is None:  # alone
      return [first.compute()]
    lower, base = (
        tf.stack(variables) if len(variables) > 1 else variables[0][tf.newaxis]
        for variables in zip(
            *((each._lower, each._base) for each in parametrizations),
            strict=True,
        )
    )
    bounded = _BOUND * tf.tanh(first._rate * lower / _BOUND)
    lower = tfp.math.fill_triangular(bounded / first._size**0.5)
    stacked = [[0, 0]] * (lower.shape.rank - 2)
    lower = tf.pad(lower, [*stacked, [1, 0], [0, 1]])
    identity = tf.eye(first._size, dtype=lower.dtype)
    upper = tf.linalg.matrix_transpose(lower)
    # One batch: XLA inverts matrices in a loop over their columns.
    inverse = tf.linalg.inv(identity + lower - upper)
    return tf.unstack(tf.linalg.matmul(base, 2.0 * inverse - identity))

  def assign(self, matrix: types.TensorLike) -> None:
    """Puts the base at an orthogonal `matrix` `[size, size]` and `W` at zero.

    Raises:
      ValueError: If `matrix` has another shape, or is not orthogonal up to
        rounding.
    """
    check_orthogonal(matrix, self._size, 'matrix')
    # The nearest orthogonal matrix: the rounding of `matrix` does not stay.
    left, _, right = np.linalg.svd(np.asarray(matrix, np.float64))
    self._base.assign(tf.cast(left @ right, self._base.dtype))
    if self._lower is not None:
      self._lower.assign(tf.zeros_like(self._lower))
