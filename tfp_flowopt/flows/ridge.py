"""Ridge regression from second moments."""

import numpy as np

__all__ = ['RIDGES', 'ridge_matrices']

# What is tried.
RIDGES = np.array([
    *[0.0, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, np.inf],
])
# Variance of standardised features that is rounding errors.
_ROUNDING = 1e-12


def ridge_matrices(gram, cross, ridges):
  """For each ridge `r` the matrix `R_yc (R_cc + r I)^-1`, `[D, F]`.

  Of features `c` that are standardised (Hoerl & Kennard 1970); the matrix is
  one of the features as they are.

  Args:
    gram: Covariance of the features, `[F, F]`.
    cross: Covariance with vectors, `[D, F]`.
    ridges: Iterable of numbers, which may be infinite.
  """
  scale = np.sqrt(np.diag(gram))
  scale = np.where(scale > 0.0, scale, 1.0)
  values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
  cross = (cross / scale) @ vectors
  is_rounding = values <= _ROUNDING * max(values.max(initial=0.0), 1.0)
  values = np.where(is_rounding, 1.0, values)
  for ridge in ridges:
    inverse = np.where(is_rounding, 0.0, 1.0 / (values + ridge))
    yield (cross * inverse) @ vectors.T / scale
