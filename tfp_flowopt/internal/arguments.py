"""Checks of arguments.

Each function takes the name of an argument and its value, and raises a
`ValueError` that names the argument, what it got and what it needs. What it
returns, if anything, is the value in the type that is meant.
"""

import math
import numbers
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = [
    'broadcasts',
    'check_choice',
    'check_dtype',
    'check_eager',
    'check_image_shape',
    'check_instance',
    'check_int',
    'check_integers',
    'check_ints',
    'check_no_batch',
    'check_number',
    'check_path',
    'check_positive',
    'check_range',
    'check_scalar',
    'check_seed',
    'check_tensor',
    'not_negative',
]


def _error(name, wanted, got):
  return ValueError(f'Argument `{name}` must be {wanted}, got {got}.')


def check_int(name, value, least=1, most=None):
  """A Python `int` from an integer in `least..most`; `None` is no limit."""
  if (
      isinstance(value, bool)
      or not isinstance(value, numbers.Integral)
      or (least is not None and value < least)
      or (most is not None and value > most)
  ):
    if most is not None:
      wanted = f'an int in {least}..{most}'
    else:
      wanted = 'an int' if least is None else f'an int of at least {least}'
    raise _error(name, wanted, repr(value))
  return int(value)


def check_ints(name, values, least=1):
  """A tuple of Python `int`s, each of at least `least`, from an iterable."""
  error = _error(name, f'ints of at least {least}', repr(values))
  if tf.is_tensor(values):
    raise error
  try:
    return tuple(check_int(name, value, least) for value in values)
  except (TypeError, ValueError) as e:
    raise error from e


def check_number(name, value, accepts, wanted):
  """A Python `float` that a function accepts, from any number, no `bool`."""
  if (
      isinstance(value, bool)
      or not isinstance(value, numbers.Real)
      or not accepts(float(value))
  ):
    raise _error(name, wanted, repr(value))
  return float(value)


def check_path(name: str, value: Any) -> pathlib.Path:
  """A `pathlib.Path`; of another machine there is none."""
  try:
    path = pathlib.Path(value)
  except TypeError as e:
    raise _error(name, 'a path', repr(value)) from e
  if '://' in str(value):
    raise _error(name, 'a path of the file system', repr(value))
  return path


def check_positive(name, value, or_infinite=False):
  """A positive Python `float`, finite unless it may be infinite."""
  if or_infinite:
    accepts, wanted = lambda v: v > 0, 'a positive number or inf'
  else:
    accepts, wanted = lambda v: 0 < v < math.inf, 'a positive, finite number'
  return check_number(name, value, accepts, wanted)


def check_range(name, values):
  """Checks that two positive, finite numbers ascend."""
  try:
    low, high = (check_positive(name, value) for value in values)
    ascend = low <= high
  except (TypeError, ValueError):
    ascend = False
  if not ascend:
    raise _error(name, 'two positive numbers in ascending order', repr(values))


def check_choice(name, value, choices):
  """The one of `choices` (or keys of a dictionary) that equals the value."""
  choices = list(choices)
  try:
    return choices[choices.index(value)]
  except Exception as e:  # Arrays and Tensors cannot all be compared.
    raise _error(name, f'one of {choices}', repr(value)) from e


def check_dtype(name, value, choices=()):
  """The `tf.DType` of a floating-point type, one of `choices` if given."""
  try:
    dtype = tf.as_dtype(value)
  except TypeError:
    dtype = None
  if dtype is None or not _is_one_of(dtype, choices):
    raise _error(name, _names(choices) or 'a floating-point type', repr(value))
  return dtype


def check_instance(name, value, classes, wanted):
  """Checks that a value is of a class; `wanted` is what the message says."""
  if not isinstance(value, classes):
    raise _error(name, wanted, _short(value))


def check_no_batch(distribution):
  """Refuses a batch of distributions where data are those of one."""
  shape = distribution.batch_shape
  if isinstance(shape, tf.TensorShape) and (
      shape.num_elements() not in (None, 1)
  ):
    raise _error('distribution', 'a single one', f'a batch of shape {shape}')


def check_eager(name, reason):
  """Refuses a `tf.function`; `reason` says why, and what to do instead."""
  if tf.inside_function():
    raise ValueError(
        f'Argument `{name}` is for calls outside of a tf.function: {reason}'
    )


def check_tensor(name, value, choices=()):
  """A floating-point `Tensor`, of one of the types `choices` if given."""
  try:
    tensor = tf.convert_to_tensor(value, name=name)
  except (TypeError, ValueError) as e:
    raise _error(name, 'a Tensor', _short(value)) from e
  if not _is_one_of(tensor.dtype, choices):
    raise _error(name, _names(choices) or 'floating-point', tensor.dtype.name)
  return tensor


def check_real(name, value, dtype):
  """A real number, or a `Tensor` of some, as a `Tensor` of a type."""
  if isinstance(value, numbers.Real) and not isinstance(value, bool):
    # Python's own have no type: in float32 they would lose digits.
    return tf.constant(float(value), dtype)
  try:
    tensor = tf.convert_to_tensor(value, name=name)
    is_real = tensor.dtype.is_floating or tensor.dtype.is_integer
  except (TypeError, ValueError):
    is_real = False
  if not is_real:
    raise _error(name, 'a real number, or a Tensor of such', _short(value))
  return tf.cast(tensor, dtype)


def _is_one_of(dtype, choices):
  return dtype.is_floating and (not choices or dtype in choices)


def _names(dtypes):
  return ' or '.join(dtype.name for dtype in dtypes)


def check_integers(name, value, wanted='integers', shapes=(None,)):
  """An integer `Tensor` of one of some shapes; `wanted` is for the message."""
  try:
    tensor = tf.convert_to_tensor(value, name=name)
  except (TypeError, ValueError):
    tensor = None
  if (
      tensor is None
      or not tensor.dtype.is_integer
      or not any(tensor.shape.is_compatible_with(shape) for shape in shapes)
  ):
    raise _error(name, wanted, _short(value))
  return tensor


def check_seed(name, value):
  """A stateless seed: an integer `Tensor` `[2]`."""
  return check_integers(name, value, 'two integers', [[2]])


def check_count(name, value):
  """An integer scalar `Tensor`, not negative as far as that is known."""
  if not tf.is_tensor(value):
    value = check_int(name, value, least=0)
  return check_integers(name, value, 'an integer', [[]])


def check_scalar(name, value):
  """Checks that a number or `Tensor` is a scalar, as far as it is known."""
  shape = tf.TensorShape(
      value.shape if tf.is_tensor(value) else np.shape(value)
  )
  if not shape.is_compatible_with([]):
    raise _error(name, 'a scalar', f'shape {shape}')


def broadcasts(shape, wanted):
  """Whether a static shape broadcasts to another one, as far as is known."""
  try:
    result = tf.broadcast_static_shape(shape, wanted)
  except ValueError:
    return False
  return result.is_compatible_with(wanted)


def not_negative(name, tensor):
  """A floating-point `Tensor`, checked as it runs: finite, not negative."""
  message = f'Argument `{name}` must be finite and not negative.'
  with tf.control_dependencies([
      tf.debugging.assert_non_negative(tensor, message=message)
  ]):
    return tf.debugging.check_numerics(tensor, message)


def check_image_shape(name, value):
  """The `tf.TensorShape` of images, `[H, W, C]`, known and positive."""
  try:
    shape = tf.TensorShape(value)
  except (TypeError, ValueError):
    shape = tf.TensorShape(None)
  if (
      shape.rank != 3
      or not shape.is_fully_defined()
      or min(shape.as_list()) < 1
  ):
    raise _error(name, '[H, W, C], positive and fully known', repr(value))
  return shape


def _short(value):
  """A value, for a message; of a `Tensor` or an array its type and shape."""
  if tf.is_tensor(value) or isinstance(value, np.ndarray):
    kind = 'a Tensor' if tf.is_tensor(value) else 'an array'
    return f'{kind} of {value.dtype.name}, shape {value.shape}'
  return f'{value!r} ({type(value).__name__})'
