"""The optimum over linear maps that are followed by a function of the norm."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import optimum
from tfp_flowopt.flows import class_maps
from tfp_flowopt.flows import radial_curve
from tfp_flowopt.flows import whitening

__all__ = ['EllipticalMap', 'elliptical_map', 'rounding_noise']

# Rows that are added at once.
_BATCH = 65536
# Rounds of weights, at most, and the gain in nats a dimension that ends them.
_ROUNDS, _GAIN = 30, 1e-4
# At the centre itself, weights would be infinite.
_LEAST_RADIUS = 1e-6


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
  curve: radial_curve.RadialCurve
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
    shrinkage=None,
):
  """The optimum for vectors `y` `[N, D]`, given `features` `[N, F]`.

  Without a curve it is that of `likelihood_optimum`. For any other curve, the
  best matrix, shift and covariance are those of vectors with the weights

  ```none
  w(r) = -d log p / d(D r^2 / 2)
  ```

  (M-estimators: Maronna 1976): vectors far out have small ones. Curve and
  weights are found in turn, while the likelihood rises. There is no curve where
  it gains less than its parameters cost.

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
    shrinkage: `Shrinkage` of a table of few vectors, whose curve is that of
      held-out ones.

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
    start, rest, given = center, y, with_one
    if shrinkage is not None and shrinkage.ridge:
      shrunk, start = shrinkage.regression(y, features)
      # Nothing is left to predict but the mean.
      rest, given = y - features @ shrunk.T, with_one[:, -1:]
    correlation = optimum.AutoCorrelation(
        'dense', [size], centered=False, conditioning=[given.shape[1]]
    )
    for i in range(0, len(y), _BATCH):
      rows = slice(i, i + _BATCH)
      correlation.update(
          roots[rows] * (rest[rows] - start), roots[rows] * given[rows]
      )
    moments = correlation.moments()
    matrix = moments.regression.matrix.numpy()
    matrix, mean = matrix[:, :-1], start + matrix[:, -1]
    if shrinkage is not None:
      matrix = shrunk if shrinkage.ridge else matrix
      moments = dataclasses.replace(
          moments, within=shrinkage.covariance(moments.within.numpy())
      )
    noise = rounding_noise(matrix, feature_squares, eps)
    scaled = whitening_map(
        dataclasses.replace(moments, mean=tf.constant(mean)), noise
    )
    found = EllipticalMap(matrix, scaled, None, radial_curve.RadialCurve(), 0.0)
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
    if shrinkage is not None and shares is None:
      found = linear(shrinkage.weights, None)
      curve = radial_curve.best_curve(
          shrinkage.radii, size, gain, found[0].whitening.log_range, is_bounded
      )
      return with_curve(*found, curve)
    found = linear(np.ones(len(y)), shares)
    best = with_curve(*found, radial_curve.RadialCurve())
    if gain == np.inf:
      return best
    # What outliers have widened is no measure: what a curve is worth is seen
    # when they have their weights.
    straight, least = best, best.log_likelihood
    for _ in range(_ROUNDS):
      radii = found[1]
      # Not beyond the bounds of the scales: the next round moves these.
      log_scales = found[0].whitening.log_range
      curve = radial_curve.RadialCurve.fitted(
          radii, size, log_scales=log_scales, slope_counts=is_bounded
      )
      curved = with_curve(*found, curve)
      # Not a number where all radii are 0.
      if not curved.log_likelihood > least:
        break
      best, least = curved, curved.log_likelihood + _GAIN * size
      found = linear(best.curve.weights(radii, size), shares)
    needed = max(radial_curve.cost(len(y)), gain)
    gained = best.log_likelihood - straight.log_likelihood
    return best if gained >= needed else straight

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


def rounding_noise(matrix, feature_squares, eps):
  """Variances `[D]` of rounding errors of what a matrix `[D, F]` predicts.

  They may be large where little is left. Of features the mean squares count.
  """
  return (2.0 * eps) ** 2 * (matrix**2 @ feature_squares)


def _radii(latents):
  return np.maximum(np.sqrt(np.mean(latents**2, axis=1)), _LEAST_RADIUS)
