"""The terms of a RadialScaling, as functions of the radius of a tile."""

import tensorflow as tf

from tfp_flowopt.internal import soft_scaling

__all__ = ['apply_terms', 'undo_terms']


def apply_terms(r, scales, radii, size):
  """The ratios to scale tiles by, and log-determinants, of `inverse`.

  For tiles of `size` values and of radii `r`, with the `scales` `e^(s_j)` and
  the `radii` `B_j`, `[J]`. The gradient shares what autodiff would compute, and
  sum over all tiles, for each operation with a scalar. With `u = r / B`,
  `t = 1 / (1 + u)` and `q = u (2 + u)`,

  ```none
  dm / ds = t,    dm / du = (1 - s) t^2
  dL / ds = 1 / (s + q),    dL / du = 2 (1 - s) t / (s + q)
  ```

  for the ratio `m` of a term, the logarithm `L` of its slope, and `s` its
  scale.
  """

  @tf.custom_gradient
  def apply(r, scales, radii):
    terms, total, log_det = [], 1.0, 0.0
    for scale, radius in zip(
        tf.unstack(scales), tf.unstack(radii), strict=True
    ):
      u = soft_scaling.distance(r, radius)
      ratio = soft_scaling.ratio(u, scale)
      terms.append((r, scale, radius, u, ratio))
      log_det += _log_det(u, ratio, scale, size)
      r *= ratio
      total *= ratio

    def gradient(d_total, d_log_det):
      d_log_ratio = d_total * total + (size - 1.0) * d_log_det
      dr, d_scales, d_radii = 0.0, [], []
      for r, scale, radius, u, ratio in reversed(terms):
        t = 1.0 / (1.0 + u)
        of_ratio = t * (d_log_ratio / ratio + dr * r)
        of_slope = d_log_det / (scale + u * (2.0 + u))
        du = (1.0 - scale) * t * (of_ratio + 2.0 * of_slope)
        d_scales.append(tf.reduce_sum(of_ratio + of_slope))
        d_radii.append(-tf.reduce_sum(du * u) / radius)
        dr = dr * ratio + du / radius
      return dr, tf.stack(d_scales[::-1]), tf.stack(d_radii[::-1])

    return (total, log_det), gradient

  return apply(r, scales, radii)


def undo_terms(r, scales, radii, size):
  """The same for `forward`: the inverses of all terms, the last one first."""
  total, log_det = 1.0, 0.0
  for scale, radius in zip(
      reversed(tf.unstack(scales)), reversed(tf.unstack(radii)), strict=True
  ):
    u = soft_scaling.distance(r, radius)
    inverse_ratio = soft_scaling.inverse_ratio(u, scale)
    r *= inverse_ratio
    total *= inverse_ratio
    u = soft_scaling.distance(r, radius)
    log_det -= _log_det(u, soft_scaling.ratio(u, scale), scale, size)
  return total, log_det


def _log_det(u, ratio, scale, size):
  """Log-determinant of one term, for tiles of `size` values."""
  across = (size - 1.0) * tf.math.log(ratio)
  return across + soft_scaling.log_slope(u, scale)
