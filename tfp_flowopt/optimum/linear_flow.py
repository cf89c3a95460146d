"""What the best linear flow reaches, and its density of other data."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum import spectrum

__all__ = ['LikelihoodOptimum', 'LinearFlow', 'bits_per_dim', 'standard_error']


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


class LinearFlow:
  """The linear flow at the optimum for some data.

  ```none
  log p(x) = log|det A*| - |A* (x - b*)|^2 / 2 - D/2 log(2 pi)
  ```

  Its mean over the data that it was fitted to is their optimum `L*`; over
  held-out data it says what the best linear flow really reaches there.

  ```python
  moments = fo.AutoCorrelation('circulant', (64, 64, 3))
  moments.update(train_images)
  flow = moments.linear_flow(noise_variance=1 / (12 * 256**2))
  values = flow.log_prob(test_images)             # [N], nats
  tf.reduce_mean(values), fo.optimum.standard_error(values)
  ```

  Attributes:
    log_det: `log|det A*|`, a float64 scalar, in nats per event.
  """

  def __init__(self, structure, moments, event_shape, constraint):
    """Creates the flow; `AutoCorrelation.linear_flow` is the way to it.

    Args:
      structure: `Structure` that has a flow.
      moments: `SummedMoments` of the data.
      event_shape: `TensorShape` of an event.
      constraint: `Constraint` without a rank.
    """
    if not structure.has_flow:
      raise ValueError(
          f'Structure "{structure.name}" has a matrix for each image, and no '
          'flow for other images.'
      )
    self._structure = structure
    self._moments = moments = structure.pooled(moments)
    self._event_shape = event_shape
    self.log_det = structure.optimum_of_stream(
        moments, event_shape.as_list(), constraint, tf.float64
    ).log_det
    noise = self._noise = constraint.checked_noise()
    # A^T A, block by block.
    if constraint.is_free(None):
      self._precision = moments.inverse(noise)
      return
    eigenvalues, eigenvectors = tf.linalg.eigh(moments.blocks())
    log_scales = spectrum.optimal_log_scales(
        tf.maximum(eigenvalues, 0.0) + noise, lipschitz=constraint.lipschitz
    )
    self._precision = tf.linalg.matmul(
        eigenvectors * tf.exp(2.0 * log_scales)[..., tf.newaxis, :],
        eigenvectors,
        transpose_b=True,
    )

  def log_prob(self, x):
    """Log-likelihood of each event, the mean over the noise not drawn yet.

    Args:
      x: float32 or float64 `Tensor`, `[N, D]` for `'dense'`, else
        `[N, H, W, C]`; else a `ValueError`, and empty or not finite an
        `InvalidArgumentError`.

    Returns:
      float64 `Tensor` `[N]`, nats per event.
    """
    x = self._structure.checked(x, self._event_shape)
    vectors = self._structure.vectors(x)
    count = self._structure.num_vectors(tf.unstack(tf.shape(x)))
    squares = self._moments.squares(vectors, self._precision)
    # Independent noise adds tr(A^T A) times its variance to E|z|^2.
    squares += self._noise * self._moments.summed(
        tf.linalg.trace(self._precision)
    )
    # The positions of an image together.
    squares = tf.reduce_sum(tf.reshape(squares, [-1, count]), axis=-1)
    size = tf.cast(tf.size(x[0]), tf.float64)
    return self.log_det - 0.5 * (squares + size * math.log(2.0 * math.pi))


def standard_error(log_prob):
  """Standard error of a mean log-likelihood.

  Of `LinearFlow.log_prob` of the data that the flow was fitted to, it is the
  standard error of the optimum `L*`, which is stationary in the flow. Right for
  any distribution; it says nothing of the bias (`bias_correction`).

  Args:
    log_prob: Floating-point `Tensor` `[N]` of independent events, `N > 1`.

  Returns:
    Scalar `Tensor`: standard deviation (`N - 1`) over `sqrt(N)`.
  """
  log_prob = arguments.check_tensor('log_prob', log_prob)
  count = tf.cast(tf.size(log_prob), log_prob.dtype)
  variance = tf.math.reduce_variance(log_prob)
  return tf.sqrt(variance / (count - 1.0))


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
