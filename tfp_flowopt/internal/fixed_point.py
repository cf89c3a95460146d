"""Equations with a contraction, solved to a certificate."""

import math

import tensorflow as tf

__all__ = ['MEMORY', 'solve']

# Steps that Anderson acceleration remembers.
MEMORY = 5
# A sample whose residual has not fallen for so many steps has met rounding.
_PATIENCE = 20


def solve(residual, start, contraction, target, max_iterations):
  """Solves `residual(y) = 0` where `T(y) = y - residual(y)` contracts.

  Anderson acceleration (1965; type II, memory 5) proposes a step. It is taken
  where it shrinks the residual at least by the contraction factor `q` of `T`;
  elsewhere the plain (Banach) step `T(y)` is, which does so by theorem:
  `|T(y) - T(T(y))| <= q |y - T(y)|`. So `k` steps shrink the residual by `q^k`
  for certain, and the error is at most `|residual(y)| / (1 - q)`.

  Samples, the rows of `[N, D]`, do not see one another. `start` is the first
  iterate and its residual; a sample whose residual has the norm `target` `[N]`
  stays as it is. Returns the best iterate, the norm of its residual `[N]`, and
  the number of steps.
  """
  norm = _norm(start[1])
  # What plain steps alone would need, from here; a proposal that is refused
  # costs a step, too.
  ratio = tf.reduce_max(
      tf.where(norm > target, norm / target, tf.ones_like(norm))
  )
  rate = -math.log(max(contraction, 1e-6))
  needed = 2.0 * tf.math.ceil(tf.math.log(ratio) / rate) + _PATIENCE
  # Compared as floats: what an infinite start needs does not fit an integer.
  limit = tf.cast(tf.minimum(needed, float(max_iterations)), tf.int32)

  def active(norm, stalled):
    # False for a residual that is not a number: it will not become one.
    return (norm > target) & (stalled < _PATIENCE)

  def going_on(i, best, best_norm, stalled, *_):
    del best
    return (i < limit) & tf.reduce_any(active(best_norm, stalled))

  def step(i, best, best_norm, stalled, pair, norm, plain, history):
    y, r = tf.unstack(pair, axis=1)
    new_y = _where(plain, y - r, _anderson(pair, history))
    new_r = residual(new_y)
    new_norm = _norm(new_r)
    moving = active(best_norm, stalled)
    taken = moving & (plain | (new_norm <= contraction * norm))
    better = taken & (new_norm < best_norm)
    new_pair = tf.stack([new_y, new_r], axis=1)
    change = tf.expand_dims(_unit(new_pair - pair, 0.0), 1)
    return (
        i + 1,
        _where(better, new_y, best),
        tf.where(better, new_norm, best_norm),
        tf.where(better, 0, stalled + 1),
        _where(taken, new_pair, pair),
        tf.where(taken, new_norm, norm),
        ~taken,
        _where(taken, tf.concat([change, history[:, :-1]], axis=1), history),
    )

  pair = tf.stack(start, axis=1)
  history = tf.zeros_like(pair)[:, tf.newaxis] + tf.zeros(
      [MEMORY, 1, 1], pair.dtype
  )
  zeros = tf.zeros_like(norm, tf.int32)
  num_steps, best, best_norm, *_ = tf.while_loop(
      going_on,
      step,
      [tf.constant(0), start[0], norm, zeros, pair, norm, zeros > 0, history],
  )
  return best, best_norm, num_steps


def _norm(x):
  return tf.sqrt(tf.reduce_sum(tf.square(x), axis=-1))


def _where(condition, a, b):
  """`tf.where` for each sample, `condition` of shape `[N]`."""
  ones = [1] * (a.shape.rank - 1)
  return tf.where(tf.reshape(condition, [-1, *ones]), a, b)


def _residual_part(pair):
  """The pair `[..., 2, D]` with 0 for the iterate."""
  return pair * tf.constant([[0.0], [1.0]], pair.dtype)


def _unit(change, smallest):
  """A change of (iterate, residual) per unit of residual; 0 if too small."""
  square = tf.reduce_sum(
      change * _residual_part(change), axis=[-2, -1], keepdims=True
  )
  # False for what is not a number, too.
  usable = (square > smallest**2) & (square < square.dtype.max)
  scale = tf.math.rsqrt(tf.where(usable, square, tf.ones_like(square)))
  return tf.where(usable, change * scale, tf.zeros_like(change))


def _anderson(pair, history):
  """The step `[N, D]` from the combination of last iterates of least residual.

  Gram-Schmidt, the newest change first: each direction is taken out of the
  residual, and the iterate moves along. What the newer ones span up to rounding
  is left out. `pair` is iterate and residual, `[N, 2, D]`; `history`
  `[N, MEMORY, 2, D]` their last changes, as `_unit` gives them, or 0.
  """
  smallest = 1e-5 if pair.dtype == tf.float32 else 1e-12
  vectors = tf.concat([history, tf.expand_dims(pair, 1)], axis=1)
  for i in range(MEMORY):
    direction = _unit(vectors[:, i : i + 1], smallest)
    overlap = tf.reduce_sum(
        vectors * _residual_part(direction), axis=[2, 3], keepdims=True
    )
    vectors -= overlap * direction
  y, r = tf.unstack(vectors[:, -1], axis=1)
  return y - r
