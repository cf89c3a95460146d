"""The best linear map of each class, shrunk as held-out vectors say."""

import numpy as np

from tfp_flowopt.optimum import class_shares

__all__ = ['ClassMoments']

# One example of so many is held out to choose the shrinkages.
_FOLDS = 5
# Shares of the diagonal in the common covariance.
_TO_DIAGONAL = (0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
# Least variance in a direction, of that of columns.
_LEAST = 1e-6
# Of the squares of float64 sums.
_ROUNDING = 1e-12


class ClassMoments:
  """First and second moments of vectors, of each class, as they stream by.

  The optimum over the maps `A_k (x - b_k)` of class `k` is the whitening of its
  own covariance `C_k` (`likelihood_optimum`), which takes far more vectors than
  dimensions. With fewer, held-out vectors are better off with something between
  it and the covariance `R` around the means of all classes (regularised
  discriminant analysis: Friedman 1989):

  ```none
  W = ((1 - a) R + a diag(R))^(-1/2)
  A_k = ((1 - s_k) W C_k W^T + s_k I)^(-1/2) W,    b_k: mean of the class
  ```

  First `a` and then the `s_k` (`shares_of_common`) are those of the highest
  likelihood of a fifth of the examples, under maps of the others. Roots are
  symmetric, so that a whitened image still is one: what was near each other
  stays there.
  """

  def __init__(self, num_classes, event_size):
    """No vectors yet; `2 K D^2` float64 numbers."""
    shape = [2, num_classes, event_size]
    self._counts = np.zeros(shape[:2])
    self._sums = np.zeros(shape)
    self._squares = np.zeros([*shape, event_size])

  def update(self, x, labels, examples):
    """Adds vectors `[N, D]` of the classes `labels` `[N]`.

    `examples` are integers `[N]`, the same for two versions of one example.
    """
    x = np.asarray(x, np.float64)
    is_held_out = examples % _FOLDS == 0
    for part, k in np.unique([is_held_out, labels], axis=1).T:
      rows = x[(is_held_out == part) & (labels == k)]
      self._counts[part, k] += len(rows)
      self._sums[part, k] += rows.sum(axis=0)
      self._squares[part, k] += rows.T @ rows

  @property
  def counts(self):
    """Number of vectors of each class, `[K]`."""
    return self._counts.sum(axis=0)

  def maps(self, least=0.0):
    """The `A_k`, `[K, D, D]`, and the `b_k`, `[K, D]`, with `a >= least`.

    A class without vectors has the common ones.
    """
    counts, means, scatters = self._statistics(slice(None))
    if not scatters.any():  # equal vectors stay as they are
      return np.tile(np.eye(means.shape[1]), [len(counts), 1, 1]), means
    to_diagonal, shares = self._shrinkages()
    to_diagonal = max(to_diagonal, least)
    whiten = _Root(scatters.sum(axis=0) / counts.sum()).matrix(to_diagonal)
    maps = np.tile(whiten, [len(counts), 1, 1])
    for k in np.flatnonzero(shares < 1.0):
      own = whiten @ (scatters[k] / counts[k]) @ whiten.T
      values, basis = np.linalg.eigh(own)
      values = (1.0 - shares[k]) * values + shares[k]
      maps[k] = (basis / np.sqrt(values)) @ basis.T @ whiten
    return maps, means

  def _statistics(self, parts):
    """Counts, means and scatter matrices of each class."""
    counts, sums, squares = (
        values[parts].sum(axis=0)
        for values in (self._counts, self._sums, self._squares)
    )
    means = np.where(
        counts[:, np.newaxis] > 0,
        sums / np.maximum(counts, 1.0)[:, np.newaxis],
        sums.sum(axis=0) / max(counts.sum(), 1.0),
    )
    return counts, means, _about(counts, sums, squares, means)

  def _shrinkages(self):
    """The `a` and `s_k` above."""
    train, means, scatters = self._statistics(slice(0, 1))
    held_out = self._counts[1]
    if train.sum() < 2 or not held_out.any():
      return _TO_DIAGONAL[-1], np.ones(len(train))
    others = _about(held_out, self._sums[1], self._squares[1], means)
    root = _Root(scatters.sum(axis=0) / train.sum())
    seen = root.seen(others.sum(axis=0) / held_out.sum())
    to_diagonal = max(
        _TO_DIAGONAL,
        key=lambda a: class_shares.log_likelihood(root.shrunk(a), seen),
    )
    if len(train) == 1:  # its own covariance is the common one
      return to_diagonal, np.ones([1])
    whiten = root.matrix(to_diagonal)
    covariances = (
        [
            whiten @ (values[k] / max(count[k], 1.0)) @ whiten.T
            for values, count in ((scatters, train), (others, held_out))
        ]
        for k in range(len(train))
    )
    return to_diagonal, class_shares.shares_of_common(
        train, held_out, covariances
    )


class _Root:
  """`((1 - a) R + a diag(R))^(-1/2)`, by the eigenvectors of correlations."""

  def __init__(self, covariance):
    variances = np.diag(covariance)
    if not variances.any():
      covariance = np.eye(len(variances))
      variances = np.diag(covariance)
    self._scales = np.sqrt(np.maximum(variances, _LEAST * variances.max()))
    self._values, self._basis = np.linalg.eigh(self._correlations(covariance))

  def _correlations(self, covariance):
    return covariance / np.outer(self._scales, self._scales)

  def matrix(self, to_diagonal):
    """The root."""
    roots = np.sqrt(self.shrunk(to_diagonal))
    return ((self._basis / roots) @ self._basis.T) / self._scales

  def shrunk(self, to_diagonal):
    """Variances along the eigenvectors."""
    shrunk = (1.0 - to_diagonal) * self._values + to_diagonal
    return np.maximum(shrunk, _LEAST)

  def seen(self, covariance):
    """Variances that other vectors have there."""
    return class_shares.diagonal_in(self._basis, self._correlations(covariance))


def _about(counts, sums, squares, means):
  """Scatter matrices around `means`."""
  cross = np.einsum('ki,kj->kij', sums, means)
  own = counts[:, np.newaxis, np.newaxis] * np.einsum(
      'ki,kj->kij', means, means
  )
  scatters = squares - cross - np.swapaxes(cross, 1, 2) + own
  # What is left of constant columns is rounding.
  total = np.einsum('kii->ki', squares)
  varies = np.einsum('kii->ki', scatters) > _ROUNDING * total
  return scatters * (varies[:, np.newaxis] * varies[:, :, np.newaxis])
