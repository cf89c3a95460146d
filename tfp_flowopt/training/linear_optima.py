"""Losses of the best linear flows, which a run is compared with."""

import math

import numpy as np

from tfp_flowopt import optimum
from tfp_flowopt.diagnostics import linear_baselines

__all__ = ['best_block_size', 'completed', 'pointwise_optima']


def pointwise_optima(examples, held_out, bits):
  """Bits/dim of the best pointwise linear flow of each block size.

  Those of `diagnostics.optimum_report`: fitted to the `ExampleBatches` of
  training images `examples`, and evaluated on both. `train_optimum`,
  `held_out_optimum` and `vectors_per_dim` are each a dictionary by block size,
  a string: those of 1, 2, 4, 8 of which there are `ENOUGH_VECTORS`.
  """
  shape = examples.event_shape
  counts = linear_baselines.vectors_by_block_size(examples.num_disjoint, shape)
  vectors = {
      str(k): count
      for k, count in counts.items()
      if count >= linear_baselines.ENOUGH_VECTORS
  }
  streams = [
      optimum.AutoCorrelation('pointwise', shape, block_size=int(k))
      for k in vectors
  ]
  train = held = []
  if streams:
    for x in examples.reported(bits):
      for stream in streams:
        stream.update(x)
    train = [stream.optimum().log_likelihood for stream in streams]
    linear_flows = [stream.linear_flow() for stream in streams]
    values = [
        [flow.log_prob(x) for flow in linear_flows]
        for x in held_out.reported(bits)
    ]
    held = np.concatenate(values, axis=-1).mean(-1)

  def in_bits(optima):
    return {
        k: float(optimum.bits_per_dim(nats, math.prod(shape), bits))
        for k, nats in zip(vectors, optima, strict=True)
    }

  return {
      'train_optimum': in_bits(train),
      'held_out_optimum': in_bits(held),
      'vectors_per_dim': vectors,
  }


def completed(start, kind, examples, held_out):
  """What was known before training, with the optima of the `kind` of a run.

  Without `vectors_per_dim` they are missing, or of an older version: fitted to
  the held-out images.
  """
  if 'vectors_per_dim' in start:
    return start
  return {**start, **kind.optima(examples, held_out)}


def best_block_size(start):
  """The key of the optima that is best on held-out images; `None` of none."""
  optima = start['held_out_optimum']
  return min(optima, key=optima.get, default=None)
