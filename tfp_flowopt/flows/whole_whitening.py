"""Whitening of images as a whole, from data."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import module_tree
from tfp_flowopt.optimum import class_whitening

__all__ = ['rows', 'whole_whitening', 'with_weights']


def whole_whitening(affine, batches, lipschitz, least=0.0):
  """The maps of `ClassMoments`, for a `DenseAffine`.

  Args:
    affine: `DenseAffine`.
    batches: Of images `[N, H, W, C]`, integers `[N]` that are the same for two
      versions of an image, and perhaps one-hot classes `[N, K]`. One map for
      all classes if there are none.
    lipschitz: `(m, M)`, bounds of the singular values.
    least: Least share of the diagonal in the covariance.

  Returns:
    Pairs of a variable and its value, and the mean log-determinant.
  """
  count, moments = affine.num_classes or 1, None
  for x, examples, *classes in batches:
    by_class = bool(classes) and count > 1
    if moments is None:
      moments = class_whitening.ClassMoments(
          count if by_class else 1, affine.event_size
      )
    labels = np.zeros([len(x)], np.int64)
    if by_class:
      labels = np.argmax(classes[0], axis=-1)
    moments.update(rows(x), labels, np.asarray(examples))
  if moments is None:
    raise ValueError('Argument `data` is empty.')
  matrices, means = moments.maps(least)
  matrices = np.stack([_within(matrix, lipschitz) for matrix in matrices])
  log_det = np.average(np.linalg.slogdet(matrices)[1], weights=moments.counts)
  if len(matrices) < count:
    matrices, means = (
        np.tile(values, [count, *[1] * (values.ndim - 1)])
        for values in (matrices, means)
    )
  return affine.weights_of(matrices, means), float(log_det)


def _within(matrix, lipschitz):
  """The matrix with its singular values clipped to a range."""
  low, high = lipschitz
  # A bound of the largest that takes no decomposition, of both ways.
  norms = [
      np.sqrt(np.linalg.norm(m, 1) * np.linalg.norm(m, np.inf))
      for m in (matrix, np.linalg.inv(matrix))
  ]
  if norms[0] <= high and norms[1] * low <= 1.0:
    return matrix
  left, values, right = np.linalg.svd(matrix)
  return (left * np.clip(values, low, high)) @ right


def rows(x):
  """Images as vectors `[N, D]`, float64."""
  return tf.cast(tf.reshape(x, [len(x), -1]), tf.float64).numpy()


def with_weights(bijector, weights):
  """A copy of a bijector with other weights, pairs of a variable and its value.

  They are no variables: `tf.data` cannot hold those of a strategy.
  """
  return module_tree.with_leaves(
      bijector,
      [variable for variable, _ in weights],
      [tf.cast(value, variable.dtype) for variable, value in weights],
  )
