"""What the features of a condition say of images, from data."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.flows import held_out
from tfp_flowopt.flows import lines
from tfp_flowopt.flows import ridge
from tfp_flowopt.flows import whole_whitening

__all__ = ['best_ridge', 'fitted_shift', 'standard_features']

# Folds of examples; fewer images say nothing.
_FOLDS, _FEWEST = 5, 4
# Images a feature that are enough, and sides of what the ridge is chosen by.
_MANY, _SIDE = 100, 8


def standard_features(flow, conditions):
  """Weights of `flow.condition_curves`: pairs of a variable and its value.

  `conditions` is an iterable of batches of them. A `ValueError` unless they are
  finite.
  """
  curves, count = flow.condition_curves, 0
  mean = squares = np.zeros([flow.conditioning.num_channels])
  for condition in conditions:
    features = flow.conditioning.features(condition, np.float64).numpy()
    features = features.reshape([-1, features.shape[-1]])
    if not np.all(np.isfinite(features)):
      raise ValueError('Argument `conditioning` must be finite.')
    # The pairwise update of Chan, Golub & LeVeque (1983).
    own, change = len(features), features.mean(axis=0) - mean
    count += own
    squares = squares + own * features.var(axis=0) + (
        change**2 * own * (count - own) / count
    )
    mean = mean + change * own / count
  deviation = np.sqrt(squares / max(count, 1))
  knots = lines.standard_line(mean, deviation, curves.inputs.shape[1])
  return list(zip((curves.inputs, curves.outputs), knots, strict=True))


def fitted_shift(shift, batches):
  """Weights of a `ConditionalShift`, pairs of a variable and its value.

  Least squares of images on features; with fewer than 100 images a feature
  ridge regression, the ridge being the one that held-out images are best off
  with (`held_out.shrinkage`), of coarse versions of them.

  `batches` are images `[N, H, W, C]`, features `[N, F]` of about unit variance,
  and integers `[N]` that are the same for two versions of an image.
  """
  count = total = feature_total = gram = cross = 0.0
  coarse = []
  for x, features, examples in batches:
    rows, features = whole_whitening.rows(x), np.asarray(features, np.float64)
    if count < _MANY * features.shape[1]:
      coarse.append((_coarse(x), features, np.asarray(examples)))
    count += len(rows)
    total += rows.sum(axis=0)
    feature_total += features.sum(axis=0)
    gram += features.T @ features
    cross += rows.T @ features
  mean, feature_mean = total / count, feature_total / count
  best = 0.0
  if count < _MANY * len(feature_mean):
    best = best_ridge(*map(np.concatenate, zip(*coarse, strict=True)))
  (matrix,) = ridge.ridge_matrices(
      gram / count - np.outer(feature_mean, feature_mean),
      cross / count - np.outer(mean, feature_mean),
      [best],
  )
  return [(shift.matrix, matrix), (shift.shift, mean - matrix @ feature_mean)]


def _coarse(x):
  """Images as vectors of at most so many positions."""
  sides = [min(side, _SIDE) for side in x.shape[1:3]]
  return whole_whitening.rows(tf.image.resize(x, sides, 'area'))


def best_ridge(y, features, examples):
  """The ridge for `y` `[N, D]`; infinite where nothing can be held out."""
  fold_of = examples % _FOLDS
  folds = [
      held_out.Fold(fold_of == k, y, features, 0.0) for k in np.unique(fold_of)
  ]
  if len(folds) < 2 or len(y) < _FEWEST:
    return np.inf
  return held_out.shrinkage(folds).ridge
