"""Scaling of small values that leaves large ones alone, elementwise.

```none
f(y) = y m,   m = (s + u) / (1 + u),   f'(y) = (m + u) / (1 + u),   u = |y| / B
```

Near the origin the slope is the scale `s`; far out it is 1; in between it lies
between the two. No digit is lost anywhere: there is no difference in it. The
inverse solves one quadratic: with `v = |f| / B` and `b = s - v`,

```none
|y| = 2 |f| / (b + sqrt(b^2 + 4 v)).
```

Gradients are written out; autodiff would take twice the operations. With
`w = 1 / (1 + u)`,

```none
dm/ds = w,   d log f'/ds = w^2 / f',   d log f'/du = 2 (1 - s) w^3 / f'.
```
"""

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['inverse_ratio', 'scaled', 'unscaled']

# Beyond, all slopes are 1 to the last digit, and sums stay in range.
_FAR = 1e18


def scaled(y, scale, tail_bound):
  """`f(y)`, and the logarithm of its slope.

  Args:
    y: `Tensor`.
    scale: `Tensor` of the same shape, the `s` above, positive.
    tail_bound: Positive Python `float`, the `B` above.

  Returns:
    Two `Tensor`s of the same shape.
  """
  @custom_gradients.custom_gradient
  def function(y, scale):
    ratio, slope, far = _evaluated(y, scale, tail_bound)

    def gradient(dx, d_log_slope):
      share = d_log_slope / (far * slope)
      bend = _bend(y, scale, far, tail_bound)
      return dx * slope + share * bend, (dx * y + share) / far

    return (y * ratio, tf.math.log(slope)), gradient

  return function(y, scale)


def unscaled(x, scale, tail_bound):
  """The `y` with `f(y) = x`, and the logarithm of the slope of `f` there.

  Takes what `scaled` takes.
  """

  @custom_gradients.custom_gradient
  def root(x, scale):
    y = x * inverse_ratio(_distance(x, tail_bound), scale)

    def gradient(dy):
      _, slope, far = _evaluated(y, scale, tail_bound)
      dx = dy / slope
      return dx, -dx * y / far

    return y, gradient

  y = root(x, scale)
  # Apart from the root: a reversible flow walks back without the slope.
  return y, scaled(y, scale, tail_bound)[1]


def _evaluated(y, scale, tail_bound):
  """The `m` and `f'` above, and `1 + u`."""
  u = _distance(y, tail_bound)
  far = 1.0 + u
  ratio = (scale + u) / far
  return ratio, (ratio + u) / far, far


def _bend(y, scale, far, tail_bound):
  """`f' / w` times the derivative of `log f'` with respect to `y`."""
  return tf.sign(y) * (2.0 / tail_bound) * ((1.0 - scale) / tf.square(far))


def inverse_ratio(v, scale):
  """`y / f(y)`, given `v = |f(y)| / B`."""
  v = tf.minimum(v, _FAR)
  b = scale - v
  # |b| and the square root have one sign: nothing cancels. b <= 0 only where
  # v > 0; elsewhere the 1 keeps the unused branch finite.
  root = tf.abs(b) + tf.sqrt(tf.square(b) + 4.0 * v)
  return tf.where(
      b > 0, 2.0 / root, 0.5 * root / tf.where(b > 0, tf.ones_like(v), v)
  )


def _distance(y, tail_bound):
  """The `u` above."""
  return tf.minimum(tf.abs(y) / tail_bound, _FAR)
