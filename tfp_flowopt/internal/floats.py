"""Inputs that are floating-point numbers."""

import numpy as np
import tensorflow as tf

__all__ = ['as_floats', 'integer_type', 'refuse_integers']


def as_floats(value, dtype, name):
  """A `Tensor` of data, of type `dtype`, or of its own for `None`.

  Python's own numbers have no type and are read as floats; integers, booleans
  and a `Tensor` of another type are a `ValueError` that calls them `name`.
  """
  refuse_integers(value, name)
  return tf.convert_to_tensor(value, dtype, name=name)


def refuse_integers(value, name):
  """Raises a `ValueError` for a `Tensor` or arrays of integers or booleans.

  Where TensorFlow knows what type it needs it would make floats of an array:
  images of bytes would be read as values from 0 to 255.
  """
  found = integer_type(value)
  if found is not None:
    raise ValueError(
        f'Argument `{name}` must be of a floating-point type, got {found}. '
        'Integers are not cast: `tfp_flowopt.flows.dequantize` scales images '
        'and adds noise.'
    )


def integer_type(value):
  """The names of the types in `value`, if all are integers or booleans.

  Else `None`: labels may stand beside images.
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
