"""What the best linear flow reaches, and the unit of it."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.internal import arguments

__all__ = ['LikelihoodOptimum', 'bits_per_dim']


class LikelihoodOptimum(NamedTuple):
  """What the best linear flow of a structure reaches.

  Attributes:
    log_likelihood: `[B...]`, the mean log-likelihood at the optimum, in nats
      per event (an image: all its positions together).
    log_det: `[B...]`, log|det A| of the optimal normalising map, in nats per
      event.
    eigenvalues: `[B..., D]` float64, those of the auto-correlation matrix
      (noise floor included), descending; for `'circulant'` `[H W C]`, those of
      all frequencies. They are right to rounding of the largest one at least;
      log_* of the free optimum do not need them.
  """

  log_likelihood: tf.Tensor
  log_det: tf.Tensor
  eigenvalues: tf.Tensor


def bits_per_dim(log_likelihood, event_size, bits=8):
  """Converts a log-likelihood in nats per event to bits per dimension.

  That of `bits`-bit data scaled by `2**-bits`, so that one quantisation bin has
  the width `2**-bits` (shifts do not matter):

  ```none
  bits_per_dim = -log_likelihood / (event_size ln 2) + bits
  ```

  Args:
    log_likelihood: Floating-point `Tensor` or number, of any shape.
    event_size: Number of dimensions of an event, `H * W * C` for an image.
    bits: Number of bits of the data before scaling; `0` for data that were
      never quantised.

  Returns:
    Bits per dimension, of the shape and type of `log_likelihood`.

  Raises:
    ValueError: If `event_size` is not positive or `bits` is negative.
  """
  event_size = arguments.check_positive('event_size', event_size)
  bits = arguments.check_number(
      'bits', bits, lambda v: 0 <= v < math.inf, 'finite and not negative'
  )
  return -log_likelihood / (event_size * math.log(2.0)) + bits
