"""Seeds of stateless random numbers."""

import tensorflow as tf

from tfp_flowopt.internal import arguments

__all__ = ['fold_in', 'pair']


def pair(seed):
  """A seed `[2]`, int64, from one or two integers.

  A `ValueError` that calls it `seed` for anything else.
  """
  seed = arguments.check_integers(
      'seed', seed, 'one or two integers', [[], [2]]
  )
  seed = tf.cast(seed, tf.int64)
  return seed if seed.shape.rank else tf.stack([0, seed])


def fold_in(seed, number):
  """Another seed like `seed` `[2]`, the same on all devices, XLA's included."""
  return tf.random.experimental.stateless_fold_in(
      seed, tf.cast(number, tf.int64), alg='philox'
  )
