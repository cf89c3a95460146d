"""Inputs that are floating-point numbers."""

import numpy as np
import tensorflow as tf

__all__ = ['as_floats', 'integer_type', 'refuse_integers']


def as_floats(value, dtype, name):
  """Makes a `Tensor` of data.

  Args:
    value: `Tensor`, array, or nested list of numbers.
    dtype: Type of the result; `None` for that of `value`.
    name: Of the argument.

  Returns:
    `Tensor`.

  Raises:
    ValueError: If `value` holds integers or booleans, or is a `Tensor` of
      another type. Python's own numbers have no type: they are read as
      floating-point numbers.
  """
  refuse_integers(value, name)
  return tf.convert_to_tensor(value, dtype, name=name)


def refuse_integers(value, name):
  """Raises a `ValueError` for a `Tensor` or arrays of integers or booleans.

  Where TensorFlow knows what type it needs it makes floats of an array of
  integers, but not of a `Tensor`: images of bytes would be read as values from
  0 to 255.

  Args:
    value: What a user gave: `Tensor`, array, or nested list.
    name: Of the argument.
  """
  found = integer_type(value)
  if found is not None:
    raise ValueError(
        f'Argument `{name}` must be of a floating-point type, got {found}. '
        'Integers are not cast: `tfp_flowopt.flows.dequantize` scales images '
        'and adds noise.'
    )


def integer_type(value):
  """The type of a `Tensor` or arrays of integers or booleans.

  Args:
    value: As for `refuse_integers`.

  Returns:
    Its name; `None` if something in `value` is of another type, or nothing has
    one. (In a structure labels may stand beside images.)
  """
  types = {_type_of(leaf) for leaf in tf.nest.flatten(value)} - {None}
  if not types or not all(t.is_integer or t.is_bool for t in types):
    return None
  return ', '.join(sorted(t.name for t in types))


def _type_of(leaf):
  """The `tf.DType` of a `Tensor`, variable or array; `None` for all else."""
  dtype = getattr(leaf, 'dtype', None)
  if dtype is None and hasattr(leaf, '__array_interface__'):
    dtype = np.asarray(leaf).dtype  # an image of PIL's
  try:
    return tf.as_dtype(dtype)
  except TypeError:
    return None
