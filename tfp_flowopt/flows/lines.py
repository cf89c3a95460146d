"""Lines that standardise."""

import numpy as np

__all__ = ['standard_line']

# Least standard deviation of what varies, of its mean.
_LEAST = 1e-6


def standard_line(mean, deviation, num_knots):
  """Knots `[F, num_knots]` of lines, inputs and outputs.

  To mean 0 and variance 1, from means and standard deviations `[F]`; what does
  not vary is left alone.
  """
  scale = np.where(deviation > _LEAST * np.abs(mean), deviation, 1.0)
  outputs = np.tile(np.linspace(-1.0, 1.0, num_knots), [len(mean), 1])
  return mean[:, np.newaxis] + scale[:, np.newaxis] * outputs, outputs
