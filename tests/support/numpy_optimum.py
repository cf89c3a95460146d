"""The optimum of linear flows, computed independently in float64 numpy."""

import numpy as np


def optimum(x, centered=True, rank=None, lipschitz=None, noise_variance=0.0):
  """Theory sections 2-4 for one [N, D] matrix, from the optimal map itself.

  Builds A and evaluates the Gaussian log-density of each data point, so that
  no step is shared with the implementation's eigenvalue formula.
  """
  x = np.asarray(x, np.float64)
  n, d = x.shape
  b = x.mean(0) if centered else np.zeros(d)
  r = (x - b).T @ (x - b) / n + noise_variance * np.eye(d)
  u, values, _ = np.linalg.svd(r)
  if rank is not None and rank < d:
    values[rank:] = values[rank:].mean()
  s = values**-0.5
  if lipschitz is not None:
    s = np.minimum(np.maximum(s, lipschitz[0]), lipschitz[1])
  a = np.diag(s) @ u.T
  _, log_det = np.linalg.slogdet(a)
  z = (x - b) @ a.T
  # The noise is independent of x: it adds tr(A A^T) v to E|z|^2.
  square = (z**2).sum(1).mean() + noise_variance * np.trace(a @ a.T)
  log_likelihood = log_det - 0.5 * square - 0.5 * d * np.log(2 * np.pi)
  return log_likelihood, log_det


def blocks(x, k):
  """[N, H, W, C] to [N, H W / k^2, k^2 C], by loops."""
  n, h, w, _ = x.shape
  rows = [
      x[:, i : i + k, j : j + k].reshape(n, -1)
      for i in range(0, h, k)
      for j in range(0, w, k)
  ]
  return np.stack(rows, axis=1)


def shifted(x):
  """[N, H, W, C] in all circular shifts, flat: [N H W, H W C].

  The optimum of dense maps for it is that of block-circulant matrices for x:
  its covariance is their projection, and no Fourier transform is in it.
  """
  n, h, w, _ = x.shape
  return np.concatenate([
      np.roll(x, (i, j), axis=(1, 2)).reshape(n, -1)
      for i in range(h)
      for j in range(w)
  ])
