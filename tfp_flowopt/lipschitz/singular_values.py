"""Bounds of the singular values of matrices and linear operators."""

import functools
import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding

__all__ = [
    'bounds_of_lu',
    'bounds_of_operator',
    'bounds_of_scales',
    'exact_values',
]

_EPSILON = 2.0**-52


def exact_values(x):
  """Numbers as a float64 or complex128 array, which loses nothing.

  A `ValueError` if one is not finite.
  """
  x = tf.convert_to_tensor(x)
  wide = tf.complex128 if x.dtype.is_complex else tf.float64
  x = np.asarray(tf.cast(x, wide))
  if not np.all(np.isfinite(x)):
    raise ValueError(f'Argument `bijector`: a weight is not finite, got {x}.')
  return x


def bounds_of_scales(scales):
  """Bounds of a `forward` that multiplies each value by its own number."""
  scales = exact_values(scales)
  sizes = np.abs(scales)
  smallest, largest = float(sizes.min()), float(sizes.max())
  if np.iscomplexobj(scales):
    # Roots are rounded. Near 0 the lower bound becomes 0.
    smallest = math.nextafter(smallest, 0.0)
    largest = math.nextafter(largest, math.inf)
  return bounds.LipschitzBounds(largest, rounding.reciprocal(smallest))


def _bounds_of_matrices(matrices, error=0.0, inverse=np.inf):
  """Bounds of matrices `[..., n, n]`, the worst one of a batch.

  LAPACK's singular values are off by some `eps` of the largest one: far more
  than the smallest one of an ill-conditioned matrix. `error` bounds the norm of
  what `matrices` are off by; `inverse` is another bound of that of the inverse.
  """
  values = np.linalg.svd(matrices, compute_uv=False)
  largest = values[..., 0]
  slack = 2.0 * matrices.shape[-1] * _EPSILON * largest + error
  smallest = np.maximum(values[..., -1] - slack, 0.0)
  with np.errstate(divide='ignore', over='ignore'):
    inverse = np.minimum((1.0 + _EPSILON) / smallest, inverse)
  return bounds.LipschitzBounds(
      float(np.max(largest + slack)), float(np.max(inverse))
  )


def _inverse_of_triangular(lower):
  """Bound of the spectral norm of the inverses of lower triangular matrices.

  With `M` the matrix of `|t_ii|` and `-|t_ij|`, `|T^-1| <= M^-1` entry by entry
  (Higham 2002, ch. 8). All terms of that have one sign, so each is right to the
  last digits, however ill-conditioned `T` is. What is above the diagonal is not
  looked at; infinite where a matrix is singular.
  """
  size = lower.shape[-1]
  sizes = np.abs(lower)
  rows = np.zeros(sizes.shape)
  with np.errstate(all='ignore'):
    for i in range(size):
      row = np.einsum('...j,...jk->...k', sizes[..., i, :i], rows[..., :i, :])
      row[..., i] += 1.0
      rows[..., i, :] = row / sizes[..., i, i, np.newaxis]
    # The norm is at most the root of the largest row and column sum.
    norm = np.sqrt(rows.sum(-1).max(-1)) * np.sqrt(rows.sum(-2).max(-1))
    norm *= 1.0 + 4.0 * size**2 * _EPSILON
  # 0 times infinity.
  return np.where(np.isnan(norm), np.inf, norm)


def bounds_of_lu(lower_upper, dtype):
  """Bounds of `P L U`, as `tf.linalg.lu` returns its factors.

  `dtype` is the type of the product; the inverse has none.
  """
  lower_upper = exact_values(lower_upper)
  size = lower_upper.shape[-1]
  lower = np.tril(lower_upper, -1) + np.eye(size)
  upper = np.triu(lower_upper)
  sizes = np.linalg.norm(lower, axis=(-2, -1)) * np.linalg.norm(
      upper, axis=(-2, -1)
  )
  product = lower @ upper
  inverse = _inverse_of_triangular(lower) * _inverse_of_triangular(
      np.swapaxes(upper, -2, -1)
  )
  exact = _bounds_of_matrices(product, size * _EPSILON * sizes, inverse)
  rounded = _bounds_of_matrices(
      product, 2.0 * size * rounding.properties(dtype).unit * sizes
  )
  return bounds.LipschitzBounds(rounded.forward, exact.inverse)


def bounds_of_operator(operator):
  """`LipschitzBounds` of `matvec` and `solvevec` of a `LinearOperator`.

  A `TypeError` for another class than those that are known here, as for a
  subclass, of which nothing is known.
  """
  return _OPERATORS.get(type(operator), _unknown)(operator)


def _unknown(operator):
  raise TypeError(
      'No Lipschitz bounds are known for a multiplication by '
      f'{type(operator).__name__}. Give it as a LinearOperatorFullMatrix.'
  )


def _dense(operator):
  return _bounds_of_matrices(exact_values(operator.to_dense()))


def _triangular(operator):
  matrices = exact_values(operator.to_dense())
  return _bounds_of_matrices(matrices, inverse=_inverse_of_triangular(matrices))


def _isometry(operator):
  return bounds.ISOMETRY.inflated(operator.dtype)


def _composed(operator):
  if not all(part.is_square for part in operator.operators):
    # Those of its factors do not tell how small its singular values are.
    return _dense(operator)
  return functools.reduce(
      bounds.LipschitzBounds.then,
      map(bounds_of_operator, operator.operators),
      bounds.ISOMETRY,
  )


def _side_by_side(operator):
  return functools.reduce(
      bounds.LipschitzBounds.beside,
      map(bounds_of_operator, operator.operators),
  )


def _low_rank_update(operator):
  """Of `L + U D V^H`, where terms may be larger than their sum."""
  if type(operator.base_operator) not in _COPIED:
    # Another one's entries are rounded already.
    return _unknown(operator.base_operator)
  base, left, right = map(
      exact_values, (operator.base_operator.to_dense(), operator.u, operator.v)
  )
  if operator.diag_update is not None:
    left = left * exact_values(operator.diag_update)[..., np.newaxis, :]
  error = (left.shape[-1] + 3) * _EPSILON * (
      np.linalg.norm(left, axis=(-2, -1)) * np.linalg.norm(right, axis=(-2, -1))
      + np.linalg.norm(base, axis=(-2, -1))
  )
  return _bounds_of_matrices(
      base + left @ np.conj(np.swapaxes(right, -2, -1)), error
  )


# Those whose matrix is a copy of their parameters.
_COPIED = (
    tf.linalg.LinearOperatorDiag,
    tf.linalg.LinearOperatorFullMatrix,
    tf.linalg.LinearOperatorIdentity,
    tf.linalg.LinearOperatorLowerTriangular,
    tf.linalg.LinearOperatorScaledIdentity,
)
# Singular values of Kronecker products are all products of those of their
# factors; those of circulant matrices are the sizes of their spectra.
_OPERATORS = {
    tf.linalg.LinearOperatorAdjoint: lambda op: bounds_of_operator(op.operator),
    tf.linalg.LinearOperatorBlockDiag: _side_by_side,
    tf.linalg.LinearOperatorCirculant: lambda op: bounds_of_scales(op.spectrum),
    tf.linalg.LinearOperatorComposition: _composed,
    tf.linalg.LinearOperatorDiag: lambda op: bounds_of_scales(op.diag),
    tf.linalg.LinearOperatorFullMatrix: _dense,
    tf.linalg.LinearOperatorHouseholder: _isometry,
    tf.linalg.LinearOperatorIdentity: lambda op: bounds.ISOMETRY,
    tf.linalg.LinearOperatorInversion: lambda op: bounds_of_operator(
        op.operator
    ).inverted(),
    tf.linalg.LinearOperatorKronecker: _composed,
    tf.linalg.LinearOperatorLowerTriangular: _triangular,
    tf.linalg.LinearOperatorLowRankUpdate: _low_rank_update,
    tf.linalg.LinearOperatorPermutation: lambda op: bounds.ISOMETRY,
    tf.linalg.LinearOperatorScaledIdentity: lambda op: bounds_of_scales(
        op.multiplier
    ),
    tf.linalg.LinearOperatorToeplitz: _dense,
    tf.linalg.LinearOperatorTridiag: _dense,
}
