"""Events as rows of a matrix."""

import tensorflow as tf

__all__ = ['flatten', 'unflatten']


def flatten(x, event_ndims):
  """Reshapes `[batch..., event]` to `[N, D]`."""
  event_shape = x.shape[x.shape.rank - event_ndims :]
  size = tf.reduce_prod(tf.shape(x)[x.shape.rank - event_ndims :])
  rows = tf.reshape(x, tf.stack([-1, size]))
  return tf.ensure_shape(rows, [None, event_shape.num_elements()])


def unflatten(rows, like):
  """Reshapes `[N, D]` to the shape of `like`."""
  return tf.ensure_shape(tf.reshape(rows, tf.shape(like)), like.shape)
