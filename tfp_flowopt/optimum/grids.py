"""Choices from a grid, by the likelihood of what was held out."""

import numpy as np

__all__ = ['first_of_best']

# Nats of all held-out events together that are none.
_NO_GAIN = 1.0


def first_of_best(grid, value):
  """The first of a grid whose `value`, in nats, is the best but for no gain."""
  values = np.array([value(x) for x in grid])
  return grid[int(np.argmax(values >= values.max() - _NO_GAIN))]
