"""Checks of arguments: errors name the argument, what it got, what it needs."""

import math
import numbers

import tensorflow as tf

__all__ = [
    'check_choice',
    'check_dtype',
    'check_int',
    'check_number',
    'check_positive',
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


def check_choice(name, value, choices):
  """Raises a `ValueError` unless `value` is one of some strings.

  Args:
    name: Of the argument.
    value: Its value.
    choices: Strings.
  """
  if not isinstance(value, str) or value not in choices:
    raise ValueError(
        f'Argument `{name}` must be one of {list(choices)}, got {value!r}.'
    )


def check_dtype(name, value):
  """The `tf.DType` of a floating-point type.

  Args:
    name: Of the argument.
    value: Type of TensorFlow or NumPy, or its name.

  Returns:
    `tf.DType`.

  Raises:
    ValueError: If it is none.
  """
  try:
    dtype = tf.as_dtype(value)
  except TypeError:
    dtype = None
  if dtype is None or not dtype.is_floating:
    raise ValueError(
        f'Argument `{name}` must be a floating-point type, got {value!r}.'
    )
  return dtype
