"""Scaling of small values that leaves large ones alone, elementwise.

```none
f(y) = y + (e^s - 1) phi(y) = y (e^s + u) / (1 + u),   u = |y| / B
phi(y) = y / (1 + |y| / B)
```

Near the origin the slope is `e^s`; far out it is 1. As
`0 < phi' = (1 + u)^-2 <= 1`, every slope lies between 1 and `e^s`. The inverse
solves one quadratic: with `v = |f| / B` and `b = e^s - v`,

```none
|y| = 2 |f| / (b + sqrt(b^2 + 4 v)).
```
"""

import tensorflow as tf

__all__ = ['distance', 'inverse_ratio', 'log_slope', 'ratio']


def distance(x, tail_bound):
  """`|x| / B`, up to where its square fits into float32 and slopes are 1."""
  return tf.minimum(tf.abs(x) / tail_bound, 1e18)


def ratio(u, scale):
  """`f(y) / y`, given `u = |y| / B` and `scale = e^s`."""
  return (scale + u) / (1.0 + u)


def log_slope(u, scale):
  """`log f'(y)`, given `u = |y| / B`; exactly 0 for a scale of 1."""
  # Without `scale - 1`: no digit of a small scale is lost.
  square = u * (2.0 + u)
  return tf.math.log((scale + square) / (1.0 + square))


def inverse_ratio(v, scale):
  """`y / f(y)`, given `v = |f(y)| / B`."""
  b = scale - v
  # |b| and the square root have one sign: nothing cancels. b <= 0 only where
  # v > 0; elsewhere the 1 keeps the unused branch finite.
  root = tf.abs(b) + tf.sqrt(tf.square(b) + 4.0 * v)
  return tf.where(
      b > 0, 2.0 / root, 0.5 * root / tf.where(b > 0, tf.ones_like(v), v)
  )
