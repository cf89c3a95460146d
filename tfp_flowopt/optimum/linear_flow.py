"""LinearFlow: the optimum as a density of other data."""

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import conditional_shift
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.optimum import correlations
from tfp_flowopt.optimum import flow_bijector
from tfp_flowopt.optimum import spectrum

__all__ = ['LinearFlow', 'bits_per_dim', 'standard_error']

tfd = tfp.distributions
# Eigenvalues that differ by less, relatively, are copies of one.
_SAME = 1e-9


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

  def __init__(
      self,
      structure: Any,
      moments: Any,
      event_shape: tf.TensorShape,
      constraint: Any,
      condition: conditions.Condition | None = None,
  ) -> None:
    """Creates the flow; `AutoCorrelation.linear_flow` is the way to it.

    Args:
      structure: `Structure` that has a flow.
      moments: `Moments` of the data; those of residuals with a condition.
      event_shape: `TensorShape` of an event.
      constraint: `Constraint`.
      condition: `None`, or the `Condition` of the shift.
    """
    if not structure.has_flow:
      raise ValueError(
          f'Structure "{structure.name}" has a matrix for each image, and no '
          'flow for other images.'
      )
    self._structure = structure
    self._moments = moments = structure.pooled(moments).in_full()
    self._event_shape = event_shape
    self._condition = condition
    self.log_det = structure.optimum_of_stream(
        moments, event_shape.as_list(), constraint, tf.float64
    ).log_det
    noise = self._noise = constraint.checked_noise()
    self._basis = None
    # A^T A, block by block.
    if constraint.is_free(None):
      self._precision = moments.inverse(noise)
      return
    eigenvalues, eigenvectors = tf.linalg.eigh(moments.blocks())
    eigenvalues = tf.maximum(eigenvalues, 0.0) + noise
    log_scales = spectrum.optimal_log_scales(
        _tied(eigenvalues, moments, constraint), lipschitz=constraint.lipschitz
    )
    self._basis = eigenvectors, log_scales
    self._precision = self._power(2.0)

  def _power(self, power):
    """A power of the symmetric `A`, block by block."""
    eigenvectors, log_scales = self._basis
    return tf.linalg.matmul(
        eigenvectors * tf.exp(power * log_scales)[..., tf.newaxis, :],
        eigenvectors,
        transpose_b=True,
    )

  @property
  def shift_matrix(self) -> tf.Tensor | None:
    """`B` of `z = A (x - B c - b)`, `[D, F]`; `None` without a condition."""
    explained = self._moments.regression
    return None if explained is None else explained.matrix

  def distribution(
      self, dtype: types.DType = tf.float64
  ) -> types.TransformedDistribution:
    """The flow as a `tfd.Distribution` of events, to sample and compose.

    A `tfd.TransformedDistribution` of standard normal latents, of the shape of
    an event, whose bijector has certified constants, the singular values of the
    flow (`lipschitz_bounds`). `noise_variance` is part of it: it is the density
    of the data with their noise. (For `'circulant'` with a `rank` that parts
    equal eigenvalues it is below the optimum, which no convolution attains.)

    With a condition, each call is given one for each event or for all, as with
    `image_flow`, so that one distribution serves them all: `log_prob(x,
    bijector_kwargs={'conditioning': c})`, and `sample` likewise.

    Args:
      dtype: Type of its weights and events.

    Returns:
      `tfd.TransformedDistribution`, events of `event_shape`.

    Raises:
      ValueError: If `dtype` is not float32 or float64.
    """
    dtype = arguments.check_dtype('dtype', dtype, (tf.float32, tf.float64))
    moments = self._moments
    if self._basis is None:
      matrices = correlations.roots(moments.blocks(), self._noise)
      log_det = self.log_det
    else:
      matrices = self._power(1.0), self._power(-1.0)
      log_det = moments.summed(tf.reduce_sum(self._basis[1], axis=-1))
      log_det *= tf.cast(
          self._structure.num_vectors(self._event_shape.as_list()), tf.float64
      )
    shift = tf.cast(moments.mean, dtype)
    if self._condition is not None:
      num_classes = self._condition.num_classes
      matrix = tf.cast(self.shift_matrix, dtype)
      shift = conditional_shift.ConditionalShift(matrix, shift, num_classes)
    bijector = flow_bijector.LinearBijector(
        self._structure,
        moments,
        [tf.cast(matrix, dtype) for matrix in matrices],
        shift,
        tf.cast(log_det, dtype),
        self._event_shape,
    )
    normal = tfd.Normal(tf.zeros([], dtype), tf.ones([], dtype))
    return tfd.TransformedDistribution(
        tfd.Sample(normal, self._event_shape), bijector
    )

  def log_prob(
      self, x: types.TensorLike, conditioning: types.TensorLike | None = None
  ) -> tf.Tensor:
    """Log-likelihood of each event, the mean over the noise not drawn yet.

    Args:
      x: float32 or float64 `Tensor`, `[N, D]` for `'dense'`, else
        `[N, H, W, C]`; else a `ValueError`, and empty or not finite an
        `InvalidArgumentError`.
      conditioning: Labels or vectors of the events, as in the data that it was
        fitted to; `None` if there were none.

    Returns:
      float64 `Tensor` `[N]`, nats per event.
    """
    x = self._structure.checked(x, self._event_shape)
    vectors = tf.cast(self._structure.vectors(x), tf.float64)
    if self._condition is not None:
      features = self._structure.features(self._condition, conditioning, x)
      vectors -= tf.linalg.matmul(
          features, self.shift_matrix, transpose_b=True
      )
    elif conditioning is not None:
      raise ValueError('Argument `conditioning`: the flow was made without it.')
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


def _tied(eigenvalues, moments, constraint):
  """Eigenvalues of blocks, those beyond the rank by their mean."""
  pooled = moments.pooled(eigenvalues)
  rank = constraint.free_rank(pooled.shape[-1])
  if rank is None:
    return eigenvalues
  if pooled.shape == eigenvalues.shape:
    # Of equal ones the first are free.
    order = tf.argsort(pooled, direction='DESCENDING', stable=True)
    is_free = tf.argsort(order) < rank
    mean = tf.reduce_mean(tf.gather(pooled, order[rank:]))
    return tf.where(is_free, eigenvalues, mean)
  # Copies of one eigenvalue belong together, or the map would be none of real
  # images: where the rank parts them, all are tied.
  values = tf.sort(pooled, direction='DESCENDING')
  least = 0.5 * (values[rank - 1] + values[rank]) + _SAME * values[rank - 1]
  tied = tf.boolean_mask(pooled, pooled <= least)
  return tf.where(eigenvalues > least, eigenvalues, tf.reduce_mean(tied))


def standard_error(log_prob: types.TensorLike) -> tf.Tensor:
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


def bits_per_dim(
    log_likelihood: types.Numbers, event_size: int, bits: float = 8
) -> types.Numbers:
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
