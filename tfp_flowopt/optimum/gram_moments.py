"""Second moments of fewer vectors than dimensions."""

import dataclasses

import tensorflow as tf

from tfp_flowopt.optimum import moments

__all__ = ['GramMoments']


@dataclasses.dataclass(frozen=True)
class GramMoments(moments.Moments):
  """Moments of `N` vectors in `R^D` as the matrix of their inner products.

  `X X^T / N`, `[N, N]`, has the eigenvalues of `X^T X / N`, `[D, D]`, other
  than `D - N` zeros. Of few long vectors it is all that the optimum needs, in
  `N D` numbers rather than `D^2`. They cannot be added to.

  Attributes:
    count: As in `Moments`.
    mean: As in `Moments`.
    within: `[..., N, N]` float64 `Tensor`, the inner products of `x - mean`.
    between: `None`.
  """

  @classmethod
  def of(cls, vectors, centered):
    """Moments over the second to last axis of `vectors` `[..., N, D]`."""
    count, mean, vectors = moments.centered_vectors(vectors, centered)
    return cls(
        count, mean, tf.linalg.matmul(vectors, vectors, transpose_b=True), None
    )

  @property
  def matrix(self):
    """`X X^T / N`, `[..., N, N]`."""
    return self.within / self.count

  def merge(self, other):
    """Not for these."""
    raise NotImplementedError('Inner products of vectors cannot be merged.')

  def eigh(self):
    """Not for these: the eigenvectors are of the inner products."""
    raise NotImplementedError('Use `Moments` for eigenvectors.')

  def condition(self, noise_variance=0.0):
    """Not for these: inner products do not know the dimensions."""
    raise NotImplementedError('Use `Moments` for correlations.')

  def dependence(self, noise_variance):
    """None: the eigenvalues have to say it."""
    return None

  def pooled(self, values):
    """Values of the eigenvalues `[..., N]`, and zeros, `[..., D]`."""
    shape = tf.shape(self.mean)
    missing = tf.concat([shape[:-1], shape[-1:] - tf.shape(values)[-1:]], 0)
    values = tf.concat([values, tf.zeros(missing, values.dtype)], axis=-1)
    return tf.ensure_shape(values, self.mean.shape)

  def log_det(self, noise_variance=0.0):
    """`log det(R + v I) = (D - N) log v + log det(X X^T / N + v I)`."""
    size = tf.shape(self.mean)[-1] - tf.shape(self.within)[-1]
    factor = tf.linalg.cholesky(
        tf.linalg.set_diag(
            self.matrix, tf.linalg.diag_part(self.matrix) + noise_variance
        )
    )
    return tf.cast(size, tf.float64) * tf.math.log(
        tf.convert_to_tensor(noise_variance, tf.float64)
    ) + 2.0 * tf.reduce_sum(
        tf.math.log(tf.linalg.diag_part(factor)), axis=-1
    )
