"""How far the dependences in a table of few vectors are to be believed."""

from collections.abc import Callable
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
_ROUNDS, _GAIN = 30, 1e-3
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
    whitening_map: Function of the mean and the covariance of what a matrix
      `[D, F]` leaves, and of that, that returns a `WhiteningMap` within limits;
      `None` for no limits.
  """

  held_out: np.ndarray
  y: np.ndarray
  features: np.ndarray
  log_det: float
  whitening_map: Callable | None = None


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
    return _shrunk(matrix, self.share)


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
    best_curve: Function of norms `[N]`, root mean squares, and the range of
      `log_scale` that returns their `RadialCurve`. Without it there is none.
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
    log_scales = -np.inf, np.inf
    if folds[0].whitening_map is not None:
      radii, log_dets, log_scales = _within_limits(
          folds, ridge, share, weights
      )
    curve = best_curve(radii, log_scales) if best_curve else curve
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
    for i, rest in enumerate(_rests(fold, weights, ridges)):
      latents, values, counts = rest.principal_parts()
      # `[shares, D]`.
      variances = values + shares[:, np.newaxis] * (1.0 - values)
      squares = latents**2 @ (1.0 / variances).T / size
      radii[i][:, fold.held_out] = np.sqrt(squares).T
      log_dets[i][:, fold.held_out] = (
          fold.log_det
          - np.log(rest.scales).sum()
          - 0.5 * (np.log(variances) @ counts)[:, np.newaxis]
      )
  radii = np.maximum(radii, _LEAST_RADIUS)
  log_probs = (curve.log_prob(radii, size) + log_dets).mean(axis=-1)
  i, j = np.unravel_index(np.argmax(log_probs), log_probs.shape)
  return float(ridges[i]), float(shares[j]), radii[i, j], log_dets[i, j]


def _within_limits(folds, ridge, share, weights):
  """Radii and log-determinants `[N]`, and what all scales may be times."""
  num, size = folds[0].y.shape
  radii, log_dets = np.zeros([2, num])
  ranges = []
  for fold in folds:
    (rest,) = _rests(fold, weights, [ridge])
    found = fold.whitening_map(
        rest.mean, _shrunk(rest.covariance, share), rest.matrix
    )
    latents = rest.held_out @ found.eigenvectors * found.scales
    radii[fold.held_out] = np.sqrt(np.square(latents).sum(axis=1) / size)
    log_dets[fold.held_out] = fold.log_det + np.log(found.scales).sum()
    ranges.append(found.log_range)
  low, high = zip(*ranges, strict=True)
  # The scales themselves are within, up to rounding.
  log_scales = min(max(low), 0.0), max(min(high), 0.0)
  return np.maximum(radii, _LEAST_RADIUS), log_dets, log_scales


def _shrunk(covariance, share):
  return (1.0 - share) * covariance + share * np.diag(np.diag(covariance))


def _rests(fold, weights, ridges):
  """For each ridge the `_Rest` of a fold."""
  others, weights = ~fold.held_out, weights[~fold.held_out]
  moments = _Moments(fold.y[others], fold.features[others], weights)
  for matrix in moments.ridge_matrices(ridges):
    yield _Rest(fold, moments, weights, matrix)


class _Rest:
  """What a matrix leaves of the vectors of a fold.

  Attributes:
    matrix: `[D, F]`.
    mean: Its intercept, `[D]`.
    held_out: What is left of the vectors that are held out, `[M, D]`.
    covariance: Of the others, `[D, D]`.
    scales: Standard deviations of the columns, `[D]`, none of them 0.
  """

  def __init__(self, fold, moments, weights, matrix):
    self.matrix = matrix
    self.mean = moments.mean - matrix @ moments.feature_mean
    rest = fold.y - fold.features @ matrix.T - self.mean
    self.held_out = rest[fold.held_out]
    self.covariance = weights.mean() * moments.covariance_of_rest(matrix)
    # Of all rows, about the mean of the others.
    share = np.mean(fold.held_out)
    of_all = (1.0 - share) * np.diag(self.covariance)
    of_all += share * np.mean(np.square(self.held_out), axis=0)
    variances = np.maximum(np.diag(self.covariance), _LEAST_OF_ALL * of_all)
    np.fill_diagonal(self.covariance, variances)
    self.scales = np.sqrt(np.where(variances > 0.0, variances, 1.0))
    self._others = np.sqrt(weights)[:, np.newaxis] * rest[~fold.held_out]

  def principal_parts(self):
    """Latents of the held-out vectors, their variances, and numbers of them.

    Latents `[M, K]` are those in the eigenvectors of the correlations of the
    others, whose eigenvalues `[K]` are their variances. Of fewer vectors than
    dimensions, all directions without a variance are one, the last.
    """
    latents = self.held_out / self.scales
    num, size = self._others.shape
    if num >= size:
      correlation = self.covariance / np.outer(self.scales, self.scales)
      np.fill_diagonal(correlation, 1.0)
      values, vectors = np.linalg.eigh(correlation)
      return latents @ vectors, np.maximum(values, _LEAST), np.ones([size])
    scaled = self._others / self.scales / num**0.5
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    is_part = values > _LEAST * values[-1]
    values, vectors = values[is_part], vectors[:, is_part]
    parts = latents @ (scaled.T @ (vectors / np.sqrt(values)))
    left = np.square(latents).sum(axis=1) - np.square(parts).sum(axis=1)
    parts = np.column_stack([parts, np.sqrt(np.maximum(left, 0.0))])
    counts = np.append(np.ones([len(values)]), size - len(values))
    return parts, np.append(np.maximum(values, _LEAST), _LEAST), counts


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


