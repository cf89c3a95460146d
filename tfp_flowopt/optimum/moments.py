"""Second moments of data.

Everything is accumulated in float64: the small eigenvalues of photographs are
1e-6 of the largest, below the rounding error of a float32 moment.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import correlations

__all__ = [
    'Moments',
    'SummedMoments',
    'complex_wishart_log_det_bias',
    'wishart_log_det_bias',
]

_EPS = np.finfo(np.float64).eps
# Of sums of squares; their differences and products stay finite, too.
_LARGEST = 1e290


@dataclasses.dataclass(frozen=True)
class Moments:
  """Mean and second moments of vectors: all that the optimum needs.

  They are symmetric blocks, whose eigenvalues together are those of the
  auto-correlation matrix. Here `within` is one block; a subclass may hold more,
  in another layout, and overrides what follows.

  Attributes:
    count: Scalar float64 `Tensor`, the number of vectors.
    mean: `[..., D]` float64 `Tensor`, the mean; zeros when not centred.
    within: `[..., K, K]` float64 `Tensor`, a sum of products of the vectors.
    centered: Whether the mean was removed, a Python `bool`.
    regression: The `Regression` on a condition that the vectors are residuals
      of, or `None`. Then `mean` is the `b` of `x - B c - b`.
  """

  count: tf.Tensor
  mean: tf.Tensor
  within: tf.Tensor
  centered: bool
  regression: object = dataclasses.field(default=None, kw_only=True)

  def checked(self):
    """The same, behind a check that no square has overflowed."""
    with tf.control_dependencies([
        tf.debugging.assert_less(
            squares,
            tf.constant(_LARGEST, tf.float64),
            'Argument `x` has entries whose squares overflow; they must be '
            'below about 1e145.',
            summarize=3,
        )
        for squares in (self._sums_of_squares(), self.mean**2)
    ]):
      return dataclasses.replace(self, within=tf.identity(self.within))

  def _sums_of_squares(self):
    return tf.linalg.diag_part(self.within)

  @property
  def matrix(self):
    """The mean of the products."""
    return self.within / self.count

  def fewest_vectors(self):
    """The smallest number of vectors behind a block, and their dimension.

    Without those that a `regression` takes.
    """
    dimension = tf.cast(tf.shape(self.mean)[-1], tf.float64)
    return self.count - self._lost, dimension

  @property
  def _lost(self):
    return 0.0 if self.regression is None else self.regression.rank

  def blocks(self):
    """The symmetric blocks, `[..., K, K]`."""
    return self.matrix

  def in_full(self):
    """`SummedMoments` of the same vectors."""
    return self

  def pooled(self, values):
    """Eigenvalues of the blocks `[..., K]` as one spectrum, `[..., D]`."""
    return values

  def rounding(self, largest, size):
    """Error of eigenvalues, given the largest of each block, `[..., 1]`."""
    # A symmetric eigenvalue is known up to eps |R|.
    return _EPS * tf.cast(size, largest.dtype) * largest

  def spectrum(self):
    """Eigenvalues `[..., D]`, descending, and what rounding makes of a 0."""
    values = tf.linalg.eigvalsh(_graded(self.blocks()))
    shape = tf.shape(values)
    rounding = self.rounding(values[..., -1:], shape[-1])
    rounding = self.pooled(tf.broadcast_to(rounding, shape))
    values = self.pooled(values)
    order = tf.argsort(values, direction='DESCENDING')
    return tuple(
        tf.gather(x, order, axis=-1, batch_dims=order.shape.rank - 1)
        for x in (values, rounding)
    )

  def dependence(self, noise_variance):
    """See `correlations.dependence`; `None`: eigenvalues have to say it."""
    del noise_variance

  def log_det_bias(self):
    """The bias of `log_det()` for Gaussian data, in nats."""
    return wishart_log_det_bias(
        self.count, tf.shape(self.mean)[-1], self.centered, self._lost
    )


@dataclasses.dataclass(frozen=True)
class SummedMoments(Moments):
  """Moments as sums of products of dimensions, which can be added to.

  Sums, not means: a stream then adds a batch in place. `within` is the sum of
  `(x - b) (x - b)^T`, `b` the mean of the batch that `x` came with, or zero;
  `between`, what the batches' means differing adds to that, is apart, so that
  no large numbers are ever subtracted.
  """

  between: tf.Tensor

  @property
  def matrix(self):
    """The covariance `[..., D, D]`; the auto-correlation if not centred."""
    return (self.within + self.between) / self.count

  def merged_means(self, other):
    """All but `within`, by name, of the union with another set of vectors.

    The pairwise update of Chan, Golub & LeVeque (1983): data with a mean far
    from zero lose nothing.
    """
    count = self.count + other.count
    # Of two empty sets: nothing.
    weight = tf.math.divide_no_nan(other.count, count)
    shift = other.mean - self.mean
    between = self.between + other.between
    return {
        'count': count,
        'mean': self.mean + weight * shift,
        'between': between + weight * self.count * _outer(shift),
    }

  def all_reduce(self):
    """Moments of the vectors of all replicas; in replica context."""
    context = tf.distribute.get_replica_context()

    def total(x):
      return context.all_reduce(tf.distribute.ReduceOp.SUM, x)

    count = total(self.count)
    mean = total(tf.math.divide_no_nan(self.count, count) * self.mean)
    shift = self.mean - mean
    return dataclasses.replace(
        self,
        count=count,
        mean=mean,
        within=total(self.within),
        between=total(self.between + self.count * _outer(shift)),
    )

  def condition(self, noise_variance=0.0):
    """Condition number of the correlations, the largest of all blocks, float64.

    Other than that of the covariance, it does not depend on the units of the
    dimensions, and is infinite where one is constant. The free optimum is known
    to as many digits less as it has, and refused from about 1e14 on.
    """
    return tf.reduce_max(correlations.condition(self.blocks(), noise_variance))

  def dependence(self, noise_variance):
    """See `Moments.dependence`."""
    blocks = self.blocks()
    rounding = self.variance_rounding(tf.linalg.diag_part(blocks))
    return correlations.dependence(
        blocks, noise_variance, rounding, tf.shape(self.mean)[-1]
    )

  def summed(self, values):
    """The sum over the blocks of one value for each; the blocks themselves."""
    return values

  def variance_rounding(self, variances):
    """What rounding may have made of a variance of 0 in a block."""
    del variances
    # Of a constant dimension, the mean is off by its last digit at most.
    rounding = (4.0 * _EPS * self.mean) ** 2
    if self.regression is not None:
      rounding += self.regression.rounding()
    return rounding

  def log_det(self, noise_variance=0.0):
    """`log det(R + noise_variance I)` `[...]`, float64, in nats."""
    return self.summed(correlations.log_det(self.blocks(), noise_variance))

  def inverse(self, noise_variance=0.0):
    """`(R + noise_variance I)^-1`, block by block."""
    return correlations.inverse(self.blocks(), noise_variance)


def _graded(blocks):
  """The same matrices with their rows and columns by descending diagonal.

  The eigenvalue solver then finds small eigenvalues that are due to small
  dimensions to almost all digits, else to rounding of the largest only.
  """
  order = tf.argsort(tf.linalg.diag_part(blocks), direction='DESCENDING')
  rank = order.shape.rank
  blocks = tf.gather(blocks, order, axis=-2, batch_dims=rank - 1)
  # The matrices are symmetric.
  blocks = tf.linalg.matrix_transpose(blocks)
  return tf.gather(blocks, order, axis=-2, batch_dims=rank - 1)


def _outer(x):
  """`x x^T` of vectors `[..., D]`."""
  return x[..., :, tf.newaxis] * x[..., tf.newaxis, :]


def wishart_log_det_bias(count, dimension, centered, lost=0.0):
  """Bias of the log-determinant of the second moments of Gaussian vectors.

  With `R^` the mean of `(x - b) (x - b)^T` over `N` independent vectors of
  `N(mu, R)`, `b = mu` (`n = N` degrees of freedom) or their mean (`n = N - 1`),

  ```none
  E log det R^ - log det R = sum_(i=1..D) psi((n + 1 - i) / 2) + D log(2 / N)
  ```

  for `N > D`, and it is negative: few samples make linear flows look better
  than they are (expectation of a Wishart log-determinant, as in Bishop 2006,
  B.81). A regression on other variables takes `lost` degrees of freedom more.
  """
  count, terms = _falling(count, dimension, float(centered) + lost)
  dimension = tf.cast(dimension, count.dtype)
  return tf.reduce_sum(
      tf.math.digamma(0.5 * terms), axis=-1
  ) + dimension * tf.math.log(2.0 / count)


def complex_wishart_log_det_bias(count, dimension):
  """The same for `N` circular complex Gaussian vectors `[C]` with mean zero.

  ```none
  E log det S^ - log det S = sum_(i=0..C-1) psi(N - i) - C log N
  ```

  (Goodman 1963), for `C <= N`.
  """
  count, terms = _falling(count, dimension, 0.0)
  dimension = tf.cast(dimension, count.dtype)
  return tf.reduce_sum(
      tf.math.digamma(terms), axis=-1
  ) - dimension * tf.math.log(count)


def _falling(count, dimension, lost):
  """`count`, and `[..., D]`: the degrees of freedom n, n - 1, ..."""
  count = tf.convert_to_tensor(count)
  degrees = count - lost
  return count, degrees[..., tf.newaxis] - tf.cast(
      tf.range(dimension), count.dtype
  )
