"""Lanczos' method: log-determinants and the largest singular values."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import flat_events

__all__ = ['largest_singular_value', 'log_quadrature', 'tridiagonal']


def log_quadrature(
    matvec, probes, event_ndims, num_steps, smallest, largest
):
  """`v^T log(A) v` and `A^-1 v` for a symmetric positive definite `A`.

  After `m` steps from `v` (Lanczos 1950, orthogonalised against all vectors,
  twice), `A ~ Q T Q^T` with `T` tridiagonal, and

  ```none
  v^T log(A) v ~ |v|^2 e1^T log(T) e1      A^-1 v ~ |v| Q T^-1 e1
  ```

  The first is a Gauss quadrature: exact for polynomials of degree `2 m - 1`
  (Ubaru, Chen & Saad 2017), and the mean over probes of covariance `I` is
  `log det A`. The second is what conjugate gradients find.

  `matvec` maps `v`, like the probes, to `A v`; each event has its own `A`, with
  eigenvalues from `smallest > 0` to `largest` by theorem. Probes, not zero, are
  `[num_probes, batch..., event]`, as is the second result.
  """

  def products(rows):
    image = matvec(flat_events.unflatten(rows, probes))
    return None, flat_events.flatten(image, event_ndims)

  rows = flat_events.flatten(probes, event_ndims)
  unit, length = _normalized(rows, 0.0)
  basis, _, values, vectors = tridiagonal(products, unit, num_steps)
  # `e1` does not see what is beyond a breakdown.
  values = tf.clip_by_value(values, smallest, largest)
  first = vectors[:, 0, :]
  log_mean = tf.reduce_sum(tf.square(first) * tf.math.log(values), axis=-1)
  inverse = tf.linalg.matvec(vectors, first / values)
  solution = tf.einsum('mnd,nm->nd', basis, inverse)
  batch_shape = tf.shape(probes)[: probes.shape.rank - event_ndims]
  return (
      tf.reshape(tf.square(length) * log_mean, batch_shape),
      flat_events.unflatten(length[:, tf.newaxis] * solution, probes),
  )


def largest_singular_value(products, start, num_steps, output_size):
  """Largest singular values `[N]` of matrices `J`, from below.

  `products` maps `v` `[N, D]` to `J v` `[N, output_size]` and `J^T J v`, each
  row with its own `J`; `start` is `[N, D]`, not zero.
  """
  start, _ = _normalized(start, 0.0)
  basis, images, _, vectors = tridiagonal(
      products, start, num_steps, output_size
  )
  # |J v| / |v| of the best v: from below, whatever rounding did to the basis.
  best = tf.einsum('mnd,nm->nd', basis, vectors[..., -1])
  image = tf.einsum('mnd,nm->nd', images, vectors[..., -1])
  return _length(image) / _length(best)


def tridiagonal(products, start, num_steps, kept_size=0):
  """Lanczos' method on symmetric matrices `A`, with full reorthogonalisation.

  `products` maps `v` `[N, D]` to what is to be kept of it, `[N, kept_size]` or
  `None`, and `A v`, each row with its own `A`. It starts with unit vectors.

  Returns the basis `[m, N, D]` after `m` steps, rows of 0 where its space is
  exhausted; what was kept `[m, N, kept_size]`; and eigenvalues `[N, m]`,
  ascending, and eigenvectors (columns) of the matrix in that basis.
  """
  num_events = tf.shape(start)[0]
  zeros = tf.zeros([num_steps, num_events], start.dtype)
  basis = tf.zeros([num_steps, num_events, tf.shape(start)[1]], start.dtype)
  kept = tf.zeros([num_steps, num_events, kept_size], start.dtype)
  rounding = 100.0 * float(np.finfo(start.dtype.as_numpy_dtype).eps)

  def step(i, v, basis, kept, diagonal, off_diagonal, scale):
    def written(rows, row):
      return tf.tensor_scatter_nd_update(rows, [[i]], row[tf.newaxis])

    keep, w = products(v)
    # In the loop the size of the batch is only known as it runs; multiplied by
    # a `v` of more than one event it is known again, but not of a single one.
    w = tf.ensure_shape(w, start.shape)
    basis = written(basis, v)
    kept = kept if keep is None else written(kept, keep)
    alpha = tf.reduce_sum(v * w, axis=1)
    # Twice is enough (Parlett 1998); rows not reached yet are zero.
    for _ in range(2):
      overlap = tf.einsum('mnd,nd->mn', basis, w)
      w -= tf.einsum('mnd,mn->nd', basis, overlap)
    scale = tf.maximum(scale, tf.abs(alpha))
    # What is left of rounding alone is no direction: the space is exhausted.
    v, beta = _normalized(w, rounding * scale)
    diagonal = written(diagonal, alpha)
    off_diagonal = written(off_diagonal, beta)
    return i + 1, v, basis, kept, diagonal, off_diagonal, scale

  _, _, basis, kept, diagonal, off_diagonal, _ = tf.while_loop(
      lambda i, *_: i < num_steps,
      step,
      (0, start, basis, kept, zeros, zeros, zeros[0]),
      maximum_iterations=num_steps,
  )
  diagonal = tf.transpose(diagonal)
  sides = tf.transpose(off_diagonal)[:, :-1]
  matrices = (
      tf.linalg.diag(diagonal)
      + tf.linalg.diag(sides, k=1)
      + tf.linalg.diag(sides, k=-1)
  )
  # What is not finite would be an error of the whole batch; it is kept, too.
  values, vectors = tf.linalg.eigh(
      tf.where(tf.math.is_finite(matrices), matrices, tf.zeros_like(matrices))
  )
  return basis, kept, values, vectors


def _length(v):
  """Norms of rows, whose squares may be out of range."""
  largest = tf.reduce_max(tf.abs(v), axis=1)
  unit = tf.where(largest > 0.0, largest, tf.ones_like(largest))
  return largest * tf.norm(v / unit[:, tf.newaxis], axis=1)


def _normalized(v, smallest):
  """Unit vectors, and lengths; both zero where not longer than `smallest`."""
  length = _length(v)
  keep = length > smallest
  inverse = tf.where(keep, 1.0 / tf.where(keep, length, 1.0), 0.0)
  return v * inverse[:, tf.newaxis], tf.where(keep, length, 0.0)
