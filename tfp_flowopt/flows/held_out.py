"""How far the dependences in a table of few vectors are to be believed."""

from typing import NamedTuple

import numpy as np

from tfp_flowopt.flows import radial_curve
from tfp_flowopt.flows import ridge as ridge_lib

__all__ = ['Fold', 'Shrinkage', 'held_out_rows', 'shrinkage']

# Folds, and the vectors that there must be; and what is nearly equal, of the
# range of the middle half.
_FOLDS, _LEAST_VECTORS, _CELL = 5, 4, 0.01
# The shares that are tried.
_SHARES = np.array([
    *[0.0, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2],
    *[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0],
])
# Of variances in float64, that of a residual.
_ROUNDING = 1e-12
# Rounds of weights, at most, and the gain in nats a dimension that ends them.
_ROUNDS, _GAIN = 10, 1e-3
# Least variance of what is left of a column, of that in all folds; and of a
# direction, of that of its columns. Least radius.
_LEAST_OF_ALL, _LEAST, _LEAST_RADIUS = 0.1, 1e-9, 1e-6


class Fold(NamedTuple):
  """Vectors that are held out, and the others.

  Attributes:
    held_out: Which are held out, `[N]` bool.
    y: The vectors `[N, D]`, through the curves of the others.
    features: `[N, F]`, likewise.
    log_det: Of the curves, mean over those that are held out.
  """

  held_out: np.ndarray
  y: np.ndarray
  features: np.ndarray
  log_det: float


class Shrinkage(NamedTuple):
  """Regression and covariance as held-out vectors are best off with.

  Attributes:
    ridge: Of `ridge_matrices`.
    share: `s` of the covariance `(1 - s) R + s diag(R)` of what is left (Ledoit
      & Wolf 2004; Schaefer & Strimmer 2005).
    weights: Of the vectors, `[N]`.
    radii: Root mean squares of their latents, each by the map of the others,
      `[N]`.
    log_likelihood: Mean over the vectors, each held out once, nats.
  """

  ridge: float
  share: float
  weights: np.ndarray
  radii: np.ndarray
  log_likelihood: float

  def regression(self, y, features):
    """The matrix `[D, F]`, and the intercept `[D]`."""
    moments = _Moments(y, features, self.weights)
    (matrix,) = moments.ridge_matrices([self.ridge])
    return matrix, moments.mean - matrix @ moments.feature_mean

  def covariance(self, matrix):
    """What there is for a covariance `[D, D]`."""
    diagonal = np.diag(np.diag(matrix))
    return (1.0 - self.share) * matrix + self.share * diagonal


def held_out_rows(y):
  """For each fold, which of the vectors `[N, D]` are held out, `[N]` bool.

  Vectors that are nearly equal, up to hundredths of the quartiles, are in one
  fold: they may be the same example. There is none for less than four.
  """
  low, high = np.percentile(y, [25, 75], axis=0)
  size = np.where(high > low, _CELL * (high - low), 1.0)
  _, groups = np.unique(
      np.where(high > low, np.round(y / size), y), axis=0, return_inverse=True
  )
  num_groups = groups.max() + 1
  if num_groups < _LEAST_VECTORS:
    return []
  folds = np.random.default_rng(0).permutation(num_groups) % _FOLDS
  folds = folds[groups.ravel()]
  return [folds == k for k in range(min(_FOLDS, num_groups))]


def shrinkage(folds, best_curve=None):
  """The best `Shrinkage`.

  The latents of held-out vectors are like those that the flow will meet. So
  their norms decide the curve; and that, in turn, the weights.

  Args:
    folds: Sequence of `Fold`.
    best_curve: Function of norms `[N]`, root mean squares, that returns their
      `RadialCurve`. Without it there is none.
  """
  num, size = folds[0].y.shape
  # Every second one, and then those next to the best.
  ridges, shares = ridge_lib.RIDGES[::2], _SHARES[::2]
  if not folds[0].features.shape[1]:
    ridges = ridges[:1]
  weights, curve = np.ones([num]), radial_curve.RadialCurve()
  best, before = None, -np.inf
  for _ in range(_ROUNDS):
    ridge, share, radii, log_dets = _best_of(
        ridges, shares, folds, curve, weights
    )
    curve = best_curve(radii) if best_curve else curve
    log_likelihood = np.mean(curve.log_prob(radii, size) + log_dets)
    if not log_likelihood > before:
      break
    best = Shrinkage(ridge, share, weights, radii, float(log_likelihood))
    if log_likelihood - before < _GAIN * size:
      break
    before = log_likelihood
    shares = _next_to(share, _SHARES)
    if len(ridges) > 1:
      ridges = _next_to(ridge, ridge_lib.RIDGES)
    weights = curve.weights(radii, size)
  return best


def _next_to(value, grid):
  """The value of a grid, with those before and after it."""
  i = int(np.flatnonzero(grid == value)[0])
  return grid[max(i - 1, 0) : i + 2]


def _best_of(ridges, shares, folds, curve, weights):
  """Ridge and share, and with them radii and log-determinants `[N]`."""
  num, size = folds[0].y.shape
  radii, log_dets = np.zeros([2, len(ridges), len(shares), num])
  for fold in folds:
    found = enumerate(_held_out(fold, weights, ridges))
    for i, (latents, scales, values) in found:
      # `[shares, D]`.
      variances = values + shares[:, np.newaxis] * (1.0 - values)
      squares = latents**2 @ (1.0 / variances).T / size
      radii[i][:, fold.held_out] = np.sqrt(squares).T
      log_dets[i][:, fold.held_out] = (
          fold.log_det
          - np.log(scales).sum()
          - 0.5 * np.log(variances).sum(axis=1, keepdims=True)
      )
  radii = np.maximum(radii, _LEAST_RADIUS)
  log_probs = (curve.log_prob(radii, size) + log_dets).mean(axis=-1)
  i, j = np.unravel_index(np.argmax(log_probs), log_probs.shape)
  return float(ridges[i]), float(shares[j]), radii[i, j], log_dets[i, j]


def _held_out(fold, weights, ridges):
  """For each ridge latents of the held-out vectors, scales, and eigenvalues.

  The latents `[M, D]` are those in the eigenvectors of the correlations of the
  others, whose eigenvalues `[D]` are their variances; `scales` `[D]` are of the
  columns.
  """
  others, weights = ~fold.held_out, weights[~fold.held_out]
  own = _Moments(fold.y[others], fold.features[others], weights)
  # Of all rows, about the mean of the others.
  share = np.mean(fold.held_out)
  for matrix in own.ridge_matrices(ridges):
    covariance = weights.mean() * own.covariance_of_rest(matrix)
    rest = fold.y[fold.held_out] - own.mean - (
        fold.features[fold.held_out] - own.feature_mean
    ) @ matrix.T
    of_all = (1.0 - share) * np.diag(covariance)
    of_all += share * np.mean(np.square(rest), axis=0)
    variances = np.maximum(np.diag(covariance), _LEAST_OF_ALL * of_all)
    scales = np.sqrt(np.where(variances > 0.0, variances, 1.0))
    correlation = covariance / np.outer(scales, scales)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    yield (rest / scales) @ vectors, scales, np.maximum(values, _LEAST)


class _Moments:
  """Means and covariances of vectors `[N, D]` and features `[N, F]`."""

  def __init__(self, y, features, weights):
    weights = weights / weights.sum()
    self.mean, self.feature_mean = weights @ y, weights @ features
    y, features = y - self.mean, features - self.feature_mean
    self._covariance = (y.T * weights) @ y
    self._gram = (features.T * weights) @ features
    self._cross = (y.T * weights) @ features

  def ridge_matrices(self, ridges):
    """See `ridge.ridge_matrices`."""
    return ridge_lib.ridge_matrices(self._gram, self._cross, ridges)

  def covariance_of_rest(self, matrix):
    """That of what a matrix `[D, F]` leaves."""
    predicted = matrix @ self._cross.T
    rest = self._covariance - predicted - predicted.T
    rest += matrix @ self._gram @ matrix.T
    # Of what is predicted all but exactly, nothing is left but rounding.
    least = _ROUNDING * np.diag(self._covariance)
    np.fill_diagonal(rest, np.maximum(np.diag(rest), least))
    return rest


