"""Hidden units in pairs whose sum is linear, whatever their kinks are."""

import math

import numpy as np

__all__ = ['opposite_units']

# How steep units are, and how far their kinks are from 0, for vectors whose
# components are about 1.
_STEEPNESS = 4.0
_SPREAD = 1.0


def opposite_units(shape, smallest, largest, seed):
  """Weights of units, half of them the opposites of the others.

  The slopes of a pair sum to 1, `sigmoid(z) + sigmoid(-z) = 1`, so that

  ```none
  m I + (M - m) A diag(sigmoid(k A^T y + b)) A^T
      = m I + (M - m) A A^T / 2 = I   for any y
  ```

  Returns `A` of `shape` `[D, units]`, the number `k` and `b` `[units]`. Raises
  a `ValueError` where there is no such `A` of norm 1.
  """
  size, units = shape[-2:]
  if len(shape) != 2 or units % 2 or units < 2 * size:
    raise ValueError(
        'Argument `layer` must be dense, with an even number of units, two for '
        f'each component at least, got a kernel of shape {shape}.'
    )
  scale = 2.0 * (1.0 - smallest) / (largest - smallest)
  if not 0.0 < scale <= 1.0:
    raise ValueError(
        'Arguments `smallest` and `largest` must be below and above 1, with a '
        f'mean of at least 1, got {smallest} and {largest}.'
    )
  rng = np.random.default_rng(seed)
  # Orthonormal rows.
  directions = np.linalg.qr(rng.normal(size=[units // 2, size]))[0].T
  directions *= math.sqrt(0.5 * scale)
  gain = _STEEPNESS * math.sqrt(units / (size * scale))
  kinks = _STEEPNESS * _SPREAD * rng.normal(size=units // 2)
  return (
      np.concatenate([directions, -directions], axis=1),
      gain,
      np.concatenate([kinks, -kinks]),
  )
