"""The true norms of convolutions, in float64 numpy, by no library code.

Three independent ways: the supremum over all frequencies of the spectral norm
of the symbol, which is the norm for images without end; the operator on an
image of some size as a dense matrix, by its singular values; and the same by
Lanczos' method, for larger images.
"""

import math

import numpy as np

__all__ = ['operator_norm', 'symbol_supremum']

# Symbols with more channels on the thinner side go to Lanczos' method.
_DENSE = 32


def symbol_supremum(kernel, grid_factor=8, num_peaks=3):
  """The supremum over frequencies of the norm of the symbol.

  Takes the norms on a grid, then climbs from its highest peaks with Newton
  steps on shrinking 3 x 3 stencils.

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
  correction = math.prod(
      1 / math.cos((k - 1) * math.pi / (2 * n))
      for k, n in zip(kernel.shape[:2], sizes, strict=True)
  )
  upper = best * correction
  free = np.array([k > 1 for k in kernel.shape[:2]])
  for i in np.argsort(values)[: -1 - num_peaks : -1]:
    best = max(best, _climb(kernel, np.array([wy[i], wx[i]]), sizes, free))
  return scale * best, scale * upper


def _climb(kernel, w, sizes, free, num_steps=5):
  """The largest norm that Newton steps from `w` find."""
  step = np.pi / np.array(sizes)
  offsets = np.array([(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)])
  best = 0.0
  for _ in range(num_steps):
    points = w + offsets * step * free
    values = _norms(kernel, points[:, 0], points[:, 1])
    best = max(best, values.max())
    v = values.reshape(3, 3)
    slope = np.array([v[2, 1] - v[0, 1], v[1, 2] - v[1, 0]]) / 2
    mixed = (v[2, 2] - v[2, 0] - v[0, 2] + v[0, 0]) / 4
    hessian = np.array([
        [v[2, 1] - 2 * v[1, 1] + v[0, 1], mixed],
        [mixed, v[1, 2] - 2 * v[1, 1] + v[1, 0]],
    ])
    hessian[~free, ~free] = -1.0
    if np.linalg.eigvalsh(hessian)[-1] < 0:
      move = np.clip(-np.linalg.solve(hessian, slope), -1, 1)
    else:
      move = offsets[values.argmax()]
    w = w + move * step * free
    step = step / 4
  return max(best, _norms(kernel, w[:1], w[1:])[0])


def _norms(kernel, wy, wx, chunk_entries=2**24):
  """Spectral norms of the symbol at some frequencies."""
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
    norms.append(
        np.linalg.norm(symbols, ord=2, axis=(1, 2))
        if thin <= _DENSE
        else _largest_norms(symbols)
    )
  return np.concatenate(norms)


def _largest_norms(matrices, rough_steps=16, num_steps=48, margin=0.005):
  """Largest singular values; those far below the largest only roughly.

  Args:
    matrices: `[n, rows, columns]`.
    rough_steps: Number of Lanczos steps for all.
    num_steps: Number of steps for those that come within `margin`, relative, of
      the largest value after the rough ones.
    margin: More than what rough values may lack.

  Returns:
    `[n]`.
  """

  def norms(matrices, num_steps):
    shape = matrices.shape[:2]
    rng = np.random.default_rng(0)
    return _lanczos(
        lambda v: (v[:, np.newaxis].conj() @ matrices)[:, 0].conj(),
        lambda u: (matrices @ u[..., np.newaxis])[..., 0],
        rng.normal(size=shape) + 1j * rng.normal(size=shape),
        num_steps,
    )

  values = norms(matrices, rough_steps)
  for i in np.flatnonzero(values > (1 - margin) * values.max()):
    values[i] = norms(matrices[i : i + 1], num_steps)[0]
  return values


def _lanczos(apply, adjoint, start, num_steps):
  """Largest singular values of operators, from below.

  Lanczos' method on `A^* A`, with full reorthogonalisation.

  Args:
    apply: `A`, maps `[n, size]` to `[n, another size]`.
    adjoint: Its adjoint.
    start: Vectors `[n, size]` to start from.
    num_steps: Number of steps.

  Returns:
    `[n]`.
  """

  def length(v):
    return np.linalg.norm(v, axis=1, keepdims=True)

  v, largest = start, length(start)
  basis, images = [], []
  for _ in range(min(num_steps, start.shape[1])):
    # What is left of rounding alone is no direction: the space is exhausted.
    keep = length(v) > 1e-10 * largest
    v = np.where(keep, v / np.where(keep, length(v), 1.0), 0.0)
    basis.append(v)
    images.append(apply(v))
    v = adjoint(images[-1])
    largest = np.maximum(length(v), largest if len(basis) > 1 else 0.0)
    done = np.stack(basis, axis=1)
    for _ in range(2):
      overlap = done.conj() @ v[..., np.newaxis]
      v = v - (done.transpose(0, 2, 1) @ overlap)[..., 0]
  # The largest singular value on the space: from below, whatever rounding did.
  return np.linalg.norm(np.stack(images, axis=1), ord=2, axis=(1, 2))


def operator_norm(kernel, height, width, padding, largest_dense=150):
  """The norm of a stride-1 convolution of images of one size.

  Exactly, by the singular values of the dense matrix, if its thinner side is
  small enough; else by 40 steps of Lanczos' method, from below: where singular
  values cluster it may lack some hundredths of a percent.

  Args:
    kernel: `[kh, kw, in, out]`.
    height: Of the images.
    width: Of the images.
    padding: `'SAME'` (zeros), `'VALID'` or `'CIRCULAR'`; the last one for
      images of any size, also smaller than the kernel.
    largest_dense: Largest thinner side of a dense matrix.

  Returns:
    Python `float`.
  """
  kernel = np.asarray(kernel, np.float64)
  convolve, transposed, shape = _operator(kernel, height, width, padding)
  size = height * width * kernel.shape[2]
  if min(size, math.prod(shape)) <= largest_dense and size <= 8 * largest_dense:
    basis = np.eye(size).reshape(size, height, width, -1)
    matrix = convolve(basis).reshape(size, -1)
    return float(np.linalg.norm(matrix, ord=2))
  norms = _lanczos(
      lambda v: convolve(v.reshape(1, height, width, -1)).reshape(1, -1),
      lambda u: transposed(u.reshape(1, *shape)).reshape(1, -1),
      np.random.default_rng(0).normal(size=(1, size)),
      num_steps=40,
  )
  return float(norms[0])


def _operator(kernel, height, width, padding):
  """The convolution, its transpose, and the shape of an output."""
  kh, kw, _, _ = kernel.shape
  pads = [
      (0, 0) if padding == 'VALID' else ((k - 1) // 2, k // 2)
      for k in (kh, kw)
  ]
  padded = [n + sum(pad) for n, pad in zip((height, width), pads, strict=True)]
  # Where each padded row and column comes from; zeros have no source.
  source = [
      np.arange(-pad[0], n + pad[1])
      for n, pad in zip((height, width), pads, strict=True)
  ]
  out = padded[0] - kh + 1, padded[1] - kw + 1
  taps = [(p, q) for p in range(kh) for q in range(kw)]

  def pad(x):
    if padding == 'CIRCULAR':
      return x[:, source[0] % height][:, :, source[1] % width]
    return np.pad(x, [(0, 0), *pads, (0, 0)])

  def unpad(x):
    """The transpose of `pad`."""
    if padding != 'CIRCULAR':
      (top, _), (left, _) = pads
      return x[:, top : top + height, left : left + width]
    rows = np.zeros((len(x), height, *x.shape[2:]))
    np.add.at(rows, (slice(None), source[0] % height), x)
    result = np.zeros((len(x), height, width, x.shape[-1]))
    np.add.at(
        result, (slice(None), slice(None), source[1] % width), rows
    )
    return result

  def convolve(x):
    x = pad(x)
    return sum(
        x[:, p : p + out[0], q : q + out[1]] @ kernel[p, q] for p, q in taps
    )

  def transposed(y):
    x = np.zeros((len(y), *padded, kernel.shape[2]))
    for p, q in taps:
      x[:, p : p + out[0], q : q + out[1]] += y @ kernel[p, q].T
    return unpad(x)

  return convolve, transposed, (*out, kernel.shape[3])
