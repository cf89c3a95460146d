"""Convolutions as matrices, and kernels to try."""

import numpy as np
import tensorflow as tf


def operator(kernel, size, padding):
  """The convolution as a matrix, by applying it to each basis image."""
  kh, kw, channels, _ = kernel.shape
  basis = tf.reshape(
      tf.eye(size * size * channels, dtype=kernel.dtype),
      [-1, size, size, channels],
  )
  if padding == 'CIRCULAR':
    rows = np.arange(-(kh // 2), size + kh - 1 - kh // 2) % size
    columns = np.arange(-(kw // 2), size + kw - 1 - kw // 2) % size
    basis = tf.gather(tf.gather(basis, rows, axis=1), columns, axis=2)
    padding = 'VALID'
  y = tf.nn.conv2d(basis, kernel, strides=1, padding=padding)
  return tf.reshape(y, [y.shape[0], -1]).numpy()


KERNELS = {
    'random': lambda rng, s: rng.normal(size=s),
    'small': lambda rng, s: 1e-3 * rng.normal(size=s),
    'positive': lambda rng, s: rng.uniform(size=s),
    'rank one': lambda rng, s: np.einsum(
        'a,b,c,d->abcd', *(rng.normal(size=n) for n in s)
    ),
    'power law': lambda rng, s: rng.normal(size=s)
    * np.arange(1, s[-1] + 1) ** -1.5,
    'one tap': lambda rng, s: np.eye(s[2], s[3])
    * (np.arange(s[0] * s[1]) == 1).reshape(s[0], s[1], 1, 1),
    'equal taps': lambda rng, s: np.ones(s),
    'zero': lambda rng, s: np.zeros(s),
}


def largest_symbol_norm(kernel, num_frequencies=256):
  """The spectral norm of the symbol, the largest on a fine grid."""
  kh, kw, _, _ = kernel.shape
  angles = 2 * np.pi * np.arange(num_frequencies) / num_frequencies
  ey = np.exp(-1j * np.outer(angles if kh > 1 else [0.0], np.arange(kh)))
  ex = np.exp(-1j * np.outer(angles if kw > 1 else [0.0], np.arange(kw)))
  symbols = np.einsum('ap,bq,pqio->abio', ey, ex, kernel, optimize=True)
  return np.linalg.norm(symbols, ord=2, axis=(2, 3)).max()
