"""Bias of log-determinants of finitely many Gaussian samples."""

import tensorflow as tf

__all__ = ['complex_wishart_log_det_bias', 'wishart_log_det_bias']


def wishart_log_det_bias(count, dimension, centered):
  """Bias of the log-determinant of the second moments of Gaussian vectors.

  With `R^` the mean of `(x - b) (x - b)^T` over `N` independent vectors of
  `N(mu, R)`, `b = mu` (`n = N` degrees of freedom) or their mean (`n = N - 1`),

  ```none
  E log det R^ - log det R = sum_(i=1..D) psi((n + 1 - i) / 2) + D log(2 / N)
  ```

  and it is negative: few samples make linear flows look better than they are
  (the expectation of a Wishart log-determinant, as in Bishop 2006, B.81).

  `count` is a floating-point `Tensor`, `N > D`, whose type and shape the bias
  has, in nats.
  """
  count, terms = _falling(count, dimension, centered)
  dimension = tf.cast(dimension, count.dtype)
  return tf.reduce_sum(
      tf.math.digamma(0.5 * terms), axis=-1
  ) + dimension * tf.math.log(2.0 / count)


def complex_wishart_log_det_bias(count, dimension):
  """The same for `N` circular complex Gaussian vectors with mean zero.

  ```none
  E log det S^ - log det S = sum_(i=0..C-1) psi(N - i) - C log N
  ```

  (Goodman 1963), with `C`, at most `N`, their dimension.
  """
  count, terms = _falling(count, dimension, False)
  dimension = tf.cast(dimension, count.dtype)
  return tf.reduce_sum(
      tf.math.digamma(terms), axis=-1
  ) - dimension * tf.math.log(count)


def _falling(count, dimension, centered):
  """`count`, and `[..., D]`: the degrees of freedom n, n - 1, ..."""
  count = tf.convert_to_tensor(count)
  degrees = count - 1.0 if centered else count
  return count, degrees[..., tf.newaxis] - tf.cast(
      tf.range(dimension), count.dtype
  )
