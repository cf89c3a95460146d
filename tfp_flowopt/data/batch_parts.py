"""Which part of which batch comes next, for batches spread over devices."""

import numpy as np
import tensorflow as tf

__all__ = ['batch_parts']


def batch_parts(batch_size, first_step=0, num_parts=1, parts=(0,)):
  """Enumerates the parts of batches, without end.

  Args:
    batch_size: Number of examples of a batch, all parts together.
    first_step: Number of the first batch.
    num_parts: Number of equal parts a batch is cut into.
    parts: The parts wanted of each batch, in this order.

  Returns:
    part_size: Number of examples of a part.
    dataset: `tf.data.Dataset` of pairs of int64 scalars: the number of the
      batch, and the place in it of the first example of the part.

  Raises:
    ValueError: If `batch_size` is not a multiple of `num_parts`, or `parts` is
      empty or holds what is no part.
  """
  if batch_size < 1 or num_parts < 1 or batch_size % num_parts:
    raise ValueError(
        'Argument `batch_size` must be a positive multiple of `num_parts`, '
        f'got {batch_size} for {num_parts} parts.'
    )
  if not parts or not all(0 <= p < num_parts for p in parts):
    raise ValueError(
        f'Argument `parts` must hold numbers from 0 to {num_parts - 1}, got '
        f'{list(parts)}.'
    )
  part_size = batch_size // num_parts
  starts = tf.constant([p * part_size for p in parts], tf.int64)
  counter = tf.data.Dataset.range(np.iinfo(np.int64).max)
  return part_size, counter.map(
      lambda i: (first_step + i // len(parts), starts[i % len(parts)])
  )
