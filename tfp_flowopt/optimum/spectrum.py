"""The optimum of a linear flow as a function of the data's eigenvalues.

Nothing here knows where the eigenvalues come from.
"""

import math

import numpy as np
import tensorflow as tf

__all__ = [
    'check_constraint',
    'check_rank',
    'checked_noise',
    'enough_vectors',
    'optimal_log_scales',
    'spectral_optimum',
    'well_posed',
]


def check_constraint(lipschitz, noise_variance):
  """Validates the constraint of the optimum.

  Args:
    lipschitz: `None`, or a pair of Python numbers `(m, M)`.
    noise_variance: Python number or scalar `Tensor`.

  Returns:
    The pair `(m, M)` as floats; `(0., inf)` for `None`.

  Raises:
    ValueError: If a bound or the noise variance is out of range.
  """
  shape = tf.TensorShape(np.shape(noise_variance))
  if tf.is_tensor(noise_variance):
    shape = noise_variance.shape
  if not shape.is_compatible_with([]):
    raise ValueError(
        f'Argument `noise_variance` must be a scalar, got shape {shape}.'
    )
  if not tf.is_tensor(noise_variance) and not 0 <= noise_variance < math.inf:
    raise ValueError(
        'Argument `noise_variance` must be finite and not negative, got '
        f'{noise_variance}.'
    )
  if lipschitz is None:
    return 0.0, math.inf
  try:
    lower, upper = (float(bound) for bound in lipschitz)
  except (TypeError, ValueError) as e:
    raise ValueError(
        'Argument `lipschitz` must be a pair of numbers (m, M), got '
        f'{lipschitz!r}.'
    ) from e
  if not (0 <= lower <= upper and upper > 0 and lower < math.inf):
    raise ValueError(
        'Argument `lipschitz` must be a pair (m, M) with 0 <= m <= M and '
        f'M > 0, got ({lower}, {upper}).'
    )
  # Beyond this the squares in the formulas overflow; no data is meant.
  return lower, upper if upper < 1e100 else math.inf


def check_rank(rank, dimension):
  """Raises a `ValueError` unless `rank` is `None` or in `1..dimension`."""
  if rank is None:
    return
  if not isinstance(rank, (int, np.integer)):
    raise ValueError(f'Argument `rank` must be a Python int, got {rank!r}.')
  if rank < 1 or (dimension is not None and rank > dimension):
    raise ValueError(
        f'Argument `rank` must be in 1..{dimension or "D"}, the dimension of '
        f'the linear map, got {rank}.'
    )


def checked_noise(noise_variance):
  """A noise variance; a `Tensor` in float64, checked as it runs."""
  if not tf.is_tensor(noise_variance):
    return noise_variance
  message = 'Argument `noise_variance` must be finite and not negative.'
  with tf.control_dependencies([
      tf.debugging.assert_non_negative(noise_variance, message=message)
  ]):
    return tf.debugging.check_numerics(
        tf.cast(noise_variance, tf.float64), message
    )


def _tie_smallest(eigenvalues, rank):
  """Replaces all but the `rank` largest eigenvalues by their mean."""
  if rank is None or rank == eigenvalues.shape[-1]:
    return eigenvalues
  assertion = tf.debugging.assert_less_equal(
      rank,
      tf.shape(eigenvalues)[-1],
      message='Argument `rank` must be in 1..D, the dimension.',
  )
  with tf.control_dependencies([] if assertion is None else [assertion]):
    tail = eigenvalues[..., rank:]
  mean = tf.reduce_mean(tail, axis=-1, keepdims=True)
  return tf.concat(
      [eigenvalues[..., :rank], tf.broadcast_to(mean, tf.shape(tail))], axis=-1
  )


_REMEDY = (
    'The likelihood of a linear flow is unbounded there. Give more data, '
    '`noise_variance` > 0 (a noise floor), `lipschitz=(m, M)` with a finite '
    'M (a bound), or a smaller `rank` (probabilistic PCA); for structure '
    '"circulant" also a `frequency_pool`.'
)


def enough_vectors(count, size, centered, rank, lipschitz, noise_variance):
  """Assertions that there are as many vectors as the optimum needs.

  Args:
    count: Number of vectors.
    size: Their dimension, of the type of `count`.
    centered: Whether their mean is removed.
    rank: See `likelihood_optimum`.
    lipschitz: See `likelihood_optimum`.
    noise_variance: Number or `Tensor`.

  Returns:
    List of assertions.
  """
  _, upper = check_constraint(lipschitz, noise_variance)
  noisy = tf.is_tensor(noise_variance) or noise_variance > 0
  if upper < math.inf or noisy or rank is not None:
    return []
  check = tf.debugging.assert_greater_equal(
      count - tf.cast(centered, count.dtype),
      size,
      message=(
          'Argument `x` has too few vectors (N) for their dimension (D), need '
          f'N {">" if centered else ">="} D. {_REMEDY}'
      ),
      summarize=1,
  )
  # An eager assertion that holds is None.
  return [] if check is None else [check]


def well_posed(spectrum, moments, rank, lipschitz, noise_variance):
  """Eigenvalues with the noise floor, and whether the optimum is finite.

  Args:
    spectrum: `Spectrum` of the data.
    moments: The `Moments` behind it.
    rank: See `likelihood_optimum`.
    lipschitz: See `likelihood_optimum`.
    noise_variance: As `checked_noise` returns it.

  Returns:
    eigenvalues: `[..., D]`, descending.
    checks: List of assertions.
  """
  # Rounding can leave a zero eigenvalue slightly negative.
  eigenvalues = tf.maximum(spectrum.eigenvalues, 0.0) + noise_variance
  lower, upper = check_constraint(lipschitz, 0.0)
  if upper < math.inf:
    return eigenvalues, []
  message = (
      'The auto-correlation matrix of argument `x` is singular (constant or '
      'duplicated dimensions, too few vectors for `rank`, or '
      '`noise_variance` below rounding).'
  )
  dependence = None
  if lower == 0 and rank is None:
    # No eigenvalue is used, and units do not matter.
    dependence = moments.dependence(noise_variance)
  if dependence is None:
    check = tf.debugging.assert_greater(
        _tie_smallest(eigenvalues, rank),
        _tie_smallest(spectrum.rounding, rank),
        message=f'{message} {_REMEDY}',
        summarize=3,
    )
  else:
    check = tf.debugging.Assert(
        tf.logical_not(dependence.is_singular),
        [
            f'{message} Constant, or a linear function of others: dimension',
            dependence.dimension,
            'Condition number of the correlations, at least:',
            dependence.inflation,
            _REMEDY,
        ],
    )
  return eigenvalues, [] if check is None else [check]


def optimal_log_scales(eigenvalues, rank=None, lipschitz=None):
  """Logarithms of the optimal singular values of the normalising map.

  ```none
  log s_i = log clip(l_i^(-1/2), m, M)
  ```

  with the eigenvalues beyond `rank` replaced by their mean. Tied directions
  share one scale `s`, and `sum_i (log s - s^2 l_i / 2)` over them depends on
  their mean alone; so tying first and clipping then is the joint optimum.

  Args:
    eigenvalues: Floating-point `Tensor` `[..., D]`, descending, not negative.
    rank: `None` or Python `int`, the number of free directions.
    lipschitz: `None` or `(m, M)`, the singular values allowed.

  Returns:
    `Tensor` of the shape of `eigenvalues`; infinite where an eigenvalue is 0
    and `M` is infinite.
  """
  lower, upper = check_constraint(lipschitz, 0.0)
  eigenvalues = _tie_smallest(tf.convert_to_tensor(eigenvalues), rank)
  if upper < math.inf:
    # M decides at 0; the floor keeps the gradient finite there.
    tiny = np.finfo(eigenvalues.dtype.as_numpy_dtype).tiny
    eigenvalues = tf.maximum(eigenvalues, tiny)
  log_scales = -0.5 * tf.math.log(eigenvalues)
  smallest = -math.inf if lower == 0 else math.log(lower)
  return tf.clip_by_value(log_scales, smallest, math.log(upper))


def spectral_optimum(eigenvalues, rank=None, lipschitz=None):
  """The optimal log-likelihood and log-determinant for one linear map.

  ```none
  L* = sum_i (log s_i - s_i^2 l_i / 2) - D/2 log(2 pi)
  log|det A*| = sum_i log s_i
  ```

  Args:
    eigenvalues: Floating-point `Tensor` `[..., D]`, descending, of the
      auto-correlation matrices, noise floor included.
    rank: `None` or Python `int`, see `likelihood_optimum`.
    lipschitz: `None` or `(m, M)`, see `likelihood_optimum`.

  Returns:
    log_likelihood: `[...]`, nats per vector.
    log_det: `[...]`, nats per vector.
  """
  eigenvalues = _tie_smallest(tf.convert_to_tensor(eigenvalues), rank)
  log_scales = optimal_log_scales(eigenvalues, lipschitz=lipschitz)
  dimension = tf.cast(tf.shape(eigenvalues)[-1], eigenvalues.dtype)
  log_det = tf.reduce_sum(log_scales, axis=-1)
  log_likelihood = (
      log_det
      - 0.5 * tf.reduce_sum(tf.exp(2.0 * log_scales) * eigenvalues, axis=-1)
      - 0.5 * dimension * math.log(2.0 * math.pi)
  )
  return log_likelihood, log_det
