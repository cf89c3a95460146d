"""How far the dependences in a table of few vectors are to be believed."""

from typing import NamedTuple

import numpy as np

from tfp_flowopt.flows import radial_curve

__all__ = ['Fold', 'Shrinkage', 'held_out_rows', 'shrinkage']

# Folds, and the vectors that there must be.
_FOLDS, _LEAST_VECTORS = 5, 4
# The ridges and shares that are tried.
_RIDGES = np.array([0.0, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf])
_SHARES = np.array([
    *[0.0, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2],
    *[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
])
# Rounds of weights, at most, and the gain in nats a dimension that ends them.
_ROUNDS, _GAIN = 10, 1e-3
# Least variance of a column, of that in all folds; and of a direction, of that
# of its columns. Least radius.
_LEAST_OF_ALL, _LEAST, _LEAST_RADIUS = 0.1, 1e-9, 1e-6
# Variance of standardised features that is rounding errors.
_ROUNDING = 1e-12


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
    ridge: `r` of the matrix `R_yc (R_cc + r I)^-1` of standardised features
      (Hoerl & Kennard 1970).
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
    ((matrix, intercept),) = _regressions(
        y, features, self.weights, [self.ridge]
    )
    return matrix, intercept

  def covariance(self, matrix):
    """What there is for a covariance `[D, D]`."""
    diagonal = np.diag(np.diag(matrix))
    return (1.0 - self.share) * matrix + self.share * diagonal


def held_out_rows(y):
  """For each fold, which of the vectors `[N, D]` are held out, `[N]` bool.

  Equal vectors are in one fold. There is none for less than four.
  """
  _, groups = np.unique(y, axis=0, return_inverse=True)
  num_groups = groups.max() + 1
  if num_groups < _LEAST_VECTORS:
    return []
  folds = np.random.default_rng(0).permutation(num_groups) % _FOLDS
  folds = folds[groups.ravel()]
  return [folds == k for k in range(min(_FOLDS, num_groups))]


def shrinkage(folds, best_curve):
  """The best `Shrinkage`.

  The latents of held-out vectors are like those that the flow will meet. So
  their norms decide the curve; and that, in turn, the weights.

  Args:
    folds: Sequence of `Fold`.
    best_curve: Function of norms `[N]`, root mean squares, that returns their
      `RadialCurve`.
  """
  num, size = folds[0].y.shape
  # All, and then those next to the best ones.
  ridges = _RIDGES if folds[0].features.shape[1] else _RIDGES[:1]
  shares, weights, curve = _SHARES, np.ones([num]), radial_curve.RadialCurve()
  best, least = None, -np.inf
  for _ in range(_ROUNDS):
    ridge, share, radii, log_dets = _best_of(
        ridges, shares, folds, curve, weights
    )
    curve = best_curve(radii)
    log_likelihood = np.mean(curve.log_prob(radii, size) + log_dets)
    if not log_likelihood > least:
      break
    best = Shrinkage(ridge, share, weights, radii, float(log_likelihood))
    least = log_likelihood + _GAIN * size
    ridges, shares = _next_to(ridge, ridges), _next_to(share, _SHARES)
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
  others = ~fold.held_out
  y, features, weights = (
      values[others] for values in (fold.y, fold.features, weights)
  )
  least = _LEAST_OF_ALL * fold.y.var(axis=0)
  for matrix, intercept in _regressions(y, features, weights, ridges):
    rest = y - features @ matrix.T - intercept
    covariance = (rest.T * weights) @ rest / len(rest)
    variances = np.maximum(np.diag(covariance), least)
    scales = np.sqrt(np.where(variances > 0.0, variances, 1.0))
    correlation = covariance / np.outer(scales, scales)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    new = fold.y[fold.held_out] - intercept
    new = (new - fold.features[fold.held_out] @ matrix.T) / scales
    yield new @ vectors, scales, np.maximum(values, _LEAST)


def _regressions(y, features, weights, ridges):
  """Matrix and intercept for each of the ridges."""
  weights = weights / weights.sum()
  y_mean, mean = weights @ y, weights @ features
  y, features = y - y_mean, features - mean
  scale = np.sqrt(weights @ features**2)
  scale = np.where(scale > 0.0, scale, 1.0)
  features = features / scale
  values, vectors = np.linalg.eigh((features.T * weights) @ features)
  cross = (y.T * weights) @ features @ vectors
  is_rounding = values <= _ROUNDING * max(values.max(initial=0.0), 1.0)
  for ridge in ridges:
    inverse = np.where(is_rounding, 0.0, 1.0 / (
        np.where(is_rounding, 1.0, values) + ridge
    ))
    matrix = (cross * inverse) @ vectors.T / scale
    yield matrix, y_mean - matrix @ mean
