"""Data sets of images to initialise a flow from."""

import numpy as np
import tensorflow as tf

__all__ = ['image_batches']

_BATCH_SIZE = 256


def image_batches(data, flow, name, batch_size=_BATCH_SIZE):
  """A finite data set of batches of images of the flow's shape and type.

  Args:
    data: Array `[N, H, W, C]`, or finite `tf.data.Dataset` of such batches;
      batches of no images are passed over.
    flow: `ImageFlow`.
    name: Of the argument: a wrong kind, type or shape is a `ValueError`, or, in
      a data set that does not know its shape, an `InvalidArgumentError` when it
      is read.
    batch_size: For an array.
  """
  if not isinstance(data, tf.data.Dataset):
    data = np.asarray(data)
    if data.ndim != 4 or not len(data):
      raise ValueError(
          f'Argument `{name}` must have shape [N] + '
          f'{flow.event_shape.as_list()}, N > 0, got {list(data.shape)}.'
      )
    data = tf.data.Dataset.from_tensor_slices(data).batch(batch_size)
  spec = data.element_spec
  shape = tf.TensorShape([None]).concatenate(flow.event_shape)
  if not isinstance(spec, tf.TensorSpec) or not shape.is_compatible_with(
      spec.shape
  ):
    raise ValueError(
        f'Argument `{name}` must hold batches of shape {shape}, got {spec}.'
    )
  if not spec.dtype.is_floating:
    raise ValueError(
        f'Argument `{name}` must be preprocessed (floating-point, noise '
        f'included), got {spec.dtype.name}.'
    )
  if data.cardinality() == tf.data.INFINITE_CARDINALITY:
    raise ValueError(
        f'Argument `{name}` is an infinite dataset; use `take(n)`.'
    )

  # To translate it takes longer than to trace it.
  @tf.autograph.experimental.do_not_convert
  def checked(x):
    wrong = f'Argument `{name}` must hold batches of shape {shape}, got another'
    with tf.control_dependencies([
        tf.debugging.assert_rank(x, shape.rank, message=wrong)
    ]):
      sizes = tf.shape(x)[1:]
    with tf.control_dependencies([
        tf.debugging.assert_equal(sizes, flow.event_shape, message=wrong)
    ]):
      return tf.ensure_shape(tf.cast(x, flow.dtype), shape)

  return data.map(checked).filter(lambda x: tf.size(x) > 0)
