"""Functions of the norm of vectors, fitted to norms."""

from typing import NamedTuple

import numpy as np

__all__ = ['RadialCurve', 'best_curve', 'cost']

# What is nearly equal, of logarithms of radii.
_CELL = 0.01
# The grid that is searched: points a side, rounds, and how it shrinks.
_GRID, _ZOOMS, _SHRINK = 11, 9, 0.45
_LOG_SLOPES, _LOG_RADII = (0.0, 4.0), (-4.0, 4.0)


class RadialCurve(NamedTuple):
  """`g(r) = e^a r m(r)`, `m(r) = (e^s + r / B) / (1 + r / B)`, `s >= 0`.

  `r` are root mean squares over the `D` dimensions. The term `m` is that of
  `RadialScaling`; arrays of curves broadcast with `r`.
  """

  log_slope: float = 0.0
  log_radius: float = 0.0
  log_scale: float = 0.0

  @classmethod
  def fitted(
      cls,
      r,
      size,
      largest_log_slope=_LOG_SLOPES[1],
      log_scales=(-np.inf, np.inf),
      slope_counts=False,
  ):
    """The curve `[]` of the highest likelihood for radii `[N]`.

    `log_scales` is the range of the `a`, or with `slope_counts` of the slopes
    of `g`, `e^a` to `e^(a + s)`.
    """
    if slope_counts:
      largest_log_slope = min(
          largest_log_slope, max(log_scales[1] - log_scales[0], 0.0)
      )
    r, shares = _cells(r)
    log_slopes = _LOG_SLOPES[0], largest_log_slope
    centers, widths = zip(
        *((0.5 * (a + b), 0.5 * (b - a)) for a, b in (log_slopes, _LOG_RADII)),
        strict=True,
    )
    steps = np.linspace(-1.0, 1.0, _GRID)
    for zoom in range(_ZOOMS):
      slopes, radii = (
          center + width * _SHRINK**zoom * steps
          for center, width in zip(centers, widths, strict=True)
      )
      slopes = np.clip(slopes, *log_slopes)[:, np.newaxis, np.newaxis]
      radii = radii[:, np.newaxis]
      ratio, slope = cls(slopes, radii).ratio_and_slope(r)
      square = ((r * ratio) ** 2 @ shares)[..., np.newaxis]
      log_det = (size - 1.0) * np.log(ratio) + np.log(slope)
      # Of all scales, that of variance 1; the likelihood is concave in it.
      scales = -0.5 * np.log(square)
      low, high = log_scales
      if slope_counts:
        high = np.maximum(high - slopes, low)
      scales = np.clip(scales, low, high)
      values = size * (scales - 0.5 * np.exp(2.0 * scales) * square)
      values = values[..., 0] + log_det @ shares
      i, j = np.unravel_index(np.argmax(values), values.shape)
      centers = slopes[i, 0, 0], radii[j, 0]
    return cls(*map(float, (*centers, scales[i, j, 0])))

  def ratio_and_slope(self, r):
    """`m`, and `d(r m)/dr`."""
    scale, x = np.exp(self.log_slope), r / np.exp(self.log_radius)
    ratio = (scale + x) / (1.0 + x)
    return ratio, (scale + 2.0 * x + x**2) / (1.0 + x) ** 2

  def log_prob(self, r, size):
    """Logarithm of the density of vectors of `size` dimensions, at `r`."""
    ratio, slope = self.ratio_and_slope(r)
    square = (np.exp(self.log_scale) * r * ratio) ** 2
    log_det = size * self.log_scale + (size - 1.0) * np.log(ratio)
    return log_det + np.log(slope) - 0.5 * size * (square + np.log(2.0 * np.pi))

  def weights(self, r, size):
    """`-d log_prob / d(size r^2 / 2)`, positive and not increasing."""
    ratio, slope = self.ratio_and_slope(r)
    scale, radius = np.exp(self.log_slope), np.exp(self.log_radius)
    x = r / radius
    # Of the logarithms of ratio and slope, the derivatives by r, over r.
    change = (1.0 - scale) / (1.0 + x) ** 2 / (radius * r)
    change = change * ((size - 1.0) / ratio + 2.0 / (1.0 + x) / slope)
    return np.exp(2.0 * self.log_scale) * ratio * slope - change / size


def _cells(r):
  """Root mean squares of radii `[N]` that are nearly equal, and shares of them.

  A mean over cells is one over all radii, to second order in their width.
  """
  r = np.asarray(r, np.float64)
  cells = np.floor(np.log(np.maximum(r, np.finfo(r.dtype).tiny)) / _CELL)
  _, cells, counts = np.unique(cells, return_inverse=True, return_counts=True)
  squares = np.bincount(cells, r**2)
  return np.sqrt(squares / counts), counts / len(r)


def best_curve(
    radii, size, gain, log_scales=(-np.inf, np.inf), slope_counts=False
):
  """The `RadialCurve` of held-out radii `[N]`.

  It has one parameter or three, or none, as far as they earn what they cost;
  all three must gain `gain` nats. Bounds are those of `RadialCurve.fitted`.
  """
  best = RadialCurve()
  least = best.log_prob(radii, size).mean()
  for count, log_slope in ((1, 0.0), (3, _LOG_SLOPES[1])):
    needed = 0.0 if count == 1 else gain
    if needed == np.inf:
      break
    curve = RadialCurve.fitted(
        radii,
        size,
        log_slope,
        log_scales=log_scales,
        slope_counts=slope_counts,
    )
    value = curve.log_prob(radii, size).mean()
    if value >= least + max(cost(len(radii), count), needed):
      best, least = curve, value
  return best


def cost(num, num_parameters=3):
  """Nats that parameters cost each of `num` vectors (Schwarz 1978)."""
  return 0.5 * num_parameters * np.log(num) / num
