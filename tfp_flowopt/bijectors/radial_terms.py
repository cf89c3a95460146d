"""The terms of a RadialScaling, as functions of the radius of a tile.

```none
r_j = r_(j-1) m_j,    m_j = (s_j B_j + r) / (B_j + r),    r = r_(j-1)
```

with the slope `f_j = d r_j / d r_(j-1) = (m_j B_j + r) / (B_j + r)`. Gradients
are taken by logarithms, and written out: autodiff would take three times the
operations. With `w = B / (B + r)`, the elasticity
`e = d log r_j / d log r_(j-1) = f / m` and `k = e - 1`,

```none
k = (1 - s) w r / (s B + r),             d log f / d log r = 2 k w / e,
d log m / d log s = s w / m,             d log f / d log s = s w^2 / (m e),
d log m / d log B = -d log m / d log r,  d log f / d log B = -d log f / d log r.
```

What is handed back is relative to the gradient that the outermost radius would
have without terms. It vanishes with `r`, so a quotient with `r` is exact.
"""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import soft_scaling

__all__ = ['apply_terms', 'initial_log_radii', 'undo_terms']


class _Term:
  """One term at the radii that enter it, and its derivatives."""

  def __init__(self, r, scale, radius):
    self._r, self._scale, self._radius = r, scale, radius
    self._far = r + radius
    self._near = r + scale * radius
    self.ratio = self._near / self._far
    self.slope = (self.ratio * radius + r) / self._far

  def derivatives(self):
    """`w`, `e`, `k` and the derivative of `log m` by `s`."""
    w = self._radius / self._far
    k = (1.0 - self._scale) * w * (self._r / self._near)
    return w, self.slope / self.ratio, k, w / self.ratio

  def of_radius(self, d_log_radius):
    """Gradient by `B`, given those of all tiles by its logarithm."""
    return tf.reduce_sum(d_log_radius) / self._radius


def apply_terms(r, scales, radii):
  """All terms, in the order of `inverse`.

  Args:
    r: Radii of tiles, positive.
    scales: The `s_j`, `[J]`.
    radii: The `B_j`, `[J]`.

  Returns:
    The ratios of the new radii and the old, the logarithms of the slopes, and
    a function of the gradients by the logarithms of both. It returns the
    gradient by `log r`, without that by the ratio; and those by `scales` and
    `radii`.
  """
  terms, new, slopes = [], r, 1.0
  for scale, radius in _each(scales, radii):
    terms.append(_Term(new, scale, radius))
    new *= terms[-1].ratio
    slopes *= terms[-1].slope

  def gradient(d_log_ratio, d_log_slope):
    more, d_scales, d_radii = 0.0, [], []
    for term in reversed(terms):
      w, elasticity, k, by_scale = term.derivatives()
      own = d_log_slope * w / elasticity
      total = d_log_ratio + more + own
      d_scales.append(tf.reduce_sum(total * by_scale))
      change = k * (total + own)
      d_radii.append(term.of_radius(-change))
      more += change
    return more, tf.stack(d_scales[::-1]), tf.stack(d_radii[::-1])

  return new / r, tf.math.log(slopes), gradient


def undo_terms(r, scales, radii):
  """The same for `forward`: the inverses of all terms, the last one first.

  Args:
    r: As for `apply_terms`, like all others.
    scales: The same.
    radii: The same.

  Returns:
    The same.
  """
  terms, new, slopes = [], r, 1.0
  for scale, radius in reversed(_each(scales, radii)):
    new *= soft_scaling.inverse_ratio(new / radius, scale)
    terms.append(_Term(new, scale, radius))
    slopes *= terms[-1].slope

  def gradient(d_log_ratio, d_log_slope):
    more, d_scales, d_radii = 0.0, [], []
    for term in reversed(terms):
      w, elasticity, k, by_scale = term.derivatives()
      own = -d_log_slope * w / elasticity
      outer = (d_log_ratio + more + 2.0 * k * own) / elasticity
      d_scales.append(tf.reduce_sum((own - outer) * by_scale))
      d_radii.append(term.of_radius(k * (outer - 2.0 * own)))
      more = (more + k * (2.0 * own - d_log_ratio)) / elasticity
    return more, tf.stack(d_scales), tf.stack(d_radii)

  return new / r, -tf.math.log(slopes), gradient


def _each(scales, radii):
  return list(zip(tf.unstack(scales), tf.unstack(radii), strict=True))


def initial_log_radii(num_terms, radius_range, dtype):
  """Logarithms of radii `[num_terms]`, geometrically spaced over a range.

  A single one is in the middle.
  """
  low, high = np.log(radius_range)
  if num_terms == 1:
    low = high = 0.5 * (low + high)
  return tf.cast(np.linspace(low, high, num_terms), dtype)
