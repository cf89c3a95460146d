"""Curves of values, from data, for the initialisation of a flow."""

import warnings

import numpy as np

from tfp_flowopt import optimum

__all__ = ['gaussianized']

# Part of the values that may be out of range; noise may have tails.
_OUTSIDE = 0.01
# What a curve of one position gets of the histogram of its channel. Held-out
# digits: 1.955 bits/dim with 0.003, 1.956 with 0.01, 1.961 with 0.03.
_OF_CHANNEL = 0.01


def gaussianized(flow, dataset, bits):
  """The curves that are the optimum for the values of data.

  Pairs of a variable of `flow.marginals` and its value; the flow is not
  changed. The values of the images of `dataset` (its first elements) are
  counted in `2**bits` bins of `[-1/2, 1/2)`, those beyond at the ends. A curve
  of one position sees some of what its channel has elsewhere.
  """
  num_columns, num_knots = flow.marginals.inputs.shape
  if 2**bits >= num_knots:
    raise ValueError(
        f'Argument `bits`: curves with {num_knots} knots have no room for '
        f'2**{bits} bins. Make the flow with `marginal_knots={2**bits + 65}`, '
        'or without curves.'
    )
  smallest, largest, num_outside = np.inf, -np.inf, 0
  counts = np.zeros([num_columns, 2**bits])
  offsets = 2**bits * np.arange(num_columns)
  for x, *_ in dataset:
    x = x.numpy()
    smallest, largest = min(smallest, x.min()), max(largest, x.max())
    num_outside += np.sum((x < -0.5) | (x >= 0.5))
    bins = np.clip(np.floor((x + 0.5) * 2**bits), 0, 2**bits - 1)
    bins = bins.astype(np.int64).reshape([-1, num_columns]) + offsets
    counts += np.bincount(bins.ravel(), minlength=counts.size).reshape(
        counts.shape
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
        stacklevel=4,
    )
  num_channels = flow.event_shape[-1]
  if num_columns > num_channels:
    by_channel = counts.reshape([-1, num_channels, 2**bits]).mean(axis=0)
    num_positions = num_columns // num_channels
    counts += _OF_CHANNEL * np.tile(by_channel, [num_positions, 1])
  knots = [optimum.gaussian_knots(row, num_knots) for row in counts]
  curves = flow.marginals
  return list(
      zip(
          (curves.inputs, curves.outputs),
          map(np.stack, zip(*knots, strict=True)),
          strict=True,
      )
  )


def _in_few_bins(counts):
  """Whether all values are next to each other, and could be elsewhere."""
  bins = np.flatnonzero(counts.any(axis=0))
  return np.ptp(bins) <= 1 and counts.shape[1] > 4
