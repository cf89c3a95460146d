"""Certified operator norms of dense and convolution kernels."""

import math
from typing import Literal

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import gram
from tfp_flowopt.lipschitz import rounding

__all__ = ['operator_norm_bound']

# Kernels with at most this many channels on the thinner side are cheap enough
# for a fine grid.
_THIN = 128
# Entries of Gram matrices that are held at a time, 256 MB in complex128.
_CHUNK = 2**24
# A float64 bound can meet the truth; this is more than its rounding errors.
_ROUNDING = 1.0 + 1e-12


# A user's `tf.function` would take a second to translate it.
@tf.autograph.experimental.do_not_convert
def operator_norm_bound(
    kernel: types.TensorLike,
    padding: Literal['SAME', 'VALID', 'CIRCULAR'] = 'SAME',
    method: Literal['gram', 'power'] = 'gram',
) -> tf.Tensor:
  """An upper bound of the operator norm of a kernel, for every image size.

  The norm of a stride-1 convolution of images of any size, with zero padding
  (`'SAME'`), none (`'VALID'`) or circular padding, is at most the supremum over
  all frequencies of the spectral norm of its symbol

  ```none
  K(w) = sum_p K[p] exp(-i w p),   a matrix [in, out].
  ```

  `'gram'` bounds that from a grid of `N x N` frequencies: as `u^* K(w) v` is a
  trigonometric polynomial of degree `k - 1` in each axis, its supremum is at
  most `1 / cos((k - 1) pi / (2 N))` times its largest value on the grid, for
  each axis (Ehlich & Zeller 1964). There `t` Gram matrices in a row
  (`W -> W^* W`) give the Schatten norm

  ```none
  sigma <= |W_t|_F^(2^-t) <= c^(2^-(t+1)) sigma,   c the smaller side of K(w)
  ```

  (Delattre et al. 2023). The bound is at most 1.02 times the supremum for
  kernels up to 128 channels on the thinner side, and at most 1.12 times for
  wider 3x3 kernels. It is deterministic and differentiable; the gradient is
  that of the largest frequency.

  `'power'` is power iteration on the same grid: an **estimate from below**, for
  diagnostics, that certifies nothing.

  Args:
    kernel: float32 or float64 `Tensor`, dense `[in, out]` or convolution
      `[kh, kw, in, out]`. Give float64 for a certificate; a float32 bound is
      enlarged by more than its rounding errors: 1e-4, or 2e-3 where a GPU may
      use TensorFloat-32.
    padding: `'SAME'`, `'VALID'` or `'CIRCULAR'`; the bound holds for each.
    method: `'gram'` or `'power'`.

  Returns:
    Scalar `Tensor` of the type of `kernel`.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  kernel = arguments.check_tensor('kernel', kernel, (tf.float32, tf.float64))
  if not kernel.shape.is_fully_defined() or 0 in kernel.shape:
    raise ValueError(
        'Argument `kernel` must have known sizes that are positive, got shape '
        f'{kernel.shape}.'
    )
  arguments.check_choice('padding', padding, ('SAME', 'VALID', 'CIRCULAR'))
  arguments.check_choice('method', method, ('gram', 'power'))
  kernel = gram.as_convolution(kernel)
  if kernel.shape[2] > kernel.shape[3]:
    # The transposed operator has the same norm, and a smaller Gram matrix.
    kernel = tf.transpose(kernel, [0, 1, 3, 2])

  # A scale of 1 keeps the powers in range; a zero kernel has norm 0.
  scale = tf.reduce_max(tf.abs(kernel))
  kernel /= tf.where(scale > 0, scale, tf.ones_like(scale))
  # Frequencies for each axis; one is enough for one tap.
  fineness = 16 if kernel.shape[2] <= _THIN else 5
  grid = [max(1, fineness * (k - 1)) for k in kernel.shape[:2]]
  lags = gram.gram_kernel(kernel)
  if method == 'power':
    return scale * _largest_on_grid(lags, grid, _power_iteration)[0]
  # The gradient is that of the largest frequency, so only there is it needed:
  # the memory does not grow with the number of frequencies.
  _, row, column = _largest_on_grid(
      tf.stop_gradient(lags), grid, _log_gram_bound
  )
  log_norm = _log_gram_bound(_gram_symbols(lags, grid, row, column))
  correction = math.prod(
      1.0 / math.cos((k - 1) * math.pi / (2 * n))
      for k, n in zip(kernel.shape[:2], grid, strict=True)
  )
  correction = correction * rounding.inflation(kernel.dtype) * _ROUNDING
  return scale * tf.exp(log_norm[0]) * correction


def _largest_on_grid(lags, grid, norms):
  """The largest norm on the grid, and its row and column, `[1]`.

  A few rows at a time. Frequencies `w` and `-w` have the same norm: half of the
  columns are enough. `norms` maps matrices `[frequencies, in, in]` to norms.
  """
  num_rows, num_columns = grid[0], grid[1] // 2 + 1
  columns = tf.range(num_columns)

  def of_rows(rows):
    values = norms(_gram_symbols(lags, grid, rows, columns))
    best = tf.argmax(values, output_type=tf.int32)
    return values[best], rows[best // num_columns], best % num_columns

  size = max(1, _CHUNK // (num_columns * lags.shape[2] ** 2))
  if size >= num_rows:
    best, row, column = of_rows(tf.range(num_rows))
    return best, [row], [column]
  # The last chunk overlaps the one before it, so that all have one shape.
  num_chunks = math.ceil(num_rows / size)

  def chunk(i, *best):
    start = tf.minimum(i * size, num_rows - size)
    found = of_rows(start + tf.range(size))
    better = found[0] > best[0]
    return (
        i + 1,
        *(tf.where(better, a, b) for a, b in zip(found, best, strict=True)),
    )

  least = tf.constant(-math.inf, lags.dtype)
  _, best, row, column = tf.while_loop(
      lambda i, *_: i < num_chunks,
      chunk,
      (0, least, 0, 0),
      parallel_iterations=1,
      maximum_iterations=num_chunks,
  )
  return best, [row], [column]


def _gram_symbols(lags, grid, rows, columns):
  """`K(w) K(w)^*` at some rows and columns of the grid, Hermitian.

  `[rows * columns, in, in]`, real for a 1x1 kernel, else complex.
  """
  height, width, channels = lags.shape[:3]
  if height == width == 1:
    return lags[0]
  dtype = tf.complex128 if lags.dtype == tf.float64 else tf.complex64
  rows = tf.gather(tf.constant(_phases(grid[0], height), dtype), rows)
  columns = tf.gather(tf.constant(_phases(grid[1], width), dtype), columns)
  # One axis at a time: the transform of both would be a large matrix.
  symbols = tf.einsum('ap,pqij->aqij', rows, tf.cast(lags, dtype))
  symbols = tf.einsum('bq,aqij->abij', columns, symbols)
  return tf.reshape(symbols, [-1, channels, channels])


def _phases(period, num_lags):
  """`exp(-2 pi i f lag / period)`, lags centred: `[period, lags]`."""
  lags = np.arange(num_lags) - num_lags // 2
  angles = np.outer(np.arange(period), lags) * (2 * np.pi / period)
  return np.exp(-1j * angles)


def _log_gram_bound(matrices):
  """Log of the Gram bound of the spectral norm, of matrices `[N, c, c]`."""
  channels = matrices.shape[-1]
  # c^(2^-(t+1)) <= 1.005.
  num_grams = max(
      1, math.ceil(math.log2(max(math.log(channels), 1e-9) / 0.005)) - 1
  )
  log_scale = 0.0
  for i in range(num_grams):
    if i:
      matrices = tf.linalg.matmul(matrices, matrices)
    square = tf.reduce_sum(tf.square(tf.abs(matrices)), axis=[1, 2])
    # A frequency that the kernel does not pass at all has no logarithm.
    tiny = 1e-30 if square.dtype == tf.float32 else 1e-280
    norm = tf.sqrt(tf.maximum(square, tiny))
    matrices /= tf.cast(norm, matrices.dtype)[:, tf.newaxis, tf.newaxis]
    log_scale = 2.0 * log_scale + tf.math.log(norm)
  return log_scale * 2.0**-num_grams


def _power_iteration(matrices, num_steps=100):
  """Largest singular values that power iteration finds, `[frequencies]`."""
  # One start for all frequencies, however they are shared out.
  start = tf.random.stateless_normal(
      [1, matrices.shape[1], 1], [0, 0], dtype=matrices.dtype.real_dtype
  )
  v = tf.cast(start, matrices.dtype)
  for _ in range(num_steps):
    v = tf.linalg.matmul(matrices, v)
    norm = tf.sqrt(tf.reduce_sum(tf.square(tf.abs(v)), axis=[1, 2]))
    divisor = tf.where(norm > 0, norm, tf.ones_like(norm))
    v /= tf.cast(divisor, v.dtype)[:, tf.newaxis, tf.newaxis]
  product = tf.linalg.matmul(v, tf.linalg.matmul(matrices, v), adjoint_a=True)
  return tf.sqrt(tf.abs(product[:, 0, 0]))
