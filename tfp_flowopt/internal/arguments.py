"""Checks of arguments: errors name the argument, what it got, what it needs."""

import math
import numbers
import pathlib

import tensorflow as tf

__all__ = [
    'check_choice',
    'check_dtype',
    'check_image_shape',
    'check_instance',
    'check_int',
    'check_ints',
    'check_number',
    'check_path',
    'check_positive',
    'check_range',
    'check_seed',
    'check_tensor',
]


def check_int(name, value, least=1, most=None):
  """A Python `int` from an `int`, or one of NumPy's.

  Args:
    name: Of the argument.
    value: Its value.
    least: The least that it may be; `None` for no limit.
    most: The most that it may be; `None` for no limit.

  Returns:
    Python `int`.

  Raises:
    ValueError: If it is anything else: a `bool`, `float` or `Tensor`, too.
  """
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
    raise ValueError(f'Argument `{name}` must be {wanted}, got {value!r}.')
  return int(value)


def check_ints(name, values, least=1):
  """A tuple of Python `int`s from several integers.

  Args:
    name: Of the argument.
    values: Its value, iterable.
    least: The least that each may be.

  Returns:
    Tuple of Python `int`s.

  Raises:
    ValueError: If it is anything else.
  """
  error = ValueError(
      f'Argument `{name}` must be ints of at least {least}, got {values!r}.'
  )
  if tf.is_tensor(values):
    raise error
  try:
    return tuple(check_int(name, value, least) for value in values)
  except (TypeError, ValueError) as e:
    raise error from e


def check_number(name, value, accepts, wanted):
  """A Python `float` from a Python or NumPy number.

  Args:
    name: Of the argument.
    value: Its value.
    accepts: Function from a `float` to whether it may be that.
    wanted: What it must be, for the message.

  Returns:
    Python `float`.

  Raises:
    ValueError: If it is not accepted, or no real number: a `bool` or `Tensor`.
  """
  if (
      isinstance(value, bool)
      or not isinstance(value, numbers.Real)
      or not accepts(float(value))
  ):
    raise ValueError(f'Argument `{name}` must be {wanted}, got {value!r}.')
  return float(value)


def check_path(name, value):
  """A path.

  Args:
    name: Of the argument.
    value: Its value.

  Returns:
    `pathlib.Path`.

  Raises:
    ValueError: If it is none.
  """
  try:
    return pathlib.Path(value)
  except TypeError as e:
    raise ValueError(
        f'Argument `{name}` must be a path, got {value!r}.'
    ) from e


def check_positive(name, value, or_infinite=False):
  """A positive Python `float` from a Python or NumPy number.

  Args:
    name: Of the argument.
    value: Its value.
    or_infinite: Whether it may be infinite.

  Returns:
    Python `float`.

  Raises:
    ValueError: If it is anything else.
  """
  if or_infinite:
    return check_number(
        name, value, lambda v: v > 0, 'a positive number or inf'
    )
  return check_number(
      name, value, lambda v: 0 < v < math.inf, 'a positive, finite number'
  )


def check_range(name, values):
  """Raises a `ValueError` unless two positive, finite numbers ascend.

  Args:
    name: Of the argument.
    values: Its value.
  """
  try:
    low, high = (check_positive(name, value) for value in values)
    ascend = low <= high
  except (TypeError, ValueError):
    ascend = False
  if not ascend:
    raise ValueError(
        f'Argument `{name}` must be two positive numbers in ascending order, '
        f'got {values!r}.'
    )


def check_choice(name, value, choices):
  """One of a few values.

  Args:
    name: Of the argument.
    value: Its value.
    choices: Strings, numbers or the like; or a dictionary, whose keys they are.

  Returns:
    The choice that equals it.

  Raises:
    ValueError: If there is none.
  """
  choices = list(choices)
  try:
    return choices[choices.index(value)]
  except Exception as e:  # Arrays and Tensors cannot all be compared.
    raise ValueError(
        f'Argument `{name}` must be one of {choices}, got {value!r}.'
    ) from e


def check_dtype(name, value, choices=()):
  """The `tf.DType` of a floating-point type.

  Args:
    name: Of the argument.
    value: Type of TensorFlow or NumPy, or its name.
    choices: The types that it may be; by default all that are floating-point.

  Returns:
    `tf.DType`.

  Raises:
    ValueError: If it is none.
  """
  try:
    dtype = tf.as_dtype(value)
  except TypeError:
    dtype = None
  if dtype is None or not dtype.is_floating or (
      choices and dtype not in choices
  ):
    wanted = ' or '.join(t.name for t in choices) or 'a floating-point type'
    raise ValueError(f'Argument `{name}` must be {wanted}, got {value!r}.')
  return dtype


def check_instance(name, value, classes, wanted):
  """Raises a `ValueError` unless `value` is of a class.

  Args:
    name: Of the argument.
    value: Its value.
    classes: Class, or tuple of classes.
    wanted: What it must be, for the message.
  """
  if not isinstance(value, classes):
    raise ValueError(
        f'Argument `{name}` must be {wanted}, got {_short(value)}.'
    )


def check_tensor(name, value, choices=()):
  """A floating-point `Tensor`.

  Args:
    name: Of the argument.
    value: Its value.
    choices: Types that it may be of; by default all that are floating-point.

  Returns:
    `Tensor`.

  Raises:
    ValueError: If it is none, or of another type.
  """
  try:
    tensor = tf.convert_to_tensor(value, name=name)
  except (TypeError, ValueError) as e:
    raise ValueError(
        f'Argument `{name}` must be a Tensor, got {_short(value)}.'
    ) from e
  if not tensor.dtype.is_floating or (choices and tensor.dtype not in choices):
    wanted = ' or '.join(t.name for t in choices) or 'floating-point'
    raise ValueError(
        f'Argument `{name}` must be {wanted}, got {tensor.dtype.name}.'
    )
  return tensor


def check_seed(name, value):
  """A stateless seed.

  Args:
    name: Of the argument.
    value: Its value, two integers.

  Returns:
    Integer `Tensor` `[2]`.

  Raises:
    ValueError: If it is anything else.
  """
  try:
    seed = tf.convert_to_tensor(value, name=name)
  except (TypeError, ValueError):
    seed = None
  if (
      seed is None
      or not seed.dtype.is_integer
      or not seed.shape.is_compatible_with([2])
  ):
    raise ValueError(
        f'Argument `{name}` must be two integers, got {_short(value)}.'
    )
  return seed


def check_image_shape(name, value):
  """The `TensorShape` of images, `[H, W, C]`.

  Args:
    name: Of the argument.
    value: Its value.

  Returns:
    `tf.TensorShape`, known, of positive sizes.

  Raises:
    ValueError: If it is anything else.
  """
  try:
    shape = tf.TensorShape(value)
  except (TypeError, ValueError):
    shape = tf.TensorShape(None)
  if (
      shape.rank != 3
      or not shape.is_fully_defined()
      or min(shape.as_list()) < 1
  ):
    raise ValueError(
        f'Argument `{name}` must be [H, W, C], positive and fully known, got '
        f'{value!r}.'
    )
  return shape


def _short(value):
  """A value, for a message; of a `Tensor` its shape."""
  if tf.is_tensor(value):
    return f'a Tensor of shape {value.shape}'
  return f'{value!r} ({type(value).__name__})'
