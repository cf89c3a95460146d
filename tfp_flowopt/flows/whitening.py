"""Linear map of one level, and the rounding errors that it leaves."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import optimum
from tfp_flowopt.optimum import vector_moments

__all__ = ['WhiteningMap', 'moments_of', 'whitening_map']

# Variance that rounding may have in a latent, which has about 1 from the data:
# together with what it shares with them, less than 1e-3 bits/dim.
_LARGEST_NOISE = 1e-4


class WhiteningMap(NamedTuple):
  """`z_i = scales_i v_i^T (x - mean)`, all in float64.

  Attributes:
    mean: `[C]`.
    scales: `[C]`, in ascending order.
    eigenvectors: `[C, C]`, columns.
    eigenvalues: `[C]`, of the covariance of `x`.
    noise: `[C]`, variance of the rounding error of `z`.
    largest: `[C]`, what the scales may be by this error, and by the bound.
    least: What they must be.
  """

  mean: np.ndarray
  scales: np.ndarray
  eigenvectors: np.ndarray
  eigenvalues: np.ndarray
  noise: np.ndarray
  largest: np.ndarray
  least: float

  @property
  def log_range(self):
    """Logarithms of the factors that all scales may have: from, to."""
    with np.errstate(divide='ignore'):
      low, high = np.log(self.least), np.log(self.largest)
    scales = np.log(self.scales)
    return float(low - scales.min()), float((high - scales).min())

  def __call__(self, x):
    """The latents of `x` `[..., C]`, of its type."""
    z = tf.tensordot(
        tf.cast(x, tf.float64) - self.mean, self.eigenvectors, axes=1
    )
    return tf.cast(z * self.scales, x.dtype)


def moments_of(mean, covariance):
  """The moments that `whitening_map` takes."""
  return vector_moments.VectorMoments(
      *map(tf.constant, (np.ones([]), mean, covariance)),
      centered=True,
      between=np.zeros(covariance.shape),
  )


def whitening_map(moments, lipschitz, noise, num_steps, dtype):
  """The optimum over linear maps whose outputs are more than rounding errors.

  ```none
  s_i = clip(l_i^(-1/2), m, min(M, M_i)),   M_i^2 a_i = 1e-4
  ```

  with `a_i` the variance of the rounding error in direction `i`: that which
  arrives, and that of the map. In directions in which the data are constant, a
  scale of `M` would make latents of rounding errors, level by level larger ones
  (1e3 twice is more than the digits of float32), and their likelihood would be
  anything.

  `noise` `[C]` are variances of the rounding errors that arrive, `num_steps`
  steps rotate the latents afterwards. A `ValueError` if no scale in `lipschitz`
  will do.
  """
  eigenvalues, eigenvectors = (x.numpy() for x in moments.eigh())
  # An eigenvector has two signs, and rounding would choose: on replicas or
  # another processor training would take another way.
  generic = np.random.default_rng(0).normal(size=len(eigenvectors))
  eigenvectors *= np.where(generic @ eigenvectors < 0, -1.0, 1.0)
  eigenvalues = np.maximum(eigenvalues, 0.0)
  scales = np.exp(optimum.optimal_log_scales(eigenvalues, lipschitz=lipschitz))
  in_type = scales.astype(dtype.as_numpy_dtype)
  if not np.all(np.isfinite(in_type) & (in_type > 0)):
    raise ValueError(
        'Argument `data` is constant in some direction, and the optimum '
        f'infinite: `lipschitz` must bound it, got {lipschitz}.'
    )
  mean = moments.mean.numpy()
  eps = np.finfo(dtype.as_numpy_dtype).eps
  # Of the difference to the mean, of the matrix and of the sums; a column has
  # that of its own size.
  sizes = np.diag(moments.matrix.numpy()) + mean**2
  arriving = eigenvectors.T**2 @ (noise + (2.0 * eps) ** 2 * sizes)
  with np.errstate(divide='ignore'):
    largest = np.sqrt(_LARGEST_NOISE / arriving)
  if lipschitz is not None and np.any(largest < lipschitz[0]):
    raise ValueError(
        f'Argument `lipschitz`: scales of at least {lipschitz[0]} make latents '
        f'of the rounding errors of {dtype.name}, in directions in which '
        '`data` hardly vary. Give more data, a smaller m, or a flow of float64.'
    )
  least, most = (0.0, np.inf) if lipschitz is None else lipschitz
  largest = np.minimum(largest, most)
  scales = np.minimum(scales, largest)
  energies = scales**2 * eigenvalues
  return WhiteningMap(
      mean,
      scales,
      eigenvectors,
      eigenvalues,
      scales**2 * arriving + (num_steps + 1) * eps**2 * energies.sum(),
      largest,
      least,
  )
