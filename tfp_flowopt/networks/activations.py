"""Activations with slopes of at most 1, by name."""

import tensorflow as tf

from tfp_flowopt.lipschitz import layers

__all__ = ['ACTIVATIONS', 'smooth_max_min']

# Half the width of the corner that `smooth_max_min` rounds.
_CORNER = 0.1


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
  """
  a, b = tf.split(x, 2, axis=-1)
  mean, difference = 0.5 * (a + b), 0.5 * (a - b)
  distance = tf.sqrt(tf.square(difference) + _CORNER**2) - _CORNER
  return tf.concat([mean + distance, mean - distance], axis=-1)


ACTIVATIONS = {'max_min': layers.max_min, 'smooth_max_min': smooth_max_min}
