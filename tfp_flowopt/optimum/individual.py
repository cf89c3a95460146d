"""The mean over images of their individual optima."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import closed_form
from tfp_flowopt.optimum import moments

__all__ = ['individual_statistics', 'mean_individual_optimum']


def individual_statistics(x, centered, block_size, **constraint):
  """Each image's own optimum, as a vector whose mean can be accumulated.

  Args:
    x: Images `[N, H, W, C]`, as for `likelihood_optimum`.
    centered: See `likelihood_optimum`.
    block_size: See `likelihood_optimum`.
    **constraint: `rank`, `lipschitz`, `noise_variance`, `bias_correction` of
      `likelihood_optimum`.

  Returns:
    `Moments` of `N` vectors `[2 + D]`: log-likelihood, log-determinant,
    logarithms of the eigenvalues.

  Raises:
    ValueError: As `likelihood_optimum`.
    InvalidArgumentError: As `likelihood_optimum`.
  """
  optima = closed_form.likelihood_optimum(
      tf.cast(x, tf.float64),
      'individual',
      centered,
      block_size=block_size,
      **constraint,
  )
  # A bounded optimum may have eigenvalues of 0.
  eigenvalues = tf.maximum(optima.eigenvalues, np.finfo(np.float64).tiny)
  return moments.Moments.of(
      tf.concat(
          [
              optima.log_likelihood[:, tf.newaxis],
              optima.log_det[:, tf.newaxis],
              tf.math.log(eigenvalues),
          ],
          axis=-1,
      ),
      centered=True,
  )


def mean_individual_optimum(statistics, dtype):
  """The `LikelihoodOptimum` of accumulated `individual_statistics`.

  Its eigenvalues are geometric means over the images, those that go with the
  mean log-likelihood of the free optimum.
  """
  mean = statistics.mean
  return closed_form.LikelihoodOptimum(
      tf.cast(mean[0], dtype), tf.cast(mean[1], dtype), tf.exp(mean[2:])
  )
