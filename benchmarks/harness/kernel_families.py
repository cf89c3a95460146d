"""Kernels of convolutions to measure norms of."""

import numpy as np

__all__ = ['FAMILIES', 'make_kernel']


def _power_law(rng, shape):
  """A spectrum as training leaves it: singular values 1, 1/2, 1/3, ..."""
  matrix = rng.normal(size=shape).reshape(-1, shape[-1])
  u, s, v = np.linalg.svd(matrix, full_matrices=False)
  return ((u * (s[0] / np.arange(1, len(s) + 1))) @ v).reshape(shape)


def _rank_one(rng, shape):
  return np.einsum('a,b,c,d->abcd', *(rng.normal(size=n) for n in shape))


def _sparse(rng, shape):
  kernel = rng.normal(size=shape) * (rng.uniform(size=shape) < 0.1)
  # At least one entry.
  kernel[tuple(rng.integers(n) for n in shape)] = 1.0
  return kernel


def _low_pass(rng, shape):
  """A smooth bump in space for each pair of channels."""
  bumps = [
      np.exp(-np.linspace(-1.5, 1.5, n) ** 2) if n > 1 else np.ones(1)
      for n in shape[:2]
  ]
  return np.einsum('a,b,cd->abcd', *bumps, rng.uniform(0.1, 1, size=shape[2:]))


def _alternating(rng, shape):
  """Signs `+ - +`: on some images the circular norm is below the zero one."""
  signs = [(-1.0) ** np.arange(n) for n in shape[:2]]
  return np.einsum('a,b,cd->abcd', *signs, rng.normal(size=shape[2:]))


def _many_sizes(rng, shape):
  """Entries from 1e-4 to 1e4."""
  return rng.normal(size=shape) * 10.0 ** rng.uniform(-4, 4, size=shape)


FAMILIES = {
    'gaussian': lambda rng, shape: rng.normal(size=shape),
    'power law': _power_law,
    'rank one': _rank_one,
    'sparse': _sparse,
    'low-pass': _low_pass,
    'alternating': _alternating,
    'many sizes': _many_sizes,
}


def make_kernel(family, rng, shape):
  """A kernel `[kh, kw, in, out]` of a family, its largest entry 1.

  float64, but of float32 numbers, so that all types mean the same kernel.
  """
  kernel = FAMILIES[family](rng, shape)
  return (kernel / np.abs(kernel).max()).astype(np.float32).astype(np.float64)
