"""Constraint of an optimum: which linear flows it is over."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum import spectrum

__all__ = ['Constraint']

_REMEDY = (
    'The likelihood of a linear flow is unbounded there. Give more data, '
    '`noise_variance` > 0 (a noise floor), `lipschitz=(m, M)` with a finite '
    'M (a bound), or a smaller `rank` (probabilistic PCA); for structure '
    '"circulant" also a `frequency_pool`.'
)


@dataclasses.dataclass(frozen=True)
class Constraint:
  """The arguments of `likelihood_optimum` of these names, checked.

  Only `rank` waits for the dimension.
  """

  rank: int | None = None
  lipschitz: tuple | None = None
  noise_variance: float | tf.Tensor = 0.0
  bias_correction: bool = False

  def __post_init__(self):
    noise = self.noise_variance
    arguments.check_scalar('noise_variance', noise)
    if not tf.is_tensor(noise):
      arguments.check_number(
          'noise_variance',
          np.asarray(noise)[()],
          lambda v: 0 <= v < math.inf,
          'finite and not negative',
      )
    spectrum.check_bounds(self.lipschitz)

  @property
  def bounds(self):
    """The pair `(m, M)` of floats."""
    return spectrum.check_bounds(self.lipschitz)

  @property
  def _is_noisy(self):
    return tf.is_tensor(self.noise_variance) or self.noise_variance > 0

  def check_default(self, structure, place):
    """A `ValueError` that names the place of what is constrained, if it is."""
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.name == 'noise_variance':
        is_default = not self._is_noisy
      else:
        is_default = value is None or value is False
      if not is_default:
        raise ValueError(
            f'Argument `{field.name}` is to be given to {place} for structure '
            f'"{structure}", got {value!r}.'
        )

  def is_free(self, dimension):
    """Whether all matrices are allowed; `dimension` may be `None`."""
    return self.free_rank(dimension) is None and self.bounds == (0.0, math.inf)

  def free_rank(self, dimension):
    """The rank, at most the dimension, if known; `None` if it ties nothing."""
    if self.rank is None:
      return None
    rank = arguments.check_int('rank', self.rank, 1, dimension)
    # One direction beyond the rank shares its scale with none.
    if dimension is not None and rank >= dimension - 1:
      return None
    return rank

  def checked_noise(self):
    """The noise variance; a `Tensor` in float64, checked as it runs."""
    if not tf.is_tensor(self.noise_variance):
      return self.noise_variance
    return arguments.not_negative(
        'noise_variance', tf.cast(self.noise_variance, tf.float64)
    )

  def check_correctable(self, dimension):
    """Raises a `ValueError` where the bias has no closed form."""
    if not self.is_free(dimension):
      raise ValueError(
          'Argument `bias_correction` is known for the free optimum only, not '
          'with a `rank` or with `lipschitz` bounds.'
      )
    if self._is_noisy:
      raise ValueError(
          'Argument `bias_correction` needs noise that was drawn and is part '
          'of the data: `noise_variance` must be 0, got '
          f'{self.noise_variance}.'
      )

  def enough_vectors(self, count, size, centered):
    """Assertions, a list, that the optimum has as many vectors as it needs."""
    if self.bounds[1] < math.inf or self._is_noisy or self.rank is not None:
      return []
    return [
        tf.debugging.assert_greater_equal(
            count - tf.cast(centered, count.dtype),
            size,
            message=(
                'Argument `x` has too few vectors (N) for their dimension (D), '
                f'need N {">" if centered else ">="} D. {_REMEDY}'
            ),
            summarize=1,
        )
    ]

  def well_posed(self, eigenvalues, rounding, moments, noise):
    """Eigenvalues of `Moments` with the noise floor, and assertions, a list.

    The latter say that the optimum is finite; `noise` is that of
    `checked_noise`.
    """
    # Rounding can leave a zero eigenvalue slightly negative.
    eigenvalues = tf.maximum(eigenvalues, 0.0) + noise
    lower, upper = self.bounds
    if upper < math.inf:
      return eigenvalues, []
    message = (
        'The auto-correlation matrix of argument `x` is singular (constant or '
        'duplicated dimensions, too few vectors for `rank`, or '
        '`noise_variance` below rounding).'
    )
    dependence, rank = None, self.free_rank(eigenvalues.shape[-1])
    if lower == 0 and rank is None:
      # No eigenvalue is used, and units do not matter.
      dependence = moments.dependence(noise)
    if dependence is None:
      check = tf.debugging.assert_greater(
          spectrum.tie_smallest(eigenvalues, rank),
          spectrum.tie_smallest(rounding, rank),
          message=f'{message} {_REMEDY}',
          summarize=3,
      )
    else:
      is_singular, dimension, inflation = dependence
      check = tf.debugging.Assert(
          tf.logical_not(is_singular),
          [
              f'{message} Constant, or a linear function of others: dimension',
              dimension,
              'Condition number of the correlations, at least:',
              inflation,
              _REMEDY,
          ],
      )
    return eigenvalues, [check]
