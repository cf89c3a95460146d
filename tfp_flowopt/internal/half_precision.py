"""Arithmetic beyond the range of half precision."""

import tensorflow as tf

__all__ = ['widened']


def widened(x):
  """`x` as float32 if it is of half precision, where 256^2 overflows."""
  return tf.cast(x, tf.float32) if x.dtype.size < 4 else x
