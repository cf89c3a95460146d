"""Activations with Lipschitz constant 1."""

import tensorflow as tf

__all__ = ['ACTIVATIONS', 'activation_function', 'max_min']


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
  x = tf.convert_to_tensor(x, name='x')
  if x.shape.rank == 0 or (x.shape.rank and (x.shape[-1] or 0) % 2):
    raise ValueError(
        'Argument `x` must have an even number of channels (MaxMin sorts pairs '
        f'of them), got shape {x.shape}.'
    )
  a, b = tf.split(x, 2, axis=-1)
  return tf.concat([tf.maximum(a, b), tf.minimum(a, b)], axis=-1)


# Functions of the last axis with Lipschitz constant 1.
ACTIVATIONS = {'max_min': max_min, 'relu': tf.nn.relu}


def activation_function(name):
  """The 1-Lipschitz activation of a name.

  Args:
    name: `'max_min'` or `'relu'`.

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
