"""The true norms of convolutions, in float64 NumPy, by no library code.

Two independent ways: the supremum over all frequencies of the spectral norm of
the symbol, which is the norm for images without end; and the operator on images
of some size, as a sparse matrix.
"""

import math

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

__all__ = ['operator_norm', 'symbol_supremum']

# Around a frequency and half a step of the grid away.
_STENCIL = np.array([(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)])


def symbol_supremum(kernel, grid_factor=8, num_peaks=3):
  """The supremum over frequencies of the norm of the symbol.

  Takes the norms on a grid, then climbs from its highest peaks.

  Args:
    kernel: `[kh, kw, in, out]`, any floating-point type.
    grid_factor: Frequencies for each degree, `N = grid_factor (k - 1)` on each
      axis.
    num_peaks: Number of peaks to climb from.

  Returns:
    The norm found, a value that is attained; and an upper limit that follows
    from the grid: `u^* K(w) v` is a trigonometric polynomial of degree `k - 1`,
    at most `1 / cos((k - 1) pi / (2 N))` times its maximum on the grid, for
    each axis.
  """
  kernel = np.asarray(kernel, np.float64)
  if kernel.shape[2] > kernel.shape[3]:
    kernel = kernel.transpose(0, 1, 3, 2)
  scale = np.abs(kernel).max()
  if scale == 0:
    return 0.0, 0.0
  kernel = kernel / scale
  sizes = [max(1, grid_factor * (k - 1)) for k in kernel.shape[:2]]
  # Frequencies w and -w have the same norm.
  wy, wx = np.meshgrid(
      2 * np.pi * np.arange(sizes[0]) / sizes[0],
      2 * np.pi * np.arange(sizes[1] // 2 + 1) / sizes[1],
      indexing='ij',
  )
  wy, wx = wy.ravel(), wx.ravel()
  values = _norms(kernel, wy, wx)
  best = values.max()
  upper = best * math.prod(
      1 / math.cos((k - 1) * math.pi / (2 * n))
      for k, n in zip(kernel.shape[:2], sizes, strict=True)
  )
  for i in np.argsort(values)[: -1 - num_peaks : -1]:
    w, step = np.array([wy[i], wx[i]]), np.pi / np.array(sizes)
    # Until the maximum is known to 1e-8 or better.
    for _ in range(13):
      points = w + step * _STENCIL
      around = _norms(kernel, *points.T)
      w, step = points[around.argmax()], step / 2
    best = max(best, around.max())
  return scale * best, scale * upper


def _norms(kernel, wy, wx, chunk_entries=2**24):
  """Spectral norms of the symbol at some frequencies.

  By the Gram matrices of the thinner side: their largest eigenvalues are exact.
  """
  kh, kw, thin, wide = kernel.shape
  chunk = max(1, chunk_entries // (thin * wide))
  norms = []
  for i in range(0, len(wy), chunk):
    phases = np.exp(
        -1j
        * (
            wy[i : i + chunk, None, None] * np.arange(kh)[:, None]
            + wx[i : i + chunk, None, None] * np.arange(kw)
        )
    )
    symbols = phases.reshape(-1, kh * kw) @ kernel.reshape(kh * kw, -1)
    symbols = symbols.reshape(-1, thin, wide)
    gram = symbols @ symbols.conj().transpose(0, 2, 1)
    norms.append(np.sqrt(np.linalg.eigvalsh(gram)[:, -1]))
  return np.concatenate(norms)


def operator_norm(kernel, height, width, padding, largest_dense=150):
  """The norm of a stride-1 convolution of images of one size.

  By the singular values of the dense matrix if its thinner side is at most
  `largest_dense`, else by Lanczos' method. `padding` is `'SAME'` (zeros),
  `'VALID'` or `'CIRCULAR'`, the last one also for images that are smaller than
  the kernel.
  """
  kh, kw, _, _ = kernel.shape
  matrix = sum(
      sparse.kron(
          sparse.kron(
              _shift(height, p, kh, padding), _shift(width, q, kw, padding)
          ),
          np.asarray(kernel[p, q].T, np.float64),
          'csr',
      )
      for p in range(kh)
      for q in range(kw)
  )
  sides = sorted(matrix.shape)
  if sides[0] <= largest_dense and sides[1] <= 8 * largest_dense:
    return float(np.linalg.norm(matrix.toarray(), ord=2))
  start = np.random.default_rng(0).normal(size=sides[0])
  (norm,) = linalg.svds(matrix, 1, v0=start, return_singular_vectors=False)
  return float(norm)


def _shift(size, tap, kernel_size, padding):
  """Where a tap of a kernel takes what comes out, on one axis: `[out, in]`."""
  offset = tap if padding == 'VALID' else tap - (kernel_size - 1) // 2
  if padding == 'CIRCULAR':
    return np.roll(np.eye(size), offset, axis=1)
  rows = size - kernel_size + 1 if padding == 'VALID' else size
  return np.eye(rows, size, offset)
