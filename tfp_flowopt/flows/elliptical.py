"""The optimum over linear maps that are followed by a function of the norm."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import optimum
from tfp_flowopt.flows import class_maps
from tfp_flowopt.flows import whitening

__all__ = ['EllipticalMap', 'RadialCurve', 'elliptical_map']

# Rows that are added at once.
_BATCH = 65536
# Rounds of weights, at most, and the gain in nats a dimension that ends them.
_ROUNDS, _GAIN = 30, 1e-4
# Radii that a curve is fitted to, at most; and the least one.
_RADII, _LEAST_RADIUS = 10000, 1e-6
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
      most=_RADII,
      log_scales=(-np.inf, np.inf),
      slope_counts=False,
  ):
    """The curve `[]` of the highest likelihood for radii `[N]`.

    `most` radii are looked at, the largest one among them; `log_scales` is the
    range of the `a`, or with `slope_counts` of the slopes of `g`, `e^a` to
    `e^(a + s)`.
    """
    if slope_counts:
      largest_log_slope = min(
          largest_log_slope, max(log_scales[1] - log_scales[0], 0.0)
      )
    r = np.sort(r)[:: -1 - len(r) // most]
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
      new = r * cls(slopes, radii).ratio_and_slope(r)[0]
      # Of all scales, that of variance 1; the likelihood is concave in it.
      scales = -0.5 * np.log(np.mean(new**2, axis=-1, keepdims=True))
      low, high = log_scales
      if slope_counts:
        high = np.maximum(high - slopes, low)
      scales = np.clip(scales, low, high)
      curves = cls(slopes, radii, scales)
      values = curves.log_prob(r, size).mean(axis=-1)
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


class EllipticalMap(NamedTuple):
  """`z = g(|v|) v`, `v = A_k u`, `u` the whitened `y - B c`.

  Attributes:
    matrix: `B`, `[D, F]` float64.
    whitening: The `WhiteningMap`.
    classes: The `ClassMaps` of the `A_k`, or `None` for the identity.
    curve: The `RadialCurve`, for root mean squares.
    log_likelihood: Mean over the data, nats.
  """

  matrix: np.ndarray
  whitening: whitening.WhiteningMap
  classes: class_maps.ClassMaps | None
  curve: RadialCurve
  log_likelihood: float

  def whitened(self, y, features):
    """The `u` `[N, D]`."""
    latents = y - features @ self.matrix.T - self.whitening.mean
    return latents @ self.whitening.eigenvectors * self.whitening.scales


def elliptical_map(
    y,
    features,
    gain,
    whitening_map,
    eps,
    is_bounded=False,
    by_class=None,
    without=None,
):
  """The optimum for vectors `y` `[N, D]`, given `features` `[N, F]`.

  Without a curve it is that of `likelihood_optimum`. For any other curve, the
  best matrix, shift and covariance are those of vectors with the weights

  ```none
  w(r) = -d log p / d(D r^2 / 2)
  ```

  (M-estimators: Maronna 1976): vectors far out have small ones. Curve and
  weights are found in turn, while the likelihood rises. There is no curve where
  it gains less than its parameters cost (Schwarz 1978).

  Classes have maps of their own where held-out vectors are better off with
  them. Then all is found again, with these maps.

  Args:
    y: NumPy array.
    features: NumPy array, `F` may be 0.
    gain: What a curve must gain, nats; infinite for none.
    whitening_map: Function of moments, and of the variances `[D]` of rounding
      errors that arrive, that returns the `WhiteningMap`.
    eps: Of the type that the flow computes in.
    is_bounded: Whether the bounds of the scales are those of the curve, too.
    by_class: The `rows_by_class`, if each class may have a map of its own.
    without: The `EllipticalMap` without such maps, if it is known.

  Returns:
    `EllipticalMap`.
  """
  y, size = y.astype(np.float64), y.shape[1]
  center = y.mean(axis=0)
  feature_squares = np.mean(np.square(features, dtype=np.float64), axis=0)
  # The mean is the coefficient of the feature 1, which has a weight, too.
  with_one = np.concatenate([features, np.ones([len(y), 1])], axis=1)

  def linear(weights, shares):
    """For these weights, and the radii and log-determinant of that."""
    roots = np.sqrt(weights)[:, np.newaxis]
    correlation = optimum.AutoCorrelation(
        'dense', [size], centered=False, conditioning=[with_one.shape[1]]
    )
    for i in range(0, len(y), _BATCH):
      rows = slice(i, i + _BATCH)
      correlation.update(
          roots[rows] * (y[rows] - center), roots[rows] * with_one[rows]
      )
    moments = correlation.moments()
    matrix = moments.regression.matrix.numpy()
    matrix, mean = matrix[:, :-1], center + matrix[:, -1]
    # Rounding of what is subtracted, which may be large where little is left.
    noise = (2.0 * eps) ** 2 * (matrix**2 @ feature_squares)
    scaled = whitening_map(
        dataclasses.replace(moments, mean=tf.constant(mean)), noise
    )
    found = EllipticalMap(matrix, scaled, None, RadialCurve(), 0.0)
    latents, log_det = found.whitened(y, features), np.log(scaled.scales).sum()
    if shares is not None:
      maps = class_maps.class_maps(
          latents, weights, by_class, shares, scaled, whitening_map
      )
      found = found._replace(classes=maps)
      latents, of_classes = maps(latents, by_class)
      log_det += of_classes
    return found, _radii(latents), log_det

  def with_curve(found, radii, log_det, curve):
    log_likelihood = log_det + curve.log_prob(radii, size).mean()
    return found._replace(curve=curve, log_likelihood=log_likelihood)

  def best_map(shares=None):
    found = linear(np.ones(len(y)), shares)
    best = with_curve(*found, RadialCurve())
    if gain == np.inf:
      return best
    cost = 1.5 * np.log(len(y)) / len(y)
    least = best.log_likelihood + max(cost, gain)
    for _ in range(_ROUNDS):
      radii = found[1]
      # Not beyond the bounds of the scales: the next round moves these.
      log_scales = found[0].whitening.log_range
      curve = RadialCurve.fitted(
          radii, size, log_scales=log_scales, slope_counts=is_bounded
      )
      curved = with_curve(*found, curve)
      # Not a number where all radii are 0.
      if not curved.log_likelihood >= least:
        break
      best, least = curved, curved.log_likelihood + _GAIN * size
      found = linear(best.curve.weights(radii, size), shares)
    return best

  best = without or best_map()
  if by_class is None:
    return best
  latents = best.whitened(y, features)
  shares = class_maps.shares_of_common(
      latents,
      best.curve.weights(_radii(latents), size),
      by_class,
      best.whitening,
  )
  if np.all(shares == 1.0):
    return best
  return max(best, best_map(shares), key=lambda found: found.log_likelihood)


def _radii(latents):
  # At the centre itself, weights would be infinite.
  return np.maximum(np.sqrt(np.mean(latents**2, axis=1)), _LEAST_RADIUS)
