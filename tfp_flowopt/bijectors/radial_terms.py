"""The terms of a RadialScaling, as functions of the radius of a tile.

```none
r_j = r_(j-1) m_j,    m_j = (A_j + r) / (B_j + r),    r = r_(j-1)
```

with `A_j = s_j B_j` and the slope `f_j = d r_j / d r_(j-1)`. Gradients are
written out: autodiff would take three times the operations. With
`h = m B + r`,

```none
f = h / (B + r),     k = d log m / d log r = r (B - A) / ((A + r) (B + r)),
d log m / dA =  1 / (A + r),  d log f / d log r = 2 k v,  v = m B / h,
d log m / dB = -1 / (B + r),  d log f / dA = v / (A + r),
                              d log f / dB = (A / h - 2 v) / (B + r).
```

What is handed back is relative to the gradient that the outermost radius would
have without terms. It vanishes with `r`, so a quotient with `r` is exact.
"""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import soft_scaling

__all__ = [
    'apply_terms',
    'initial_log_radii',
    'near_and_far_radii',
    'unbounded_log_radii',
    'undo_terms',
]

# Of the logarithm of a radius.
_LOG_RADIUS_BOUND = 20.0


class _Term:
  """One term at the radii that enter it."""

  def __init__(self, r, near_radius, radius):
    self.r, self.near_radius, self.radius = r, near_radius, radius
    self.far = r + radius
    self.near = r + near_radius
    self.ratio = self.near / self.far
    self.bent = self.ratio * radius
    self.h = self.bent + r
    self.slope = self.h / self.far

  def bend(self, gradient):
    """A gradient by `log m`, as one by `r`."""
    difference = self.radius - self.near_radius
    return gradient * difference / (self.near * self.far)


def apply_terms(r, near_radii, radii):
  """All terms, in the order of `inverse`.

  Args:
    r: Radii of tiles, positive.
    near_radii: The `A_j`, `[J]`.
    radii: The `B_j`, `[J]`.

  Returns:
    The ratios of the new radii and the old, the logarithms of the slopes, and
    a function of the gradients by the logarithms of both. It returns the
    gradient by `r`, without that by the ratio; and those by `near_radii` and
    `radii`.
  """
  terms, new = [], r
  for pair in _each(near_radii, radii):
    if terms:
      new *= terms[-1].ratio
    terms.append(_Term(new, *pair))

  def gradient(d_log_ratio, d_log_slope):
    d_near_radii, d_radii, more = [], [], None
    for term in reversed(terms):
      share = d_log_slope / term.h
      own = share * term.bent
      total = own + (d_log_ratio if more is None else d_log_ratio + more)
      twice = total + own
      d_near_radii.append(tf.reduce_sum(total / term.near))
      d_radii.append(
          tf.reduce_sum((share * term.near_radius - twice) / term.far)
      )
      d_radius = term.bend(twice)
      if more is not None:
        d_radius += more / term.r
      more = term.r * d_radius
    return d_radius, tf.stack(d_near_radii[::-1]), tf.stack(d_radii[::-1])

  return *_products(terms), gradient


def undo_terms(r, near_radii, radii):
  """The same for `forward`: the inverses of all terms, the last one first.

  Args:
    r: As for `apply_terms`, like all others.
    near_radii: The same.
    radii: The same.

  Returns:
    The same.
  """
  terms, new = [], r
  for near_radius, radius in reversed(_each(near_radii, radii)):
    new *= soft_scaling.inverse_ratio(new / radius, near_radius / radius)
    terms.append(_Term(new, near_radius, radius))
  ratio, log_slope = _products(terms)

  def gradient(d_log_ratio, d_log_slope):
    more, d_near_radii, d_radii = 0.0, [], []
    for term in reversed(terms):
      k = term.r * term.bend(1.0)
      elasticity = 1.0 + k
      own = -d_log_slope * term.bent / term.h
      outer = (d_log_ratio + more + 2.0 * k * own) / elasticity
      d_near = tf.reduce_sum((own - outer) / term.near)
      d_near_radii.append(d_near)
      # At a fixed ratio of both radii, less what it changes.
      d_both = tf.reduce_sum(k * (outer - 2.0 * own))
      d_radii.append((d_both - term.near_radius * d_near) / term.radius)
      more = (more + k * (2.0 * own - d_log_ratio)) / elasticity
    return more / r, tf.stack(d_near_radii), tf.stack(d_radii)

  return 1.0 / ratio, -log_slope, gradient


def _products(terms):
  """The ratio of all terms, and the logarithm of their slope."""
  ratio, slope = terms[0].ratio, terms[0].slope
  for term in terms[1:]:
    ratio *= term.ratio
    slope *= term.slope
  return ratio, tf.math.log(slope)


def _each(near_radii, radii):
  """The weights of each term, pairs of scalars."""
  return list(zip(tf.unstack(near_radii), tf.unstack(radii), strict=True))


def initial_log_radii(num_terms, radius_range, dtype):
  """Logarithms of radii `[num_terms]`, geometrically spaced over a range.

  A single one is in the middle.
  """
  low, high = np.log(radius_range)
  if num_terms == 1:
    low = high = 0.5 * (low + high)
  return tf.cast(np.linspace(low, high, num_terms), dtype)


def unbounded_log_radii(radii):
  """The weights of radii, float64; a `ValueError` if one is out of range."""
  radii = np.asarray(radii, np.float64)
  largest = np.exp(_LOG_RADIUS_BOUND)
  if not np.all((radii > 1.0 / largest) & (radii < largest)):
    raise ValueError(
        f'Argument `radii` must be in (1 / {largest:.0f}, {largest:.0f}), got '
        f'{radii}.'
    )
  return _LOG_RADIUS_BOUND * np.arctanh(np.log(radii) / _LOG_RADIUS_BOUND)


def near_and_far_radii(log_slopes, log_radii, dtype):
  """The `e^(s_j) B_j` and `B_j` of weights, in a type."""
  log_slopes, log_radii = (
      tf.cast(weights, dtype) for weights in (log_slopes, log_radii)
  )
  # A bound far beyond any data keeps training from leaving float32.
  bound = _LOG_RADIUS_BOUND
  radii = tf.exp(bound * tf.tanh(log_radii / bound))
  return tf.reshape(tf.exp(log_slopes), radii.shape) * radii, radii
