"""Image operations under any number of batch dimensions."""

import tensorflow as tf

__all__ = ['on_image_batch']


def on_image_batch(function, x):
  """Applies a function of images `[N, H, W, C]` to `[..., H, W, C]`.

  TensorFlow's kernels take one batch dimension; with more, or none, conv2d on
  CPU aborts the process.
  """
  if x.shape.rank == 4:
    return function(x)
  batch_shape, event_shape = tf.shape(x)[:-3], tf.shape(x)[-3:]
  y = function(
      tf.ensure_shape(
          tf.reshape(x, tf.concat([[-1], event_shape], axis=0)),
          [None, *x.shape[-3:]],
      )
  )
  result = tf.reshape(y, tf.concat([batch_shape, tf.shape(y)[1:]], axis=0))
  return tf.ensure_shape(result, x.shape[:-3].concatenate(y.shape[1:]))
