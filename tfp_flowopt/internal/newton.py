"""Newton's method for the gradient of a strongly convex function."""

import numpy as np
import tensorflow as tf

__all__ = ['solve']

# Where curvatures differ by a factor of 1e6, some hundred are needed.
_MOST_STEPS = 500
_SHORTEST = 0.01


def solve(function, start):
  """A point near the zero of a monotone map, from Newton's steps.

  A step is halved where it does not shrink the residual; it does if it is short
  enough. Samples do not see one another.

  Args:
    function: Maps `y` `[..., D]` to residuals of that shape and their Jacobians
      `[..., D, D]`, symmetric and positive definite.
    start: `[..., D]`.

  Returns:
    The best point that was found, at most 500 steps from `start`.
  """
  resolution = np.finfo(start.dtype.as_numpy_dtype).eps
  identity = tf.eye(start.shape[-1], dtype=start.dtype)

  def going_on(i, y, residual, jacobian, length):
    del jacobian
    # Up to rounding.
    active = (_norm(residual) > resolution * _norm(y)) & (length > _SHORTEST)
    return (i < _MOST_STEPS) & tf.reduce_any(active)

  def step(i, y, residual, jacobian, length):
    # TensorFlow stops where a matrix is not positive definite: by rounding, or
    # as it holds what is not a number.
    trace = tf.linalg.trace(jacobian)[..., tf.newaxis, tf.newaxis]
    jacobian += 4.0 * resolution * trace * identity
    matrix = tf.where(tf.math.is_finite(trace), jacobian, identity)
    direction = tf.linalg.cholesky_solve(
        tf.linalg.cholesky(matrix), residual[..., tf.newaxis]
    )[..., 0]
    new_y = y - length[..., tf.newaxis] * direction
    new_residual, new_jacobian = function(new_y)
    # False where one is not a number.
    better = _norm(new_residual) < _norm(residual)
    vectors = better[..., tf.newaxis]
    return (
        i + 1,
        tf.where(vectors, new_y, y),
        tf.where(vectors, new_residual, residual),
        tf.where(vectors[..., tf.newaxis], new_jacobian, jacobian),
        tf.where(better, tf.minimum(2.0 * length, 1.0), 0.5 * length),
    )

  residual, jacobian = function(start)
  length = tf.ones_like(residual[..., 0])
  return tf.while_loop(
      going_on, step, [tf.constant(0), start, residual, jacobian, length]
  )[1]


def _norm(x):
  return tf.sqrt(tf.reduce_sum(tf.square(x), axis=-1))
