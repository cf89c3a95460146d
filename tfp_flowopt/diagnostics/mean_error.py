"""Standard error of a mean over images."""

import math

import numpy as np
import tensorflow_probability as tfp

__all__ = ['FEW_IMAGES', 'error_margin', 'error_of_mean', 'standard_error']

# With fewer independent images, the error itself is not known well.
FEW_IMAGES = 20
# Chance that a normal variable lies three standard deviations off.
_CHANCE = 0.0027


def error_of_mean(squares, num, num_independent):
  """Standard error of a mean of values that are not all independent.

  ```none
  error^2 = S / N * n / (n - 1) / n
  ```

  with `S` the sum of squared deviations of `N` values from `n` independent
  images. It is the usual one for `n = N`, exact if values of one image are
  equal, and too large, if anything, in between. NaN for a single image.
  """
  if num_independent < 2:
    return math.nan
  return math.sqrt(squares / num / (num_independent - 1))


def standard_error(values, num_independent):
  """Standard error of the mean of an array; see `error_of_mean`."""
  # Infinite likelihoods have no error, and need no warning.
  with np.errstate(invalid='ignore'):
    squares = np.sum((values - np.mean(values)) ** 2)
  return error_of_mean(squares, len(values), num_independent)


def error_margin(error, num_independent):
  """How far off a mean may be, but for a chance of 0.27 %.

  Three standard errors of many independent images; more of few ones, whose
  error is hardly known itself (Student's t): 4.1 of ten, 19 of three. NaN for
  a single image.
  """
  degrees = num_independent - 1.0
  if degrees < 1.0:
    return math.nan
  # P(|T| > t) = I_x(d / 2, 1 / 2) with x = d / (d + t^2).
  x = tfp.math.betaincinv(*np.float64([degrees / 2.0, 0.5, _CHANCE]))
  return error * math.sqrt(degrees * (1.0 / float(x) - 1.0))
