"""Search for the worst inputs of a map."""

import numpy as np
import tensorflow as tf

# Rounding errors of a function, relative to its values (and to 1): 64 times the
# unit round-off, and what solvers to 32 times the resolution leave.
_ROUNDING = 128 * 2.0**-53


class Climber:
  """Searches for the worst pairs of inputs of a map, by gradient ascent.

  The map is traced once, for all searches: its variables may change between
  them.
  """

  def __init__(self, function, shape, num_pairs=48):
    """Prepares a search.

    Args:
      function: Maps `[N] + shape` to a batch of events.
      shape: Shape of an event.
      num_pairs: Number of pairs that climb.
    """
    self._shape = shape
    self._num_pairs = num_pairs
    size = (num_pairs, *shape)
    self._x = tf.Variable(tf.zeros(size, tf.float64))
    self._direction = tf.Variable(tf.zeros(size, tf.float64))
    self._gap = tf.Variable(
        tf.ones([num_pairs, *[1] * len(shape)], tf.float64)
    )
    self._climb = tf.function(
        lambda: self._step(function), autograph=False
    )

  def _norm(self, v):
    v = tf.reshape(v, [self._num_pairs, -1])
    # A pair that meets in one point has no way up, but no NaN either.
    return tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(v), axis=1), 1e-300))

  def _step(self, function):
    variables = [self._x, self._direction]
    axes = list(range(1, 1 + len(self._shape)))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(variables)
      x = tf.convert_to_tensor(self._x)
      unit = self._direction / tf.sqrt(
          tf.reduce_sum(tf.square(self._direction), axis=axes, keepdims=True)
      )
      # Subtracting what was really added: at 1e4 the step is rounded.
      other = x + self._gap * unit
      y, image = tf.split(function(tf.concat([x, other], axis=0)), 2)
      distance, gap = self._norm(image - y), self._norm(other - x)
      value = tf.reduce_sum(tf.math.log(distance / gap))
    for variable, gradient, size in zip(
        variables, tape.gradient(value, variables), [self._gap, 1.0],
        strict=True,
    ):
      length = tf.sqrt(
          tf.reduce_sum(tf.square(gradient), axis=axes, keepdims=True)
      )
      move = gradient / tf.maximum(length, 1e-30)
      variable.assign_add(0.1 * size * move)
    self._direction.assign(unit + 0.5 * move)
    # Not less than 1: solvers are only exact up to that.
    error = _ROUNDING * tf.maximum(self._norm(y) + self._norm(image), 1.0)
    return tf.reduce_max((distance - error) / gap), tf.reduce_max(
        distance / gap
    )

  def search(self, num_steps=60, seed=0, scale=1e4):
    """Climbs from pairs of all sizes and distances.

    Args:
      num_steps: Number of steps they climb.
      seed: Python `int`.
      scale: Size of the largest inputs.

    Returns:
      The largest `|f(x) - f(x')| / |x - x'|` that was found, twice: less what
      rounding errors may have added, so that it is never more than the truth
      (a difference of nearby values beside a shift of 1e10 is nothing else);
      and as it was computed.
    """
    rng = np.random.default_rng(seed)
    n = self._num_pairs
    sizes = np.exp(rng.uniform(np.log(1e-2), np.log(scale), size=n))
    gaps = sizes * np.exp(rng.uniform(np.log(1e-6), 0.0, size=n))
    sizes, gaps = (v.reshape(self._gap.shape) for v in (sizes, gaps))
    self._x.assign(sizes * rng.normal(size=self._x.shape))
    self._direction.assign(rng.normal(size=self._x.shape))
    self._gap.assign(gaps)
    found = np.max([self._climb() for _ in range(num_steps)], axis=0)
    return float(found[0]), float(found[1])


def largest_expansion(
    function, shape, num_pairs=48, num_steps=60, seed=0, scale=1e4
):
  """The largest `|f(x) - f(x')| / |x - x'|` that gradient ascent finds.

  Args:
    function: Maps `[N] + shape` to a batch of events.
    shape: Shape of an event.
    num_pairs: Number of pairs that climb.
    num_steps: Number of steps they climb.
    seed: Python `int`.
    scale: Size of the largest inputs.

  Returns:
    Python `float`, less what rounding errors may have added.
  """
  return Climber(function, shape, num_pairs).search(num_steps, seed, scale)[0]


def largest_local_expansion(
    function, shape, num_points=12, seed=0, scale=1e4
):
  """The largest singular value of the Jacobian at points of all sizes.

  No differences, so no rounding errors beside large values. It is not traced:
  each row of a Jacobian is a point of one large batch.

  Args:
    function: Maps `[N] + shape` to a batch of events, one by one.
    shape: Shape of an event.
    num_points: Number of points.
    seed: Python `int`.
    scale: Size of the largest point.

  Returns:
    Python `float`.
  """
  rng = np.random.default_rng(seed)
  sizes = np.geomspace(1e-2, scale, num_points)
  x = tf.constant(
      sizes.reshape([-1, *[1] * len(shape)])
      * rng.normal(size=(num_points, *shape))
  )
  num_rows = int(np.prod(function(x[:1]).shape[1:]))
  x = tf.repeat(x, num_rows, axis=0)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = function(x)
  units = tf.tile(tf.eye(num_rows, dtype=y.dtype), [num_points, 1])
  rows = tape.gradient(y, x, tf.reshape(units, y.shape))
  matrices = tf.reshape(rows, [num_points, num_rows, -1])
  return float(np.linalg.norm(matrices.numpy(), ord=2, axis=(1, 2)).max())
