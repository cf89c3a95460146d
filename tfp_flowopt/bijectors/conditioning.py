"""What an image flow is conditioned on."""

import numbers

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import image_batch

__all__ = ['Conditioning', 'halved']


class Conditioning:
  """Class labels, vectors or feature maps, as the networks of a flow see them.

  All become maps `[..., h, w, F]` that can be added to hidden layers: labels
  one-hot and vectors `[..., 1, 1, F]`, feature maps as they are.
  """

  def __init__(self, spec, event_shape):
    """Creates it.

    Args:
      spec: Number of classes, an `int`, for integer labels `[...]`; or a shape:
        `[F]` for vectors `[..., F]`, `[H, W, F]` for feature maps.
      event_shape: `TensorShape` of an image, `[H, W, C]`.

    Raises:
      ValueError: If `spec` is none of these.
    """
    self._is_labels = isinstance(spec, numbers.Integral)
    try:
      shape = arguments.check_ints(
          'conditioning', [spec] if self._is_labels else spec
      )
    except ValueError:
      shape = ()
    sides = () if len(shape) == 1 else tuple(event_shape[:2])
    if not shape or shape[:-1] != sides:
      raise ValueError(
          'Argument `conditioning` must be a number of classes, or a shape [F] '
          f'or [{event_shape[0]}, {event_shape[1]}, F] of features, got '
          f'{spec!r}.'
      )
    self._shape = list(shape)

  @property
  def spec(self):
    """`tf.TensorSpec` of a batch: int64 labels, or float32 features."""
    shape = [] if self._is_labels else self._shape
    dtype = tf.int64 if self._is_labels else tf.float32
    return tf.TensorSpec([None, *shape], dtype, name='conditioning')

  @property
  def num_channels(self):
    """The `F` above: features of a position."""
    return self._shape[-1]

  def __call__(self, value, dtype, batch_shape=None):
    """Maps `[..., h, w, F]`.

    Args:
      value: Labels, vectors or feature maps.
      dtype: Type of the result.
      batch_shape: `TensorShape` of the images, to which that of `value` must
        broadcast; by default it is not checked.

    Returns:
      `Tensor`.

    Raises:
      ValueError: If `value` is `None` or has a wrong type or shape.
      InvalidArgumentError: If a label is out of range.
    """
    if value is None:
      raise ValueError(
          f'Argument `conditioning`: the flow is conditioned on {self}; with '
          'a distribution, give `bijector_kwargs={"conditioning": ...}`.'
      )
    value = tf.convert_to_tensor(value, name='conditioning')
    if self._is_labels:
      if not value.dtype.is_integer:
        raise ValueError(
            'Argument `conditioning` must be integer labels, got '
            f'{value.dtype.name}.'
        )
      # Narrow types hold no number of classes.
      value = tf.cast(value, tf.int64)
      num_classes = tf.constant(self.num_channels, tf.int64)
      message = f'Argument `conditioning` must be {self}.'
      with tf.control_dependencies([
          tf.debugging.assert_non_negative(value, message),
          tf.debugging.assert_less(value, num_classes, message),
      ]):
        maps = tf.one_hot(value, self.num_channels, dtype=dtype)
    else:
      maps = tf.cast(value, dtype)
      rank = len(self._shape)
      if maps.shape.rank is None or maps.shape.rank < rank or not maps.shape[
          maps.shape.rank - rank :
      ].is_compatible_with(self._shape):
        raise ValueError(
            f'Argument `conditioning` must be {self}, got shape {maps.shape}.'
        )
    if len(self._shape) == 1:
      maps = maps[..., tf.newaxis, tf.newaxis, :]
    if batch_shape is not None:
      self._check_batch(maps.shape[:-3], batch_shape)
    return maps

  def _check_batch(self, own, batch_shape):
    """Raises a `ValueError` unless a shape broadcasts to that of the images."""
    try:
      fits = tf.broadcast_static_shape(own, batch_shape).is_compatible_with(
          batch_shape
      )
    except ValueError:
      fits = False
    if not fits:
      raise ValueError(
          f'Argument `conditioning` must be {self}, one for each image or for '
          f'all, got {own} of them for images of batch shape {batch_shape}.'
      )

  def __str__(self):
    if self._is_labels:
      return f'labels from 0 to {self.num_channels - 1}'
    sizes = ', '.join(map(str, self._shape))
    return f'features of shape [..., {sizes}]'


def halved(maps):
  """Feature maps at half the resolution, by averages; `None` stays `None`.

  Args:
    maps: `[..., h, w, F]`, even or, for what is the same everywhere, 1.

  Returns:
    `[..., h / 2, w / 2, F]`; maps of one position as they are.
  """
  if maps is None or maps.shape[-2] == 1:
    return maps
  return image_batch.on_image_batch(
      lambda x: tf.nn.avg_pool2d(x, 2, 2, 'VALID'), maps
  )
