"""Curves of values, from data, for the initialisation of a flow."""

import warnings

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.internal import module_tree

__all__ = ['gaussianized', 'mean_log_det']

# Part of the values that may be out of range; noise may have tails.
_OUTSIDE = 0.01


def gaussianized(flow, dataset, bits):
  """A new `MarginalGaussianization`, the optimum for the values of data.

  `None` if the flow has none; the flow is not changed. The values of the images
  of `dataset` are counted in `2**bits` bins of `[-1/2, 1/2)`, those beyond at
  the ends.
  """
  if flow.marginals is None:
    return None
  num_channels, num_knots = flow.marginals.inputs.shape
  if 2**bits >= num_knots:
    raise ValueError(
        f'Argument `bits`: curves with {num_knots} knots have no room for '
        f'2**{bits} bins. Make the flow with `marginal_knots={2**bits + 65}`, '
        'or without curves.'
    )
  smallest, largest, num_outside = np.inf, -np.inf, 0
  counts = np.zeros([num_channels, 2**bits])
  for x in dataset:
    x = tf.debugging.assert_all_finite(x, 'Argument `data` must be finite.')
    x = x.numpy()
    smallest, largest = min(smallest, x.min()), max(largest, x.max())
    num_outside += np.sum((x < -0.5) | (x >= 0.5))
    bins = np.clip(np.floor((x + 0.5) * 2**bits), 0, 2**bits - 1)
    for c in range(num_channels):
      counts[c] += np.bincount(
          bins[..., c].astype(np.int64).ravel(), minlength=2**bits
      )
  if not counts.any():
    raise ValueError('Argument `data` is an empty dataset.')
  if num_outside > _OUTSIDE * counts.sum() or _in_few_bins(counts):
    warnings.warn(
        'The values of `data` should fill [-1/2, 1/2), for the curves of '
        f'`gaussianize_marginals` are made of {2**bits} bins there; they are '
        f'between {smallest:.3g} and {largest:.3g}, '
        f'{num_outside / counts.sum():.1%} of them outside, so the curves will '
        'be of little use. `fo.flows.dequantize` scales uint8 images.',
        stacklevel=3,
    )
  knots = [optimum.gaussian_knots(row, num_knots) for row in counts]
  # Not variables: `tf.data` cannot hold those of a strategy.
  inputs, outputs = (
      tf.constant(np.stack(rows), flow.dtype)
      for rows in zip(*knots, strict=True)
  )
  curves = flow.marginals
  return module_tree.with_leaves(
      curves, [curves.inputs, curves.outputs], [inputs, outputs]
  )


def mean_log_det(bijector, dataset):
  """Mean log-determinant of `inverse` over data, a Python `float` in nats."""
  total, count = 0.0, 0
  for x in dataset:
    _, log_det = bijectors.inverse_and_log_det(bijector, x)
    total += float(tf.reduce_sum(tf.cast(log_det, tf.float64)))
    count += len(log_det)
  return total / count


def _in_few_bins(counts):
  """Whether all values are next to each other, and could be elsewhere."""
  bins = np.flatnonzero(counts.any(axis=0))
  return np.ptp(bins) <= 1 and counts.shape[1] > 4
