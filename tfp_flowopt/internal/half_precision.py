"""Arithmetic beyond the range of half precision."""

import tensorflow as tf

__all__ = ['widened']


def widened(x):
  """`x` as float32 if it is of half precision.

  The square of 256 overflows in float16, and bfloat16 keeps two digits of a
  ratio.
  """
  return tf.cast(x, tf.float32) if x.dtype.size < 4 else x
