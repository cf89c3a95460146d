"""What stands before the levels of an image flow, from data."""

import math
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.flows import gaussianize
from tfp_flowopt.flows import image_batches
from tfp_flowopt.flows import image_conditions
from tfp_flowopt.flows import whole_whitening

__all__ = ['Storeys', 'fitted_storeys', 'number_of']


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
  shift, and one map for all classes. Read twice for curves, and once for
  features and for each other storey.
  """
  with_condition = isinstance(dataset.element_spec, tuple)
  unlabelled = None
  if flow.conditioning is not None and not with_condition:
    spec = flow.conditioning.spec
    unlabelled = tf.zeros([1, *spec.shape[1:]], spec.dtype)
  # With each image, a number that is the same for other noise.
  dataset = dataset.map(
      lambda x, *c: (x, c[0] if c else unlabelled, number_of(x, bits))
      if flow.conditioning is not None
      else (x, tf.zeros([]), number_of(x, bits))
  )

  def described(x, c, number):
    if with_condition and flow.conditioning.num_classes:
      return x, number, _features(flow, c)
    return x, number

  weights, total, curves = [], 0.0, None
  if with_condition and flow.condition_curves is not None:
    weights = image_conditions.standard_features(
        flow, dataset.map(lambda x, c, number: c)
    )
    curves = whole_whitening.with_weights(flow.condition_curves, weights)

  def maps_of(c):
    if flow.conditioning is None:
      return None
    return flow.conditioning_maps(c, curves=curves)

  for name, storey in flow.before_levels.items():
    log_det = 0.0
    if name == 'marginals':
      fit = gaussianize.gaussianized(flow, dataset, bits)
    elif name == 'shift':
      fit = with_condition and image_conditions.fitted_shift(
          storey.bijector,
          dataset.map(lambda x, c, n: (x, maps_of(c)[..., 0, 0, :], n)),
      )
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
            *_inverse(fixed, x, maps_of(c)), c, number
        )
    )
    if name == 'marginals':
      log_det = image_batches.mean(mapped.map(lambda x, log_det, *_: log_det))
    total += log_det
    dataset = mapped.map(lambda x, log_det, c, number: (x, c, number))
  return Storeys(weights, dataset.map(described), total)


def number_of(x, bits):
  """For each image a number of its grey levels: a hash, 31 bits."""
  values = tf.cast(tf.floor((x + 0.5) * 2.0**bits), tf.int64)
  values = tf.reshape(values, [-1, math.prod(x.shape[1:])])
  # Sums of grey levels may all be multiples of one number, or equal.
  factors = tf.random.stateless_uniform(
      values.shape[1:], [0, 0], None, None, tf.int64
  )
  total = tf.reduce_sum(values * tf.bitwise.bitwise_or(factors, 1), axis=1)
  return tf.bitwise.right_shift(total, 32) & (2**31 - 1)


def _inverse(storey, x, maps):
  value, log_det = bijectors.inverse_and_log_det(storey, x, maps)
  return value, tf.broadcast_to(log_det, tf.shape(x)[:1])


def _features(flow, condition):
  return flow.conditioning.features(condition, tf.float64)
