"""The training images that samples are closest to."""

import numpy as np

from tfp_flowopt.diagnostics import sample_distances

__all__ = ['nearest']

_BATCH = 1024


def nearest(x, train):
  """For each of `x` `[N, D]` the closest of `train` `[M, D]`.

  Returns:
    Distances `[N]`, Euclidean, and indices `[N]`.
  """
  best = np.full([len(x)], np.inf)
  index = np.zeros([len(x)], int)
  for start in range(0, len(train), _BATCH):
    # Of a large set, in float64 a part at a time.
    part = train[start : start + _BATCH].astype(np.float64)
    squares = sample_distances.squared_distances(x, part)
    closest = np.argmin(squares, axis=1)
    values = squares[np.arange(len(x)), closest]
    closer = values < best
    best[closer] = values[closer]
    index[closer] = start + closest[closer]
  # Exactly: differences of squares leave copies a distance.
  return np.linalg.norm(x - train[index], axis=1), index
