"""The linear map of each class that follows a common whitening."""

from typing import NamedTuple

import numpy as np

from tfp_flowopt.flows import whitening
from tfp_flowopt.optimum import class_shares

__all__ = ['ClassMaps', 'class_maps', 'rows_by_class', 'shares_of_common']

# Of the tenths of a class, those that are held out: of a normal distribution
# they have the mean and nearly the variance of all.
_TENTHS = (1, 8)
# Products with the covariance that find a direction of large variance.
_PRODUCTS = 10
# Of a variance that is 1 with the held-out vectors.
_LEAST = 1e-6


class ClassMaps(NamedTuple):
  """`A_k u` of the whitened `u` of class `k`.

  Attributes:
    matrices: Symmetric, `[K, D, D]` float64.
    log_dets: Their log-determinants, `[K]`.
  """

  matrices: np.ndarray
  log_dets: np.ndarray

  def __call__(self, latents, by_class):
    """The `A_k u` of `[N, D]`, and the mean log-determinant."""
    result, total = latents.copy(), 0.0
    for matrix, log_det, parts in zip(*self, by_class, strict=True):
      for rows in parts:
        result[rows] = latents[rows] @ matrix
        total += len(rows) * log_det
    return result, total / len(latents)


def rows_by_class(y, labels, num_classes):
  """For each class its rows of `y` `[N, D]`: two arrays, the second held out.

  Vectors that are next to each other in a direction of large variance are on
  one side: several may be the same example with other noise, in any order.
  """
  y = y - y.mean(axis=0)
  direction = y[np.argmax(np.abs(y).max(axis=1))]
  for _ in range(_PRODUCTS):
    direction = y.T @ (y @ direction)
    direction /= max(np.linalg.norm(direction), np.finfo(y.dtype).tiny)
  order = np.argsort(y @ direction, kind='stable')
  result = []
  for k in range(num_classes):
    rows = order[labels[order] == k]
    tenths = np.arange(len(rows)) * 10 // max(len(rows), 1)
    is_held_out = np.isin(tenths, _TENTHS)
    result.append((rows[~is_held_out], rows[is_held_out]))
  return result


def class_maps(latents, weights, by_class, shares, found, whitening_map):
  """`ClassMaps` that whiten `(1 - s_k) C_k + s_k I`, the shares being `s_k`.

  `C_k` is the covariance of the `latents` `[N, D]` of class `k`, with the
  weights `[N]`; `found` is the `WhiteningMap` that made them.
  """
  identity = np.eye(latents.shape[1])
  matrices = np.tile(identity, [len(shares), 1, 1])
  log_dets = np.zeros([len(shares)])
  for k in np.flatnonzero(shares < 1.0):
    own = _covariance(latents, weights, np.concatenate(by_class[k]), found)
    own = (1.0 - shares[k]) * own + shares[k] * identity
    best = whitening_map(
        whitening.moments_of(np.zeros(len(own)), own),
        found.noise,
    )
    basis = best.eigenvectors
    matrices[k] = (basis * best.scales) @ basis.T
    log_dets[k] = np.log(best.scales).sum()
  return ClassMaps(matrices, log_dets)


def shares_of_common(latents, weights, by_class, found):
  """The `s_k` `[K]` that held-out vectors are best off with."""
  counts = np.array([[len(rows) for rows in parts] for parts in by_class])
  share = counts[:, 0] / max(counts[:, 0].sum(), 1)
  # The common covariance is that of the others, too.
  common = sum(
      n * _covariance(latents, weights, parts[0], found)
      for n, parts in zip(share, by_class, strict=True)
  )
  values, basis = np.linalg.eigh(common)
  whiten = basis / np.sqrt(np.maximum(values, _LEAST))
  return class_shares.shares_of_common(
      *counts.T,
      (
          [
              whiten.T @ _covariance(latents, weights, rows, found) @ whiten
              for rows in parts
          ]
          for parts in by_class
      ),
  )


def _covariance(latents, weights, rows, found):
  """With variance 1 where scales are limited: no class undoes a limit."""
  x = latents[rows]
  filling = np.maximum(1.0 - found.scales**2 * found.eigenvalues, 0.0)
  x_weighted = x * weights[rows, np.newaxis]
  return x_weighted.T @ x / max(len(rows), 1) + np.diag(filling)
