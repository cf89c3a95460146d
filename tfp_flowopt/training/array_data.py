"""Arrays of examples to train on, and to hold out."""

import hashlib
import numbers

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import event_arrays

__all__ = ['ArrayData', 'log_prob_of', 'training_and_validation']


class ArrayData:
  """Examples in memory, with what each of them is conditioned on, or `None`.

  Attributes:
    num: Number of examples.
  """

  def __init__(self, x, conditioning):
    arrays = (x,) if conditioning is None else (x, conditioning)
    self._arrays = tuple(map(tf.convert_to_tensor, arrays))
    self.num = len(x)

  @property
  def fingerprint(self):
    """String, another one for other data."""
    digest = hashlib.sha256()
    for array in self._arrays:
      digest.update(str((array.dtype.name, array.shape)).encode())
      digest.update(np.ascontiguousarray(array.numpy()).tobytes())
    return digest.hexdigest()[:16]

  def rows(self, indices):
    """The examples of integers `[B]`: a tuple of one or two `Tensor`s."""
    return tuple(tf.gather(array, indices) for array in self._arrays)

  def batches(self, size):
    """All examples in turn, in batches."""
    for i in range(0, self.num, size):
      yield tuple(array[i : i + size] for array in self._arrays)

  def order(self, seed, first, count):
    """Which examples are number `first` and so on of endless shuffled passes.

    Returns:
      int32 array `[count]`.
    """
    passes = range(first // self.num, (first + count - 1) // self.num + 1)
    shuffled = np.concatenate(
        [np.random.default_rng([seed, n]).permutation(self.num) for n in passes]
    )
    start = first - passes[0] * self.num
    return shuffled[start : start + count].astype(np.int32)


def log_prob_of(distribution):
  """A function from a tuple of `ArrayData` to log-likelihoods, nats."""

  def log_prob(examples):
    if len(examples) == 1:
      return distribution.log_prob(examples[0])
    x, conditioning = examples
    return distribution.log_prob(
        x, bijector_kwargs={'conditioning': conditioning}
    )

  return log_prob


def training_and_validation(distribution, x, conditioning, validation, seed):
  """Two `ArrayData`, from the arguments of `fit`."""
  train = event_arrays.checked(
      distribution, 'x', x, 'conditioning', conditioning
  )
  if isinstance(validation, numbers.Number):
    part = arguments.check_number(
        'validation', validation, lambda v: 0 < v < 1, 'between 0 and 1'
    )
    x, conditioning = train
    num_held_out = round(part * len(x))
    if not 0 < num_held_out < len(x):
      raise ValueError(
          f'Argument `validation`: {part} of {len(x)} examples leaves none, to '
          'train on or to hold out.'
      )
    order = np.random.default_rng([seed]).permutation(len(x))
    return tuple(
        ArrayData(x[own], None if conditioning is None else conditioning[own])
        for own in (order[num_held_out:], order[:num_held_out])
    )
  if isinstance(validation, tuple):
    if len(validation) != 2:
      raise ValueError(
          'Argument `validation` must be a part, an array, or a pair of data '
          f'and conditioning, got a tuple of {len(validation)}.'
      )
    held_out, held_out_conditioning = validation
  else:
    held_out, held_out_conditioning = validation, None
  held_out = event_arrays.checked(
      distribution, 'validation', held_out, 'validation', held_out_conditioning
  )
  if (held_out[1] is None) != (train[1] is None):
    raise ValueError(
        'Argument `validation` must have conditioning if `x` has, and only '
        'then: give a pair.'
    )
  return ArrayData(*train), ArrayData(*held_out)
