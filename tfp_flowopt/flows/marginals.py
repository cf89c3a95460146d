"""Curves of values, from data, for the initialisation of a flow."""

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum

__all__ = ['gaussianized', 'mean_log_det']


def gaussianized(flow, dataset, bits):
  """The curves that are the optimum for the values of data.

  Args:
    flow: `ImageFlow`; it is not changed.
    dataset: `tf.data.Dataset` of batches of images in `[-1/2, 1/2)`; values
      beyond are counted at the ends.
    bits: Number of bits of a value: there are `2**bits` bins.

  Returns:
    A new `MarginalGaussianization`; `None` if the flow has none.

  Raises:
    ValueError: If `dataset` is empty.
    InvalidArgumentError: If it is not finite.
  """
  if flow.marginals is None:
    return None
  num_channels, num_knots = flow.marginals.inputs.shape
  counts = np.zeros([num_channels, 2**bits])
  for x in dataset:
    x = tf.debugging.assert_all_finite(x, 'Argument `data` must be finite.')
    bins = np.clip(np.floor((x.numpy() + 0.5) * 2**bits), 0, 2**bits - 1)
    for c in range(num_channels):
      counts[c] += np.bincount(
          bins[..., c].astype(np.int64).ravel(), minlength=2**bits
      )
  if not counts.any():
    raise ValueError('Argument `data` is an empty dataset.')
  knots = [optimum.gaussian_knots(row, num_knots) for row in counts]
  # Not variables: `tf.data` cannot hold those of a strategy.
  inputs, outputs = (
      tf.constant(np.stack(rows), flow.dtype)
      for rows in zip(*knots, strict=True)
  )
  return bijectors.MarginalGaussianization(
      num_channels, num_knots, inputs, outputs, flow.dtype
  )


def mean_log_det(bijector, dataset):
  """Mean log-determinant of `inverse` over data, a Python `float` in nats."""
  total, count = 0.0, 0
  for x in dataset:
    _, log_det = bijectors.inverse_and_log_det(bijector, x)
    total += float(tf.reduce_sum(tf.cast(log_det, tf.float64)))
    count += len(log_det)
  return total / count
