"""Stochastic Lanczos quadrature of log-determinants."""

import tensorflow as tf

from tfp_flowopt.internal import flat_events

__all__ = ['log_quadrature']


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

  Args:
    matvec: Maps `v`, like the probes, to `A v`; each event has its own `A`.
    probes: `[num_probes, batch..., event]`, the `v` above, not zero.
    event_ndims: Number of dimensions of an event.
    num_steps: Python `int`, the `m` above.
    smallest: Positive Python `float` that no eigenvalue is below, by theorem.
    largest: Python `float` that no eigenvalue is above.

  Returns:
    `[num_probes, batch...]`, and a `Tensor` like the probes.
  """

  def rows_matvec(rows):
    v = matvec(flat_events.unflatten(rows, probes))
    return flat_events.flatten(v, event_ndims)

  rows = flat_events.flatten(probes, event_ndims)
  log_det, solution = _log_quadrature(
      rows_matvec, rows, num_steps, smallest, largest
  )
  batch_shape = tf.shape(probes)[: probes.shape.rank - event_ndims]
  return (
      tf.reshape(log_det, batch_shape),
      flat_events.unflatten(solution, probes),
  )


def _log_quadrature(matvec, probes, num_steps, smallest, largest):
  """The same for rows: `matvec` and `probes` are of shape `[N, D]`."""
  dtype = probes.dtype
  length = tf.norm(probes, axis=-1)
  unit = probes / length[:, tf.newaxis]
  zeros = tf.zeros_like(length)
  # Below this the vectors so far span all that `A` does to `v`.
  breakdown = largest * (1e-5 if dtype == tf.float32 else 1e-12)

  def step(i, q, basis, alpha, beta):
    row = tf.one_hot(i, num_steps, dtype=dtype)
    basis += row[:, tf.newaxis] * q[:, tf.newaxis, :]
    image = tf.ensure_shape(matvec(q), q.shape)
    slope = tf.reduce_sum(q * image, axis=-1)
    for _ in range(2):
      overlap = tf.linalg.matvec(basis, image)
      image -= tf.linalg.matvec(basis, overlap, transpose_a=True)
    rest = tf.norm(image, axis=-1)
    alive = tf.reduce_sum(tf.square(q), axis=-1) > 0.5
    on = alive & (rest > breakdown)
    # Beyond a breakdown `T` is the identity, which `e1` does not see.
    alpha += row * tf.where(alive, slope, tf.ones_like(slope))[:, tf.newaxis]
    beta += row * tf.where(on, rest, zeros)[:, tf.newaxis]
    safe = tf.where(on, rest, tf.ones_like(rest))[:, tf.newaxis]
    q = tf.where(on[:, tf.newaxis], image / safe, tf.zeros_like(image))
    return i + 1, q, basis, alpha, beta

  diagonal = tf.zeros([tf.shape(probes)[0], num_steps], dtype)
  diagonal = tf.ensure_shape(diagonal, [probes.shape[0], num_steps])
  basis = diagonal[:, :, tf.newaxis] * unit[:, tf.newaxis, :]
  _, _, basis, alpha, beta = tf.while_loop(
      lambda i, *_: i < num_steps,
      step,
      [tf.constant(0), unit, basis, diagonal, diagonal],
  )
  off = beta[:, :-1]
  tridiagonal = (
      tf.linalg.diag(alpha)
      + tf.linalg.diag(off, k=1)
      + tf.linalg.diag(off, k=-1)
  )
  values, vectors = tf.linalg.eigh(tridiagonal)
  values = tf.clip_by_value(values, smallest, largest)
  first = vectors[:, 0, :]
  log_mean = tf.reduce_sum(tf.square(first) * tf.math.log(values), axis=-1)
  inverse = tf.linalg.matvec(vectors, first / values)
  solution = tf.linalg.matvec(basis, inverse, transpose_a=True)
  return tf.square(length) * log_mean, length[:, tf.newaxis] * solution
