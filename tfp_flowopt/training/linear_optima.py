"""Bits/dim of the best linear flows, which a run is compared with."""

import math

import numpy as np

from tfp_flowopt import optimum
from tfp_flowopt.diagnostics import linear_baselines

__all__ = ['best_block_size', 'completed', 'pointwise_optima']


def pointwise_optima(examples, held_out, bits):
  """The best pointwise linear flow of each block size for training images.

  They are those of `diagnostics.optimum_report`, on the same images: fitted to
  training images, and evaluated on both.

  Args:
    examples: `ExampleBatches` to train on.
    held_out: `ExampleBatches`.
    bits: Number of bits of an image value.

  Returns:
    Dictionary with `train_optimum` and `held_out_optimum`, bits/dim, and
    `vectors_per_dim`; each a dictionary by block size, a string: those of 1, 2,
    4, 8 of which the training images have `ENOUGH_VECTORS`.
  """
  shape = examples.event_shape
  vectors = {
      k: count
      for k, count in linear_baselines.vectors_by_block_size(
          examples.num_disjoint, shape
      ).items()
      if count >= linear_baselines.ENOUGH_VECTORS
  }
  streams = {
      k: optimum.AutoCorrelation('pointwise', shape, block_size=k)
      for k in vectors
  }
  train = held = {}
  if streams:
    for x in examples.reported(bits):
      for stream in streams.values():
        stream.update(x)
    train = {k: s.optimum().log_likelihood for k, s in streams.items()}
    linear_flows = {k: stream.linear_flow() for k, stream in streams.items()}
    values = [
        [flow.log_prob(x) for flow in linear_flows.values()]
        for x in held_out.reported(bits)
    ]
    held = dict(
        zip(streams, np.concatenate(values, axis=-1).mean(-1), strict=True)
    )

  def in_bits(optima):
    return {
        str(k): float(optimum.bits_per_dim(nats, math.prod(shape), bits))
        for k, nats in optima.items()
    }

  return {
      'train_optimum': in_bits(train),
      'held_out_optimum': in_bits(held),
      'vectors_per_dim': {str(k): count for k, count in vectors.items()},
  }


def completed(start, examples, held_out, bits):
  """What was known before training, with the `pointwise_optima`.

  Args:
    start: Dictionary of that. Where it has no `vectors_per_dim`, its optima
      are missing, or of an older version: fitted to the held-out images.
    examples: See `pointwise_optima`.
    held_out: See `pointwise_optima`.
    bits: See `pointwise_optima`.

  Returns:
    Dictionary.
  """
  if 'vectors_per_dim' in start:
    return start
  return {**start, **pointwise_optima(examples, held_out, bits)}


def best_block_size(start):
  """The block size whose linear flow is best on held-out images.

  Args:
    start: Dictionary that holds the `pointwise_optima`.

  Returns:
    A key of these; `None` if the training images determine none.
  """
  optima = start['held_out_optimum']
  return min(optima, key=optima.get, default=None)
