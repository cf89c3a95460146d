"""Search for the worst inputs of a map."""

import numpy as np
import tensorflow as tf


def largest_expansion(
    function, shape, num_pairs=48, num_steps=60, seed=0, scale=1e4
):
  """The largest `|f(x) - f(x')| / |x - x'|` that gradient ascent finds.

  Starts at pairs of all sizes and distances, up to `scale`, and climbs in
  float64.

  Args:
    function: Maps `[N] + shape` to a batch of events.
    shape: Shape of an event.
    num_pairs: Number of pairs that climb.
    num_steps: Number of steps they climb.
    seed: Python `int`.
    scale: Size of the largest inputs.

  Returns:
    Python `float`.
  """
  rng = np.random.default_rng(seed)
  sizes = np.exp(rng.uniform(np.log(1e-2), np.log(scale), size=num_pairs))
  gaps = sizes * np.exp(rng.uniform(np.log(1e-6), 0.0, size=num_pairs))
  ones = [1] * len(shape)
  x = tf.Variable(
      sizes.reshape([-1, *ones]) * rng.normal(size=(num_pairs, *shape))
  )
  direction = tf.Variable(rng.normal(size=(num_pairs, *shape)))
  gap = tf.constant(gaps.reshape([-1, *ones]))
  axes = list(range(1, len(shape) + 1))

  def norm(v):
    v = tf.reshape(v, [num_pairs, -1])
    return tf.sqrt(tf.reduce_sum(tf.square(v), axis=1))

  @tf.function
  def climb():
    with tf.GradientTape() as tape:
      unit = direction / tf.sqrt(
          tf.reduce_sum(tf.square(direction), axis=axes, keepdims=True)
      )
      # Subtracting what was really added: at 1e4 the step is rounded.
      other = x + gap * unit
      ratio = norm(function(other) - function(x)) / norm(other - x)
      value = tf.reduce_sum(tf.math.log(ratio))
    for variable, gradient, size in zip(
        [x, direction], tape.gradient(value, [x, direction]), [gap, 1.0],
        strict=True,
    ):
      length = tf.sqrt(
          tf.reduce_sum(tf.square(gradient), axis=axes, keepdims=True)
      )
      move = gradient / tf.maximum(length, 1e-30)
      variable.assign_add(0.1 * size * move)
    direction.assign(unit + 0.5 * move)
    return tf.reduce_max(ratio)

  return max(float(climb()) for _ in range(num_steps))


def largest_local_expansion(
    function, shape, num_points=12, seed=0, scale=1e4
):
  """The largest singular value of the Jacobian at points of all sizes."""
  rng = np.random.default_rng(seed)
  size = int(np.prod(shape))
  sizes = np.geomspace(1e-2, scale, num_points)
  x = tf.constant(
      sizes.reshape([-1, *[1] * len(shape)])
      * rng.normal(size=(num_points, *shape))
  )

  @tf.function
  def jacobian(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = function(x)
    return tape.batch_jacobian(y, x)

  matrices = tf.reshape(jacobian(x), [num_points, -1, size])
  return float(np.linalg.norm(matrices.numpy(), ord=2, axis=(1, 2)).max())
