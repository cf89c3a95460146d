"""Individual structure: one matrix for each image."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import closed_form
from tfp_flowopt.optimum import vector_moments
from tfp_flowopt.optimum.structures import pointwise

__all__ = ['Individual']


@dataclasses.dataclass(frozen=True)
class Individual(pointwise.Pointwise):
  """A matrix for all positions of one image, and another one for the next.

  The moments of a stream are those of each image's own optimum, as a vector
  `[2 + D]`: log-likelihood, log-determinant, logarithms of the eigenvalues.
  """

  name = 'individual'
  has_flow = False

  def vectors(self, x):
    """Vectors of each image, `[N, H W / k^2, k^2 C]`."""
    return self._rows(x, [tf.shape(x)[0], -1])

  def dimension(self, event_shape):
    """Of the vector of an optimum, `2 + D`."""
    return 2 + super().dimension(event_shape)

  def moments(self, x, centered, constraint):
    """Those of the optima of the images."""
    x = tf.cast(x, tf.float64)
    optima = self.optimum(
        self.moments_at_once(x, centered, constraint).checked(),
        self.num_vectors(tf.unstack(tf.shape(x))),
        constraint,
        tf.float64,
    )
    # A bounded optimum may have eigenvalues of 0.
    eigenvalues = tf.maximum(optima.eigenvalues, np.finfo(np.float64).tiny)
    return vector_moments.VectorMoments.of(
        tf.concat(
            [*(x[:, tf.newaxis] for x in optima[:2]), tf.math.log(eigenvalues)],
            axis=-1,
        ),
        centered=True,
    )

  def num_events(self, count, event_shape):
    """One for each image."""
    del event_shape
    return count

  def optimum_of_stream(self, moments, event_shape, constraint, dtype):
    """Means of log_*, and the geometric means of the eigenvalues with them."""
    del event_shape, constraint
    mean = moments.mean
    return closed_form.LikelihoodOptimum(
        tf.cast(mean[0], dtype), tf.cast(mean[1], dtype), tf.exp(mean[2:])
    )
