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

  Samples do not see one another. One that has met its target stays as it is.

  Args:
    residual: Maps `[N, D]` to `[N, D]`.
    start: Pair of the first iterate `[N, D]` and its residual.
    contraction: Python `float` in [0, 1), the `q` above.
    target: `[N]`, the Euclidean norm of the residual at which a sample is done.
    max_iterations: Python `int`, the most steps to take.

  Returns:
    The best iterate `[N, D]`, the norm of its residual `[N]`, and the number
    of steps.
  """
  y, r = start
  norm = _norm(r)
  # What plain steps alone would need, from here; a proposal that is refused
  # costs a step, too.
  ratio = tf.reduce_max(
      tf.where(norm > target, norm / target, tf.ones_like(norm))
  )
  rate = -math.log(max(contraction, 1e-6))
  needed = 2.0 * tf.math.ceil(tf.math.log(ratio) / rate) + _PATIENCE
  # Compared as floats: what an infinite start needs does not fit an integer.
  limit = tf.cast(tf.minimum(needed, float(max_iterations)), tf.int32)
  history = tf.zeros_like(y)[:, tf.newaxis] + tf.zeros([MEMORY, 1], y.dtype)

  def active(norm, stalled):
    # False for a residual that is not a number: it will not become one.
    return (norm > target) & (stalled < _PATIENCE)

  def going_on(i, best, best_norm, stalled, *_):
    del best
    return (i < limit) & tf.reduce_any(active(best_norm, stalled))

  def step(i, best, best_norm, stalled, y, r, plain, dy, dr):
    moving = active(best_norm, stalled)
    new_y = tf.where(
        plain[:, tf.newaxis], y - r, _anderson(y, r, dy, dr)
    )
    new_r = residual(new_y)
    new_norm = _norm(new_r)
    taken = moving & (plain | (new_norm <= contraction * _norm(r)))
    better = taken & (new_norm < best_norm)

    def where(condition, a, b):
      return tf.where(condition[:, tf.newaxis], a, b)

    def remember(change, history):
      return tf.where(
          taken[:, tf.newaxis, tf.newaxis],
          tf.concat([change[:, tf.newaxis], history[:, :-1]], axis=1),
          history,
      )

    return (
        i + 1,
        where(better, new_y, best),
        tf.where(better, new_norm, best_norm),
        tf.where(better, 0, stalled + 1),
        where(taken, new_y, y),
        where(taken, new_r, r),
        ~taken,
        remember(new_y - y, dy),
        remember(new_r - r, dr),
    )

  zeros = tf.zeros_like(norm, tf.int32)
  num_steps, best, best_norm, *_ = tf.while_loop(
      going_on,
      step,
      [tf.constant(0), y, norm, zeros, y, r, zeros > 0, history, history],
  )
  return best, best_norm, num_steps


def _norm(x):
  return tf.sqrt(tf.reduce_sum(tf.square(x), axis=-1))


def _anderson(y, r, dy, dr):
  """The step from the combination of the last iterates of least residual.

  Args:
    y: `[N, D]`, iterate.
    r: `[N, D]`, its residual.
    dy: `[N, MEMORY, D]`, the last changes of the iterate; 0 where none yet.
    dr: The same of the residual.

  Returns:
    `[N, D]`.
  """
  # Gram-Schmidt, the newest change first. A direction that the newer ones span
  # up to rounding is left out. (Written out: it compiles in no time.)
  smallest = 1e-5 if y.dtype == tf.float32 else 1e-12
  floor = smallest * _norm(dr)
  zeros = tf.zeros_like(y)
  for i in range(MEMORY):
    length = _norm(dr[:, i])
    usable = (length > floor[:, i]) & (length < length.dtype.max)
    divisor = tf.where(usable, length, tf.ones_like(length))[:, tf.newaxis]
    direction = tf.where(usable[:, tf.newaxis], dr[:, i] / divisor, zeros)
    change = tf.where(usable[:, tf.newaxis], dy[:, i] / divisor, zeros)
    # Both `r` and `y` move along, so that `r` loses this direction.
    share = tf.reduce_sum(r * direction, axis=-1, keepdims=True)
    r -= share * direction
    y -= share * change
    if i + 1 < MEMORY:
      overlap = tf.linalg.matvec(dr, direction)[:, :, tf.newaxis]
      dr -= overlap * direction[:, tf.newaxis]
      dy -= overlap * change[:, tf.newaxis]
  return y - r
