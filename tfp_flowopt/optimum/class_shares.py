"""How much of the covariance of a class is that of all classes."""

import numpy as np

__all__ = ['diagonal_in', 'log_likelihood', 'shares_of_common']

# Of a class of the mean size; with 1 no class has a map of its own.
_SHARES = np.array(
    [0.0, 0.003, 0.01, 0.03, *np.linspace(0.1, 1.0, 10)]
)


def shares_of_common(counts, held_out, covariances):
  """The `s_k` `[K]` of the covariances `(1 - s_k) C_k + s_k I` of classes.

  Coordinates are those in which the common covariance is `I`. Small classes
  have larger shares: that of a class of `n_k` vectors, of `n` in the mean, is

  ```none
  s_k = (s n + 1 - s) / (s n + (1 - s) (1 + n_k)),
  ```

  as if it had so many vectors more, and one at least, that show the common
  covariance. Of all `s` it is that of the highest likelihood of the held-out
  vectors, where classes that lose by it keep the common one: 1.

  Args:
    counts: Numbers of vectors, `[K]`.
    held_out: Numbers of the held-out ones, `[K]`.
    covariances: Iterable of pairs for each class: `C_k` `[D, D]`, and that of
      the held-out vectors about the same mean.
  """
  size = counts.mean()
  shares = (_SHARES * size + 1.0 - _SHARES) / (
      _SHARES * size + (1.0 - _SHARES) * (1.0 + counts[:, np.newaxis])
  )
  gains = np.zeros(shares.shape)
  for k, (own, other) in enumerate(covariances):
    if counts[k] and held_out[k]:
      values, basis = np.linalg.eigh(own)
      seen = diagonal_in(basis, other)
      gains[k] = held_out[k] * np.array([
          log_likelihood((1.0 - s) * values + s, seen) for s in shares[k]
      ])
  gains = np.maximum(gains - gains[:, -1:], 0.0)
  best = np.argmax(gains.sum(axis=0))
  return np.where(gains[:, best] > 0.0, shares[:, best], 1.0)


def diagonal_in(basis, matrix):
  """Variances along the columns of `basis`, of a covariance."""
  return np.einsum('ji,jk,ki->i', basis, matrix, basis, optimize=True)


def log_likelihood(variances, seen):
  """Of a normal with `variances`, for those that are seen; up to a constant."""
  return -0.5 * np.sum(np.log(variances) + seen / variances)
