"""Rounding of constants: always upwards, and never an exception."""

import fractions
import math
from typing import NamedTuple

import tensorflow as tf

__all__ = [
    'HALF_PRECISION',
    'exponential',
    'inflation',
    'kernel_inflation',
    'product',
    'properties',
    'reciprocal',
    'rounded_up',
]


class _Type(NamedTuple):
  """A type's unit round-off, and its smallest positive number.

  The one is the largest relative error of rounding to nearest; the other may
  be added by rounding near 0.
  """

  unit: float
  smallest: float


_TYPES = {
    tf.bfloat16: _Type(2.0**-8, 2.0**-133),
    tf.float16: _Type(2.0**-11, 2.0**-24),
    tf.float32: _Type(2.0**-24, 2.0**-149),
    tf.float64: _Type(2.0**-53, 2.0**-1074),
}

# Types whose rounding is seen in any value. This library computes nothing but
# elementwise maps in them: its kernels are refused.
HALF_PRECISION = (tf.bfloat16, tf.float16)
_ELEMENTWISE = 8
# A rescaled kernel or an orthogonal matrix is made of sums of products. More
# than they round by: 1e-4 in float32.
_SUMS = 1e-4 * 2.0**24


def properties(dtype):
  """The `_Type` of a real or complex type; a `ValueError` for others."""
  result = _TYPES.get(tf.as_dtype(dtype).real_dtype)
  if result is None:
    raise ValueError(
        'Argument `dtype` must be one of '
        f'{[t.name for t in _TYPES]}, got {tf.as_dtype(dtype).name}.'
    )
  return result


def inflation(dtype, operations=0):
  """Safety factor for constants that rest on weights of a type.

  What is computed from weights (a rescaled kernel, an orthogonal matrix, the
  exponential of a log-scale) is exact up to rounding only. The factor is 1 plus
  the unit round-off times the number of roundings in a row, which `operations`
  says if it may be large: at least 8 in half precision, which holds no sums of
  products, and 1,700 in float32 and float64 (1e-4 and 2e-13); 1 + 2e-3 or more
  for float32 where a GPU may use TensorFloat-32.
  """
  dtype = tf.as_dtype(dtype).real_dtype
  least = _ELEMENTWISE if dtype in HALF_PRECISION else _SUMS
  relative = properties(dtype).unit * max(operations, least)
  if (
      dtype == tf.float32
      and tf.config.experimental.tensor_float_32_execution_enabled()
      and tf.config.list_physical_devices('GPU')
  ):
    relative = max(relative, 2e-3)
  return 1.0 + relative


def kernel_inflation(shape, lipschitz, dtype, compute_dtype):
  """Safety factor of a rescaled kernel, rounded to the type to compute with.

  Of the kernel, `[..., in, out]` and of norm at most `L`, and of the output.
  Rounding adds at most `u |K|`, entry by entry. Each input channel of `K` has a
  norm of at most `L`, and so has each output channel. A sum over `n` absolute
  values is at most `sqrt(n)` times their norm. The operator norm of `|K|` is at
  most the geometric mean of its largest row and column sum, so at most
  `L sqrt(taps sqrt(in out))`.
  """
  factor = inflation(dtype)
  unit, smallest = properties(compute_dtype)
  if unit <= properties(dtype).unit:
    return factor
  *taps, inputs, outputs = shape
  taps = math.prod(taps)
  largest = math.sqrt(taps * math.sqrt(inputs * outputs))
  # Near 0 what rounding adds is no factor.
  added = smallest * math.sqrt(taps * inputs * outputs)
  return factor * (1.0 + unit * (largest + 1.0) + added / lipschitz)


def rounded_up(constant, dtype, operations=0):
  """A constant of weights of a type, with all that rounding may add.

  Infinite beyond the range of the type, where the values that the map computes
  are, too. 0, which no rounding makes, stays 0.
  """
  dtype = tf.as_dtype(dtype).real_dtype
  if constant == 0:
    return constant
  constant = (
      constant * inflation(dtype, operations) + properties(dtype).smallest
  )
  return math.inf if constant > float(dtype.max) else constant


def exponential(x):
  """`e^x`, rounded up: infinite where it overflows, never 0."""
  try:
    return math.nextafter(math.exp(x), math.inf)
  except OverflowError:
    return math.inf


def product(a, b):
  """`a b`, not negative, rounded up: infinite if a factor is, also times 0."""
  if math.inf in (a, b):
    return math.inf
  result = a * b
  if math.isfinite(result) and (
      fractions.Fraction(a) * fractions.Fraction(b) > result
  ):
    return math.nextafter(result, math.inf)
  return result


def reciprocal(x):
  """`1 / x` of a number that is not negative, rounded up; infinite for 0."""
  result = 1.0 / x if x else math.inf
  if math.isfinite(result) and 0 < x < math.inf and (
      fractions.Fraction(result) * fractions.Fraction(x) < 1
  ):
    return math.nextafter(result, math.inf)
  return result
