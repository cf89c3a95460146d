"""Linear flows of each structure, and what they reach on a data set."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import optimum
from tfp_flowopt.optimum import structures

__all__ = [
    'ENOUGH_VECTORS',
    'LinearBaseline',
    'batches_of',
    'linear_baselines',
    'vectors_by_block_size',
]

# Vectors for each of their dimensions from which on the training data flatter a
# linear flow by at most 0.036 bits/dim, `D / (4 N)` nats.
ENOUGH_VECTORS = 10.0
# Numbers in a batch, and events at most.
_BATCH, _MOST_EVENTS = 2**18, 4096
_BLOCK_SIZES = (1, 2, 4, 8)
_LARGEST_DENSE = 1024


class LinearBaseline(NamedTuple):
  """The best linear flow of one structure.

  Attributes:
    structure: `Structure`; its `str` is the name of the row.
    vectors_per_dim: Independent vectors of the training data, for each of their
      dimensions: with less than `ENOUGH_VECTORS`, `train` flatters, and
      `held_out` is poor.
    train: The optimum `L*` of the training data, in nats per event.
    constrained: The same within the bounds that were given.
    held_out: `[N]`, log-likelihoods of held-out data by the flow of `train`;
      where each image has one of its own, their optima.
  """

  structure: structures.Structure
  vectors_per_dim: float
  train: float
  constrained: float
  held_out: np.ndarray


def vectors_by_block_size(num_events, event_shape):
  """Numbers of vectors of images, for each of their dimensions.

  By block size of pointwise linear flows: 1, 2, 4, 8, if it divides
  `[H, W, C]`. So many of independent images say how well a flow is determined.
  """
  height, width, channels = event_shape
  return {
      k: num_events * height * width / (channels * k**4)
      for k in _BLOCK_SIZES
      if height % k == 0 and width % k == 0
  }


def _candidates(num_events, event_shape):
  """Pairs of a structure, and how many vectors for each dimension it has."""
  result = []
  if len(event_shape) == 3:
    height, width, channels = event_shape
    vectors = vectors_by_block_size(num_events, event_shape)
    result = [(structures.Pointwise(k), num) for k, num in vectors.items()]
    # One image determines its own.
    result.append((structures.Individual(), height * width / channels))
    result.append((structures.Circulant(), num_events / channels))
  size = math.prod(event_shape)
  if size < _LARGEST_DENSE:
    result.append((structures.Dense(), num_events / size))
  return [candidate for candidate in result if candidate[-1] > 1.0]


def batches_of(x):
  """Slices of an array of events, small enough to be worked on."""
  size = min(max(1, _BATCH // math.prod(x.shape[1:])), _MOST_EVENTS)
  return [x[i : i + size] for i in range(0, len(x), size)]


def _with_conditions(x, conditioning):
  """Pairs of a batch and what it is conditioned on, `None` without any."""
  start = 0
  for batch in batches_of(x):
    end = start + len(batch)
    yield batch, None if conditioning is None else conditioning[start:end]
    start = end


def linear_baselines(
    data, held_out, lipschitz, noise_variance, num_data, conditions=None
):
  """The best linear flows of all structures that `num_data` events determine.

  Pointwise with blocks of 1, 2, 4, 8 where they fit, individual, circulant;
  dense up to 1023 dimensions. `held_out` has the event shape and type of
  `data`, `[N, D]` or `[N, H, W, C]`; for `lipschitz` and `noise_variance` see
  `likelihood_optimum`. A list of `LinearBaseline`; a `ValueError` if there are
  too few data for any structure, an `InvalidArgumentError` if a matrix is
  singular or data are not finite. `conditions`: of vectors, the argument
  `conditioning` of `AutoCorrelation`, and that of `data` and `held_out`.
  """
  candidates = _candidates(num_data, data.shape[1:])
  if not candidates:
    raise ValueError(
        f'Argument `data` has too few events, {num_data} of shape '
        f'{list(data.shape[1:])}, for a linear flow of any structure.'
    )
  baselines = []
  for structure, vectors in candidates:
    evaluate = _shared if structure.has_flow else _individual
    more = {'conditions': conditions} if conditions else {}
    values = evaluate(
        structure, data, held_out, lipschitz, noise_variance, **more
    )
    if values is not None:
      baselines.append(LinearBaseline(structure, vectors, *values))
  return baselines


def _shared(
    structure,
    data,
    held_out,
    lipschitz,
    noise_variance,
    conditions=(None, None, None),
):
  """Optima and held-out values of one flow for all events."""
  spec, own, other = conditions
  events = structure.as_events(data)
  stream = optimum.AutoCorrelation(
      structure, events.shape[1:], conditioning=spec
  )
  for batch, given in _with_conditions(events, own):
    stream.update(batch, given)
  flow = stream.linear_flow(noise_variance=noise_variance)
  values = [
      flow.log_prob(structure.as_events(batch), given)
      for batch, given in _with_conditions(held_out, other)
  ]
  train, constrained = (
      float(
          stream.optimum(
              noise_variance=noise_variance, lipschitz=bounds
          ).log_likelihood
      )
      for bounds in (None, lipschitz)
  )
  return train, constrained, np.concatenate(values)


def _individual(structure, data, held_out, lipschitz, noise_variance):
  """The same of a flow for each image; `None` if one has none."""

  def optima(x, bounds):
    return np.concatenate([
        optimum.likelihood_optimum(
            batch,
            structure,
            lipschitz=bounds,
            noise_variance=noise_variance,
        ).log_likelihood
        for batch in batches_of(x)
    ])

  try:
    train, constrained = (
        float(np.mean(optima(data, bounds), dtype=np.float64))
        for bounds in (None, lipschitz)
    )
    return train, constrained, optima(held_out, None).astype(np.float64)
  except tf.errors.InvalidArgumentError:
    return None  # an image of one colour has no optimum of its own
