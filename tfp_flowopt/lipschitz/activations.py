"""Activations with Lipschitz constant 1."""

import tensorflow as tf

__all__ = [
    'ACTIVATIONS',
    'activation_function',
    'max_min',
    'smooth_max_min',
]

# Half the width of the corner that `smooth_max_min` rounds.
_CORNER = 0.1


def max_min(x):
  """MaxMin activation: sorts pairs of channels (Anil, Lucas & Grosse 2019).

  1-Lipschitz, and a permutation wherever it is differentiable: it loses no
  gradient norm.

  Args:
    x: `Tensor` `[..., C]`, `C` even; channel `i` is paired with `i + C/2`.

  Returns:
    `Tensor` of the same shape.

  Raises:
    ValueError: If `C` is odd.
  """
  a, b = _pairs(x)
  return tf.concat([tf.maximum(a, b), tf.minimum(a, b)], axis=-1)


def _pairs(x):
  """The two halves of the channels."""
  x = tf.convert_to_tensor(x, name='x')
  if x.shape.rank == 0 or (x.shape.rank and (x.shape[-1] or 0) % 2):
    raise ValueError(
        'Argument `x` must have an even number of channels (MaxMin sorts pairs '
        f'of them), got shape {x.shape}.'
    )
  return tf.split(x, 2, axis=-1)


def smooth_max_min(x):
  """MaxMin with its corner rounded: 1-Lipschitz, and smooth.

  MaxMin maps the half-difference `d` of a pair to `|d|` and keeps its mean;
  here it becomes `sqrt(d^2 + c^2) - c`, `c = 0.1`, whose slope lies in
  `(-1, 1)`. So the Jacobian stays orthogonal but for `|d|` of about `c` and
  below, and is continuous: a density that contains its log-determinant has no
  jumps.

  Args:
    x: `Tensor` `[..., C]`, `C` even; channel `i` is paired with `i + C/2`.

  Returns:
    `Tensor` of the same shape.

  Raises:
    ValueError: If `C` is odd.
  """
  a, b = _pairs(x)
  mean, difference = 0.5 * (a + b), 0.5 * (a - b)
  distance = tf.sqrt(tf.square(difference) + _CORNER**2) - _CORNER
  return tf.concat([mean + distance, mean - distance], axis=-1)


# Functions of the last axis with Lipschitz constant 1.
ACTIVATIONS = {
    'max_min': max_min,
    'relu': tf.nn.relu,
    'smooth_max_min': smooth_max_min,
}


def activation_function(name):
  """The 1-Lipschitz activation of a name.

  Args:
    name: `'max_min'`, `'relu'` or `'smooth_max_min'`.

  Returns:
    Function of a `Tensor` `[..., C]` that keeps its shape.

  Raises:
    ValueError: If there is no such activation.
  """
  if name not in ACTIVATIONS:
    raise ValueError(
        f'Argument `activation` must be one of {tuple(ACTIVATIONS)}, got '
        f'{name!r}.'
    )
  return ACTIVATIONS[name]
