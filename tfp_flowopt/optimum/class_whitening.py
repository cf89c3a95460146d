"""The best linear map of each class, shrunk as held-out vectors say."""

import numpy as np

from tfp_flowopt.optimum import class_shares

__all__ = ['ClassMoments']

# One example of so many is held out to choose the shrinkages.
_FOLDS = 5
# Vectors that are enough for a mean.
_MANY = 100
# Shares of the mean variance in each one; the last if none are held out.
_TO_MEAN = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)
# Shares of the diagonal in the common covariance.
_TO_DIAGONAL = (0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
# Least variance in a direction, of that of columns.
_LEAST = 1e-6
# Nats of all held-out vectors together that are none.
_NO_GAIN = 1.0
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
  b_k = b + n_k / (n_k + c) (mean of the class - b),   b: mean of all
  R'  = R with the variances (1 - v) R_ii + v tr(R) / D
  W   = ((1 - a) R' + a diag(R'))^(-1/2)
  A_k = ((1 - s_k) W C_k W^T + s_k I)^(-1/2) W
  ```

  `c` is the variance within classes, of that between them (Efron & Morris
  1975), or 0 where each class has a hundred vectors. `v`, `a` and then the
  `s_k` (`shares_of_common`) are in turn those of the highest likelihood of a
  fifth of the examples, under maps of the others. Roots are symmetric, so that
  a whitened image still is one: what was near each other stays there.
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
    pull = _pull(*self._sums_of(slice(None)))
    to_mean, to_diagonal, shares = self._shrinkages(pull)
    counts, means, scatters = self._statistics(slice(None), pull)
    if not scatters.any():  # equal vectors stay as they are
      return np.tile(np.eye(means.shape[1]), [len(counts), 1, 1]), 0.0 * means
    to_diagonal = max(to_diagonal, least)
    common = _common(counts, scatters, pull)
    whiten = _Root(common, to_mean).matrix(to_diagonal)
    maps = np.tile(whiten, [len(counts), 1, 1])
    for k in np.flatnonzero(shares < 1.0):
      own = whiten @ (scatters[k] / counts[k]) @ whiten.T
      values, basis = np.linalg.eigh(own)
      values = (1.0 - shares[k]) * values + shares[k]
      maps[k] = (basis / np.sqrt(values)) @ basis.T @ whiten
    return maps, means

  def _sums_of(self, parts):
    """Counts, sums and sums of squares of each class."""
    return (
        values[parts].sum(axis=0)
        for values in (self._counts, self._sums, self._squares)
    )

  def _statistics(self, parts, pull):
    """Counts, means and scatter matrices of each class."""
    counts, sums, squares = self._sums_of(parts)
    means = _means(counts, sums, pull)
    return counts, means, _about(counts, sums, squares, means)

  def _shrinkages(self, pull):
    """The `v`, `a` and `s_k` above."""
    train, held_out = self._counts
    if train.sum() < 2 or not held_out.any():
      return _TO_MEAN[-1], _TO_DIAGONAL[-1], np.ones(len(train))
    train, means, scatters = self._statistics(slice(0, 1), pull)
    others = _about(held_out, self._sums[1], self._squares[1], means)
    common = _common(train, scatters, pull)
    total, seen = held_out.sum(), others.sum(axis=0) / held_out.sum()
    variances = np.diag(common)
    to_mean = 0.0
    if variances.any():
      to_mean = _first_of_best(
          _TO_MEAN,
          lambda v: total * class_shares.log_likelihood(
              np.maximum(_to_mean(variances, v), _LEAST * variances.max()),
              np.diag(seen),
          ),
      )
    root = _Root(common, to_mean)
    seen = root.seen(seen)
    to_diagonal = _first_of_best(
        _TO_DIAGONAL,
        lambda a: total * class_shares.log_likelihood(root.shrunk(a), seen),
    )
    if len(train) == 1:  # its own covariance is the common one
      return to_mean, to_diagonal, np.ones([1])
    whiten = root.matrix(to_diagonal)
    covariances = (
        [
            whiten @ (values[k] / max(count[k], 1.0)) @ whiten.T
            for values, count in ((scatters, train), (others, held_out))
        ]
        for k in range(len(train))
    )
    shares = class_shares.shares_of_common(train, held_out, covariances)
    return to_mean, to_diagonal, shares

def _first_of_best(grid, value):
  """The first of a grid whose `value`, in nats, is the best but for no gain."""
  values = np.array([value(x) for x in grid])
  return grid[int(np.argmax(values >= values.max() - _NO_GAIN))]


def _pull(counts, sums, squares):
  """The `c` of the means: variance within classes, of that between them.

  By analysis of variance of each component, of which the ratios are averaged.
  0 where each class has many vectors, and infinite where nearly all have one.
  """
  is_there = counts > 0
  counts, sums, squares = (x[is_there] for x in (counts, sums, squares))
  num, num_classes = counts.sum(), len(counts)
  if num_classes < 2 or counts.min() >= _MANY:
    return 0.0
  freedom = num - num_classes
  if freedom <= 2:
    return np.inf
  own = counts[:, np.newaxis]
  total = np.einsum('kii->i', squares)
  between = np.sum(sums**2 / own, axis=0)
  within = (total - between) / freedom
  between = (between - sums.sum(axis=0) ** 2 / num) / (num_classes - 1)
  # What is left of constant columns is rounding.
  varies = within > _ROUNDING * total / num
  if not varies.any():
    return 0.0
  size = (num - np.sum(counts**2) / num) / (num_classes - 1)
  # Of equal means, a quotient of variances is more than 1 in the mean.
  quotient = np.mean(between[varies] / within[varies])
  ratio = (quotient * (1.0 - 2.0 / freedom) - 1.0) / size
  return 1.0 / ratio if ratio > 0.0 else np.inf


def _means(counts, sums, pull):
  """The `b_k`."""
  common = sums.sum(axis=0) / max(counts.sum(), 1.0)
  own = counts[:, np.newaxis]
  if pull == np.inf:
    own = np.zeros_like(own)
  shares = own / np.maximum(own + min(pull, 1.0 / _ROUNDING), _ROUNDING)
  means = sums / np.maximum(own, 1.0)
  return np.where(own > 0, common + shares * (means - common), common)


def _common(counts, scatters, pull):
  """The `R` above, without the degrees of freedom that means take."""
  taken = np.sum(counts[counts > 0] / (counts[counts > 0] + pull))
  left = counts.sum() - max(taken - 1.0, 0.0)
  return scatters.sum(axis=0) / max(left, 1.0)


def _to_mean(variances, share):
  return (1.0 - share) * variances + share * variances.mean()


class _Root:
  """`((1 - a) R' + a diag(R'))^(-1/2)`, by the eigenvectors of correlations."""

  def __init__(self, covariance, to_mean):
    variances = np.diag(covariance)
    if not variances.any():
      covariance = np.eye(len(variances))
      variances = np.diag(covariance)
    least = _LEAST * variances.max()
    own, shrunk = (
        np.sqrt(np.maximum(values, least))
        for values in (variances, _to_mean(variances, to_mean))
    )
    self._scales = shrunk
    self._values, self._basis = np.linalg.eigh(covariance / np.outer(own, own))

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
    scaled = covariance / np.outer(self._scales, self._scales)
    return class_shares.diagonal_in(self._basis, scaled)


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
