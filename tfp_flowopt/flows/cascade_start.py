"""The scalings of a cascade, each at its optimum for what arrives there."""

from typing import NamedTuple

import numpy as np

from tfp_flowopt import bijectors
from tfp_flowopt.flows import radial_curve

__all__ = ['CascadeStart', 'cascade_start']

# What a scaling takes of the budget that is left to it and those after it.
# Crops of photographs, 3 levels, budget 7: 4.14 bits/dim at the start with 0.5,
# 4.06 with 0.3, 4.05 with 0.2, 4.09 with 0.1; 3.97 without a budget. Training
# wants room: of the demo, 2.629 bits/dim after 500 steps with 0.1, 2.636 with
# 0.2.
_SHARE = 0.1
# What it takes of its bound without one: slopes start within their range.
_SHARE_OF_BOUND = 0.5
# A slope that is none.
_NO_SLOPE = 1e-3
# Least deviation of a channel that is standardised; whitening makes it 1.
_LEAST_DEVIATION = 0.1
# Least radius where a curve bends, in standard deviations of rounding errors.
_LEAST_SIGNAL = 30.0
# Of a scaling without a slope, where training may bend it.
_RADIUS = 0.14


class CascadeStart(NamedTuple):
  """Weights as `ScalingCascade.initialize` takes them, float64.

  Attributes:
    log_scales: `[S, C]`.
    shifts: `[S, C]`.
    log_slopes: `[S]`.
    radii: `[S]`.
  """

  log_scales: np.ndarray
  shifts: np.ndarray
  log_slopes: np.ndarray
  radii: np.ndarray


def cascade_start(cascade, x, noise=0.0):
  """The `CascadeStart` for images, one scaling after the other.

  Each standardises the channels, and then has the curve of the root mean
  squares of its tiles that is best for a standard normal (`RadialCurve`). Of a
  budget it takes a share of what is left.

  Args:
    cascade: `ScalingCascade` of terms without slopes.
    x: Images `[N, H, W, C]` that arrive there, an array.
    noise: Variance of their rounding errors, which no curve is to stretch.
  """
  x, rows = np.asarray(x, np.float64), []
  slopes, used = cascade.log_slopes, 0.0
  for scaling in cascade.parts:
    if not isinstance(scaling, bijectors.RadialScaling):
      continue
    largest = _SHARE_OF_BOUND * slopes.bound
    if slopes.budget is not None:
      left = slopes.budget.left(slopes, {slopes: used})
      largest = min(largest, 2.0 * _SHARE * left)
    x, row = _scaled(scaling, x, largest, _LEAST_SIGNAL * noise**0.5)
    used += 0.5 * row[2]
    rows.append(row)
  return CascadeStart(*map(np.array, zip(*rows, strict=True)))


def _scaled(scaling, x, largest, least):
  """`x` after a scaling, and its row of each of the weights.

  Slopes are at most `largest`, and 0 for a curve that bends below `least`.
  """
  mean, deviation = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
  # A channel that hardly varies is left alone: it may be rounding errors.
  log_scale = -np.log(np.where(deviation > _LEAST_DEVIATION, deviation, 1.0))
  x = (x - mean) * np.exp(log_scale)
  size = scaling.tile_size
  num, height, width, channels = x.shape
  tiles = x.reshape([num, height // size, size, width // size, size, channels])
  axes, dimensions = (2, 4), size**2
  if scaling.num_groups == 1:
    axes, dimensions = (2, 4, 5), size**2 * channels
  radii = np.sqrt(np.mean(tiles**2, axis=axes, keepdims=True))
  curve = radial_curve.RadialCurve()
  if largest > _NO_SLOPE and radii.max() > _LEAST_DEVIATION:
    curve = curve.fitted(radii.ravel(), dimensions, largest)
  if curve.log_slope < _NO_SLOPE or np.exp(curve.log_radius) < least:
    return x, (log_scale, mean, 0.0, _RADIUS)
  ratio, _ = curve.ratio_and_slope(radii)
  # Of all radii: the mean square of latents is 1.
  scale = 1.0 / np.sqrt(np.mean((ratio * radii) ** 2))
  x = (tiles * ratio * scale).reshape(x.shape)
  # The curve is one of radii before they are scaled.
  radius = np.exp(curve.log_radius) * scale
  return x, (log_scale + np.log(scale), mean, curve.log_slope, radius)
