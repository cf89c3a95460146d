"""Activations with Lipschitz constant 1."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import custom_gradients
from tfp_flowopt.internal import types

__all__ = [
    'ACTIVATIONS',
    'activation_function',
    'max_min',
    'rotated_max_min',
    'smooth_max_min',
]

# Half the width of the corner that `smooth_max_min` rounds.
_CORNER = 0.1
# Beyond, its slope is 1 to the last digit, and the square need not be in range.
_FAR = 1e8


def max_min(x: types.TensorLike) -> tf.Tensor:
  """MaxMin activation: sorts pairs of channels (Anil, Lucas & Grosse 2019).

  1-Lipschitz, and its Jacobian is a permutation, also in ties: it loses no
  gradient norm.

  Args:
    x: `Tensor` `[..., C]`, as the result; channel `i` is paired with `i + C/2`.

  Raises:
    ValueError: If `C` is odd.
  """
  return _sorted_pairs(*_pairs(x))


@custom_gradients.custom_gradient
def _sorted_pairs(a, b):
  # Not the gradients of tf.maximum and tf.minimum: where a = b both have that
  # of `a`, which is no permutation, of norm sqrt(2).
  y = tf.concat([tf.maximum(a, b), tf.minimum(a, b)], axis=-1)

  def gradient(dy):
    larger, smaller = tf.split(dy, 2, axis=-1)
    swap = a < b
    return tf.where(swap, smaller, larger), tf.where(swap, larger, smaller)

  return y, gradient


def rotated_max_min(x):
  """MaxMin between rotations: the absolute values of half of the channels.

  With the orthogonal `R x = [a + b, a - b] / sqrt(2)` of the halves `a`, `b` of
  `x`, which is its own inverse,

  ```none
  MaxMin(x) = R rotated_max_min(R x),   rotated_max_min([c, d]) = [c, |d|]
  ```

  In a network the rotations are part of the kernels before and after, whose
  norms they do not change. So it is as expressive, and no memory is moved to
  sort pairs. Its Jacobian is orthogonal, also at 0.

  Args:
    x: `Tensor` `[..., C]`, `C` even, as the result.
  """
  passed = x.shape[-1] // 2
  reflected = x.shape[-1] - passed
  below = tf.constant([1.0] * passed + [-1.0] * reflected, x.dtype)
  sign = tf.where(x < 0, below, tf.ones([], x.dtype))
  return tf.stop_gradient(sign) * x


def _pairs(x):
  """The two halves of the channels; a `ValueError` for an odd number."""
  x = arguments.check_tensor('x', x)
  if x.shape.rank == 0 or (x.shape.rank and (x.shape[-1] or 0) % 2):
    raise ValueError(
        'Argument `x` must have an even number of channels (MaxMin sorts pairs '
        f'of them), got shape {x.shape}.'
    )
  return tf.split(x, 2, axis=-1)


def smooth_max_min(x: types.TensorLike) -> tf.Tensor:
  """MaxMin with its corner rounded: 1-Lipschitz, and smooth.

  MaxMin maps the half-difference `d` of a pair to `|d|` and keeps its mean;
  here it becomes `sqrt(d^2 + c^2) - c`, `c = 0.1`, of slope in `(-1, 1)`. The
  Jacobian is continuous, so a density with its log-determinant has no jumps,
  and orthogonal but for `|d|` of about `c` and below.

  Args:
    x: `Tensor` `[..., C]`, as the result; channel `i` is paired with `i + C/2`.

  Raises:
    ValueError: If `C` is odd.
  """
  a, b = _pairs(x)
  # Halves first: the sum of two large numbers overflows.
  a, b = 0.5 * a, 0.5 * b
  mean, difference = a + b, a - b
  # `sqrt(d^2 + c^2) - c` without the difference, which small `d` would not
  # survive; and without the square of a large one, which overflows.
  size = tf.abs(difference)
  far = size > (1e2 if size.dtype == tf.float16 else _FAR)
  square = tf.square(tf.where(far, tf.ones_like(difference), difference))
  near = square / (tf.sqrt(square + _CORNER**2) + _CORNER)
  distance = tf.where(far, size - _CORNER, near)
  return tf.concat([mean + distance, mean - distance], axis=-1)


# Functions of the last axis with Lipschitz constant 1, for use between kernels.
ACTIVATIONS = {
    'max_min': rotated_max_min,
    'relu': tf.nn.relu,
    'smooth_max_min': smooth_max_min,
}
_PAIRING = ('max_min', 'smooth_max_min')


def activation_function(name, width, argument):
  """The 1-Lipschitz activation of a name, for layers of `width` channels.

  A `ValueError` if there is none, or if it pairs channels and `width`, called
  `argument`, is odd.
  """
  arguments.check_choice('activation', name, ACTIVATIONS)
  width = arguments.check_int(argument, width)
  if name in _PAIRING and width % 2:
    raise ValueError(
        f'Argument `{argument}` must be even for MaxMin (which sorts pairs), '
        f'got {width}.'
    )
  return ACTIVATIONS[name]
