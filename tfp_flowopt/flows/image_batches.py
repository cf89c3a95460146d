"""Data that an image flow is initialised with, checked and batched."""

import numpy as np
import tensorflow as tf

__all__ = ['image_batches', 'mean']

# Numbers of a batch, about: batches of users may be small, and each takes
# thousands of small operations.
_BATCH_NUMBERS = 2**20


def image_batches(
    flow, data, conditioning=None, name='data', batch_size=None
):
  """A finite data set of batches of images, or of pairs with conditioning.

  Of the shape and type of the flow. `data` is an array `[N, H, W, C]`, and
  `conditioning` one row for each; or a `tf.data.Dataset` of batches or pairs,
  without `conditioning`. One that does not know its shape is checked when it is
  read, with an `InvalidArgumentError`. Batches have `batch_size` images,
  whatever those of `data` have; by default about `_BATCH_NUMBERS` numbers.
  """
  batch_size = batch_size or max(1, _BATCH_NUMBERS // flow.event_size)
  if conditioning is not None and flow.conditioning is None:
    raise ValueError(
        'Argument `conditioning`: the flow was made without it.'
    )
  if not isinstance(data, tf.data.Dataset):
    data = np.asarray(data)
    if data.ndim != 4 or not len(data):
      raise ValueError(
          f'Argument `{name}` must have shape [N] + '
          f'{flow.event_shape.as_list()}, N > 0, got {list(data.shape)}.'
      )
    if conditioning is not None:
      conditioning = np.asarray(conditioning)
      if conditioning.ndim < 1 or len(conditioning) != len(data):
        raise ValueError(
            f'Argument `conditioning` must be one for each of {len(data)} '
            f'images, got shape {list(conditioning.shape)}.'
        )
      # Once, for all: labels in range, features of the right shape.
      flow.conditioning_maps(conditioning, tf.TensorShape(data.shape[:1]))
      data = data, conditioning
    data = tf.data.Dataset.from_tensor_slices(data).batch(batch_size)
  elif conditioning is not None:
    raise ValueError(
        f'Argument `conditioning` is for arrays: `{name}` is a data set, which '
        'gives pairs of images and conditioning.'
    )
  spec = data.element_spec
  if isinstance(spec, tuple) and len(spec) == 2 and flow.conditioning:
    spec, _ = spec
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
  def checked(x, *conditioning):
    wrong = f'Argument `{name}` must hold batches of shape {shape}, got another'
    with tf.control_dependencies([
        tf.debugging.assert_rank(x, shape.rank, message=wrong)
    ]):
      sizes = tf.shape(x)[1:]
    with tf.control_dependencies([
        tf.debugging.assert_equal(sizes, flow.event_shape, message=wrong)
    ]):
      x = tf.ensure_shape(tf.cast(x, flow.dtype), shape)
    x = tf.debugging.assert_all_finite(
        x, f'Argument `{name}` must be finite.'
    )
    return (x, *conditioning) if conditioning else x

  data = data.map(checked).filter(lambda x, *_: tf.size(x) > 0)
  return data.rebatch(batch_size)


def mean(batches):
  """Mean of batches of numbers `[N]`, a Python `float` of float64 sums."""
  total, count = 0.0, 0
  for values in batches:
    total += float(tf.reduce_sum(tf.cast(values, tf.float64)))
    count += len(values)
  return total / count
