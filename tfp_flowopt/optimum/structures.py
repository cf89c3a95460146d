"""What the linear map of each structure acts on, and checks of the data."""

import numpy as np
import tensorflow as tf

__all__ = [
    'STRUCTURES',
    'as_vectors',
    'check_structure',
    'checked_data',
    'vector_shape',
]

STRUCTURES = ('dense', 'pointwise', 'individual', 'circulant')


def check_structure(structure, block_size):
  """Raises a `ValueError` for an unknown structure or a bad block size."""
  if structure not in STRUCTURES:
    raise ValueError(
        f'Argument `structure` must be one of {STRUCTURES}, got '
        f'{structure!r}.'
    )
  if not isinstance(block_size, (int, np.integer)) or block_size < 1:
    raise ValueError(
        'Argument `block_size` must be an int of at least 1, got '
        f'{block_size!r}.'
    )
  if structure in ('dense', 'circulant') and block_size != 1:
    raise ValueError(
        'Argument `block_size` applies to structures "pointwise" and '
        f'"individual"; structure "{structure}" needs block_size=1, got '
        f'{block_size}.'
    )


def vector_shape(structure, event_shape, block_size):
  """The vectors that a structure sees in one event.

  Args:
    structure: See `likelihood_optimum`.
    event_shape: Shape of an event, `[D]` or `[H, W, C]`; entries may be
      `None`.
    block_size: See `likelihood_optimum`.

  Returns:
    num_vectors: Number of vectors in an event, or `None` if not known.
    dimension: Their dimension, or `None` if not known. For `'circulant'` an
      event is one vector for each frequency.

  Raises:
    ValueError: If the event does not fit the structure.
  """
  event_shape = tf.TensorShape(event_shape).as_list()
  check_structure(structure, block_size)
  if structure == 'dense':
    if len(event_shape) != 1:
      raise ValueError(
          'Structure "dense" needs events of shape [D], got '
          f'{event_shape}; flatten images first.'
      )
    return 1, event_shape[0]
  if len(event_shape) != 3:
    raise ValueError(
        f'Structure "{structure}" needs events of shape [H, W, C], got '
        f'{event_shape}.'
    )
  height, width, channels = event_shape
  for name, size in (('height', height), ('width', width)):
    if size is not None and size % block_size:
      raise ValueError(
          f'Argument `block_size` ({block_size}) must divide the {name} of '
          f'the images ({size}).'
      )
  positions = None
  if height is not None and width is not None:
    positions = (height // block_size) * (width // block_size)
  dimension = None if channels is None else channels * block_size**2
  return positions, dimension


def checked_data(x, structure, block_size, event_shape=None):
  """The data, behind checks of its type, shape and values.

  Args:
    x: See `likelihood_optimum`.
    structure: See `likelihood_optimum`.
    block_size: See `likelihood_optimum`.
    event_shape: `TensorShape` that each event must have, `None` for any; then
      `x` has one batch axis.

  Returns:
    `x` as a `Tensor` of its type.

  Raises:
    ValueError: If `x` is not floating-point or has the wrong rank.
    InvalidArgumentError: If `x` is empty, NaN or infinite.
  """
  x = tf.convert_to_tensor(x, name='x')
  wanted = None
  if event_shape is not None:
    wanted = tf.TensorShape([None]).concatenate(event_shape)
    if not x.shape.is_compatible_with(wanted):
      raise ValueError(
          f'Argument `x` must have shape [N] + {event_shape}, got {x.shape}.'
      )
  if x.dtype not in (tf.float32, tf.float64):
    raise ValueError(
        'Argument `x` must be of type float32 or float64, got '
        f'{x.dtype.name}.'
    )
  if structure == 'dense':
    if x.shape.rank is None or x.shape.rank < 2:
      raise ValueError(
          'Argument `x` must have shape [..., N, D] for structure "dense", '
          f'got {x.shape}.'
      )
    vector_shape(structure, x.shape[-1:], block_size)
  else:
    if x.shape.rank != 4:
      raise ValueError(
          'Argument `x` must have shape [N, H, W, C] for structure '
          f'"{structure}", got {x.shape}.'
      )
    vector_shape(structure, x.shape[1:], block_size)
  with tf.control_dependencies([
      tf.debugging.assert_positive(
          # Many large images are more numbers than an int32 counts.
          tf.size(x, out_type=tf.int64),
          message=f'Argument `x` is empty, its shape is {x.shape}.'
      )
  ]):
    x = tf.debugging.check_numerics(x, 'Argument `x` has non-finite entries')
  # What is not known before is checked as it runs.
  return x if wanted is None else tf.ensure_shape(x, wanted)


def as_vectors(x, structure, block_size):
  """Views data as the vectors that the linear map of a structure acts on.

  Args:
    x: Checked `Tensor`, see `likelihood_optimum` for its shape.
    structure: `'dense'`, `'pointwise'` or `'individual'`.
    block_size: See `likelihood_optimum`.

  Returns:
    `Tensor` `[..., number of vectors, dimension]`: dense as it is, pointwise
    `[N H W / k^2, k^2 C]`, individual `[N, H W / k^2, k^2 C]`.
  """
  if structure == 'dense':
    return x
  if block_size > 1:
    x = tf.nn.space_to_depth(x, block_size)
  shape = tf.shape(x)
  channels = x.shape[-1] if x.shape[-1] is not None else shape[-1]
  if structure == 'pointwise':
    return tf.reshape(x, [-1, channels])
  return tf.reshape(x, [shape[0], -1, channels])
