"""Checks of arguments, which say what is wrong with one."""

import operator
import pathlib

import numpy as np

__all__ = ['one_of', 'path', 'whole_number']


def whole_number(name, value, least, most=None):
  """A whole number in a range.

  Args:
    name: Of the argument.
    value: What was given: an `int`, one of NumPy or a scalar integer `Tensor`.
    least: Least value that is allowed.
    most: Largest value, or `None`.

  Returns:
    Python `int`.

  Raises:
    ValueError: If it is something else, or out of range.
  """
  needs = f'of at least {least}' if most is None else f'from {least} to {most}'
  try:
    number = operator.index(value)
  except (TypeError, ValueError):
    number = None
  if (
      number is None
      or isinstance(value, (bool, np.bool_))
      or number < least
      or (most is not None and number > most)
  ):
    raise ValueError(
        f'Argument `{name}` must be a whole number {needs}, got {value!r}.'
    )
  return number


def one_of(name, value, allowed):
  """One of a few values.

  Args:
    name: Of the argument.
    value: What was given.
    allowed: Sequence of what may be.

  Returns:
    The allowed value that equals it.

  Raises:
    ValueError: If there is none.
  """
  try:
    return allowed[allowed.index(value)]
  except Exception as e:  # Arrays and Tensors cannot all be compared.
    raise ValueError(
        f'Argument `{name}` must be one of {list(allowed)}, got {value!r}.'
    ) from e


def path(name, value):
  """A path.

  Args:
    name: Of the argument.
    value: What was given.

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
