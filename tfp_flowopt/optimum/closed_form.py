"""Optimum of the likelihood of linear flows, from second moments."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum import spectrum

__all__ = ['LikelihoodOptimum', 'bits_per_dim', 'optimum_of_moments']


class LikelihoodOptimum(NamedTuple):
  """What the best linear flow of a structure reaches.

  Attributes:
    log_likelihood: `[B...]`, the mean log-likelihood at the optimum, in nats
      per event (an image: all its positions together).
    log_det: `[B...]`, log|det A| of the optimal normalising map, in nats per
      event.
    eigenvalues: `[B..., D]`, the eigenvalues of the auto-correlation matrix
      (noise floor included), in descending order; for `'circulant'`
      `[H W C]`, those of all frequencies. Always float64: squares of float32
      data need not fit into float32. They are right to rounding of the
      largest one at least; log_* of the free optimum do not need them.
  """

  log_likelihood: tf.Tensor
  log_det: tf.Tensor
  eigenvalues: tf.Tensor


def optimum_of_moments(moments, num_vectors, constraint, dtype):
  """The `LikelihoodOptimum` of `Moments` under a `Constraint`.

  `num_vectors` of them make an event, an integer or a scalar `Tensor`; `dtype`
  is the type of log_*. A `ValueError` if the constraint does not suit the
  dimension, an `InvalidArgumentError` if the optimum is infinite.
  """
  # Before eigenvalues, which take long.
  checks = constraint.enough_vectors(
      *moments.fewest_vectors(), moments.centered
  )
  values = moments.spectrum()
  dimension = values.eigenvalues.shape[-1]
  rank = constraint.free_rank(dimension)
  noise = constraint.checked_noise()
  if constraint.bias_correction:
    constraint.check_correctable(dimension)
  eigenvalues, regular = constraint.well_posed(values, moments, noise)
  with tf.control_dependencies([*checks, *regular]):
    if constraint.is_free(dimension):
      log_det = -0.5 * moments.log_det(noise)
      if constraint.bias_correction:
        log_det += 0.5 * moments.log_det_bias()
      size = tf.cast(tf.shape(eigenvalues)[-1], tf.float64)
      log_likelihood = log_det - 0.5 * size * math.log(2.0 * math.pi * math.e)
    else:
      log_likelihood, log_det = spectrum.spectral_optimum(
          tf.identity(eigenvalues), rank=rank, lipschitz=constraint.lipschitz
      )
    eigenvalues = tf.identity(eigenvalues)
  num_vectors = tf.cast(num_vectors, tf.float64)
  return LikelihoodOptimum(
      tf.cast(num_vectors * log_likelihood, dtype),
      tf.cast(num_vectors * log_det, dtype),
      eigenvalues,
  )


def bits_per_dim(log_likelihood, event_size, bits=8):
  """Converts a log-likelihood in nats per event to bits per dimension.

  The log-likelihood is that of `bits`-bit data scaled by `2**-bits`, so that
  one quantisation bin has the width `2**-bits` (shifts do not matter):

  ```none
  bits_per_dim = -log_likelihood / (event_size ln 2) + bits
  ```

  Args:
    log_likelihood: Floating-point `Tensor` or number, nats per event, any
      shape.
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
