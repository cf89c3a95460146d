"""How much of the covariance of a class is that of all classes."""

import numpy as np

__all__ = ['diagonal_in', 'log_likelihood', 'shares_of_common']

# Of a class of the mean size; with 1 no class has a map of its own.
_SHARES = np.array(
    [0.0, 0.003, 0.01, 0.03, *np.linspace(0.1, 1.0, 10)]
)
# Standard errors of what a class gains.
_CLEAR = 2.0


def shares_of_common(counts, held_out, covariances):
  """The `s_k` `[K]` of the covariances `(1 - s_k) C_k + s_k I` of classes.

  Coordinates are those in which the common covariance is `I`. Small classes
  have larger shares: that of a class of `n_k` vectors, of `n` in the mean, is

  ```none
  s_k = (s n + 1 - s) / (s n + (1 - s) (1 + n_k)),
  ```

  as if it had so many vectors more, and one at least, that show the common
  covariance. Of all `s` it is that of the highest likelihood of the held-out
  vectors; classes that lose by it keep the common one: 1. Losses count where
  they are no more than two standard errors, as gains do: of many small classes
  that are alike, half would gain by chance. Or only those have a map of their
  own that gain more than that, where this is worth more.

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
  gains, errors = np.zeros([2, *shares.shape])
  for k, (own, other) in enumerate(covariances):
    if counts[k] and held_out[k]:
      values, basis = np.linalg.eigh(own)
      seen = diagonal_in(basis, other)
      for i, s in enumerate(shares[k]):
        variances = (1.0 - s) * values + s
        gains[k, i] = held_out[k] * (
            log_likelihood(variances, seen) - log_likelihood(1.0, seen)
        )
        # A mean of `n` squares of normal numbers is off by `sqrt(2 / n)`.
        errors[k, i] = np.sqrt(
            0.5 * held_out[k] * np.sum((seen / variances - seen) ** 2)
        )
  clear = _CLEAR * errors
  policies = (
      (np.where(gains > -clear, gains, 0.0), gains > 0.0),
      (np.maximum(gains - clear, 0.0), gains > clear),
  )
  values, has_own = max(policies, key=lambda x: x[0].sum(axis=0).max())
  best = np.argmax(values.sum(axis=0))
  if not values[:, best].sum() > 0.0:
    return np.ones([len(counts)])
  return np.where(has_own[:, best], shares[:, best], 1.0)


def diagonal_in(basis, matrix):
  """Variances along the columns of `basis`, of a covariance."""
  return np.einsum('ji,jk,ki->i', basis, matrix, basis, optimize=True)


def log_likelihood(variances, seen):
  """Of a normal with `variances`, for those that are seen; up to a constant."""
  return -0.5 * np.sum(np.log(variances) + seen / variances)
