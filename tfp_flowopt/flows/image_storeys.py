"""What stands before the levels of an image flow, from data."""

from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.flows import gaussianize
from tfp_flowopt.flows import image_batches
from tfp_flowopt.flows import whole_whitening

__all__ = ['Storeys', 'fitted_storeys']


class Storeys(NamedTuple):
  """The optimum of `ImageFlow.before_levels`; the flow is not changed yet.

  Attributes:
    weights: Pairs of a variable of the flow and its value.
    dataset: A `tf.data.Dataset` of batches of images as the levels see them,
      with integers that are the same for two versions of an image, and the
      features of the condition if they are vectors.
    log_det: Mean log-determinant of an image, in nats.
  """

  weights: list[tuple[tf.Variable, Any]]
  dataset: tf.data.Dataset
  log_det: float

  def assign(self):
    """Puts the flow there."""
    for variable, value in self.weights:
      variable.assign(value)


def fitted_storeys(flow, dataset, lipschitz, bits):
  """Fits one storey after the other to what arrives there.

  `dataset` is that of `image_batches`; without conditioning in it there is no
  shift, and one map for all classes. Read twice for curves, and once for each
  other storey.
  """
  with_condition = isinstance(dataset.element_spec, tuple)
  unlabelled = None
  if flow.conditioning is not None and not with_condition:
    spec = flow.conditioning.spec
    unlabelled = tf.zeros([1, *spec.shape[1:]], spec.dtype)
  # With each image, a number that is the same for other noise.
  dataset = dataset.map(
      lambda x, *c: (x, c[0] if c else unlabelled, _number(x, bits))
      if flow.conditioning is not None
      else (x, tf.zeros([]), _number(x, bits))
  )

  def described(x, c, number):
    if with_condition and flow.conditioning.num_classes:
      return x, number, _features(flow, c)
    return x, number

  weights, total = [], 0.0
  for name, storey in flow.before_levels.items():
    log_det = 0.0
    if name == 'marginals':
      fit = gaussianize.gaussianized(flow, dataset, bits)
    elif name == 'shift':
      fit = _shift(flow, storey, dataset) if with_condition else []
    else:
      fit, log_det = whole_whitening.whole_whitening(
          storey.bijector,
          dataset.map(described),
          lipschitz,
      )
    if not fit:
      continue  # as it is, it does nothing
    weights += fit
    fixed = whole_whitening.with_weights(storey, fit)
    mapped = dataset.map(
        lambda x, c, number, fixed=fixed: (
            *_inverse(flow, fixed, x, c), c, number
        )
    )
    if name == 'marginals':
      log_det = image_batches.mean(mapped.map(lambda x, log_det, *_: log_det))
    total += log_det
    dataset = mapped.map(lambda x, log_det, c, number: (x, c, number))
  return Storeys(weights, dataset.map(described), total)


def _number(x, bits):
  values = tf.cast(tf.floor((x + 0.5) * 2.0**bits), tf.int64)
  return tf.reduce_sum(values, axis=[1, 2, 3])


def _inverse(flow, storey, x, condition):
  maps = None
  if flow.conditioning is not None:
    maps = flow.conditioning_maps(condition)
  value, log_det = bijectors.inverse_and_log_det(storey, x, maps)
  return value, tf.broadcast_to(log_det, tf.shape(x)[:1])


def _features(flow, condition):
  return flow.conditioning.features(condition, tf.float64)


def _shift(flow, storey, dataset):
  """Least squares of images on features, and 1."""
  gram = cross = 0.0
  for x, condition, _ in dataset:
    features = _features(flow, condition).numpy()
    features = np.concatenate([features, np.ones([len(features), 1])], axis=1)
    gram += features.T @ features
    cross += whole_whitening.rows(x).T @ features
  shift = storey.bijector
  matrix = cross @ np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
  return [(shift.matrix, matrix[:, :-1]), (shift.shift, matrix[:, -1])]
