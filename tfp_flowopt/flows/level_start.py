"""One level of an image flow at its closed-form start."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.bijectors import base
from tfp_flowopt.flows import cascade_start
from tfp_flowopt.flows import image_batches
from tfp_flowopt.flows import whitening
from tfp_flowopt.flows import whole_whitening
from tfp_flowopt.internal import graphs
from tfp_flowopt.lipschitz import bounds

__all__ = ['LevelStart', 'level_start']

# Numbers of the images that the curves of a cascade are fitted to, about.
_FITTED = 2**20
# Variance of rounding errors with which curves of small radii would be those of
# the errors: data hardly vary in some direction.
_LARGEST_NOISE = 1e-6
# Share of the diagonal in the covariance of the coarsest images, at least. What
# held-out images say (0.1) is best before training; but couplings do more where
# directions of little variance are not amplified as far. Demo by blocks, not
# wavelets, bits/dim after training and steps at borders of 8x8 tiles: 0.1 2.645
# and 1.25, 0.3 2.628 and 1.36, 0.5 2.621 and 1.52, 0.7 2.618 and 1.79; without
# the map 2.628 and 4.27.
_LEAST_TO_DIAGONAL = 0.3
# Numbers that are kept in memory between two passes, at most.
_KEPT = 2**26


@dataclasses.dataclass(frozen=True)
class LevelStart:
  """What a level starts with, and what is left to the next one.

  Attributes:
    whole: Pairs of a variable of `whiten_whole` and its value.
    whitening: The `WhiteningMap`.
    scaling: The `CascadeStart` of what is factored out, `None` if there is no
      cascade, or one that stays as it is.
    log_likelihood: What the level adds, without the constant of the normal.
    noise: `[C]`, variances of rounding errors of what travels on.
    batches: What travels on, to be read again and again: images `[N, H, W, C]`,
      integers `[N]`, and perhaps classes, as `whole_whitening` takes them.
  """

  whole: list[tuple[tf.Variable, Any]]
  whitening: whitening.WhiteningMap
  scaling: cascade_start.CascadeStart | None
  log_likelihood: float
  noise: np.ndarray
  batches: Any

  def assign(self, level):
    """Puts the level there."""
    for variable, value in self.whole:
      variable.assign(tf.cast(value, variable.dtype))
    level.whiten.initialize(
        left=np.eye(self.whitening.scales.shape[0]),
        singular_values=self.whitening.scales,
        right=self.whitening.eigenvectors,
        shift=self.whitening.mean,
    )
    if self.scaling is not None:
      level.factor_out.scaling.initialize(*self.scaling)


def level_start(level, batches, lipschitz, noise):
  """The `LevelStart` for images that arrive at the level, in batches.

  `noise` `[C]` are variances of their rounding errors. `batches`, as those of
  `LevelStart`, are read several times, unless they are few enough to
  be kept.
  """
  whole, log_det = [], 0.0
  if level.whiten_whole is not None:
    batches = _kept(batches)
    whole, log_det = whole_whitening.whole_whitening(
        level.whiten_whole.bijector, batches, lipschitz, _LEAST_TO_DIAGONAL
    )
    fixed = whole_whitening.with_weights(level.whiten_whole, whole)
    batches = _kept(_Mapped(batches, _images_after(fixed)))
    noise = _noise_after(whole, noise)
  best = whitening.whitening_map(
      _moments(level, batches),
      lipschitz,
      # Each channel of the squeezed image is of one that arrives.
      np.tile(noise, 4) * bounds.lipschitz_bounds(level.squeeze).inverse ** 2,
      level.repeated_steps.num_steps,
      level.dtype,
  )
  split = _kept(
      _Mapped(
          batches,
          lambda x, *rest: (
              *level.factor_out.split(best(level.squeeze.inverse(x))), *rest
          ),
      )
  )
  scaling, parts = _cascade(
      level.factor_out.scaling,
      _Mapped(split, lambda _, factored, *__: factored),
      best.noise,
  )
  height, width, _ = level.factor_out.event_shape
  log_det += height * width * float(np.log(best.scales).sum())
  log_det += image_batches.mean(_terms(parts, y) for _, y, *_ in split)
  return LevelStart(
      whole,
      best,
      scaling,
      log_det,
      best.noise[: -level.factor_out.num_factored],
      _Mapped(split, lambda travelling, _, *rest: (travelling, *rest)),
  )


def _images_after(bijector):
  """Batches with images after a bijector, of classes if they are given."""

  def function(x, examples, *classes):
    maps = [tf.cast(c, x.dtype)[:, tf.newaxis, tf.newaxis] for c in classes]
    return (
        bijectors.inverse_and_log_det(bijector, tf.identity(x), *maps)[0],
        examples,
        *classes,
    )

  return function


class _Mapped:
  """Batches under a function, computed whenever they are read."""

  def __init__(self, batches, function):
    self._batches = batches
    self._function = function

  def __iter__(self):
    return (self._function(*batch) for batch in self._batches)


def _kept(batches):
  """A list of them if they are small, or as they are."""
  kept, count = [], 0
  for batch in batches:
    kept.append(batch)
    count += sum(int(tf.size(x)) for x in batch)
    if count > _KEPT:
      return batches
  return kept


def _noise_after(weights, noise):
  """Variances of rounding errors after a map of images as a whole, `[C]`."""
  eps = np.finfo(weights[0][0].dtype.as_numpy_dtype).eps
  # Of the difference to the mean, of the matrix and of the sums.
  matrices, inverses, means, _ = (value for _, value in weights)
  after = []
  for matrix, inverse, mean in zip(matrices, inverses, means, strict=True):
    variances = np.square(inverse).sum(axis=1)
    arriving = np.tile(noise, len(mean) // len(noise))
    arriving += (2.0 * eps) ** 2 * (variances + mean**2)
    after.append(np.square(matrix) @ arriving)
  return np.reshape(after, [-1, len(noise)]).max(axis=0)


def _terms(parts, y):
  """What factored images add to the log-likelihood, `[N]`."""
  y, log_det = base.compose(bijectors.inverse_and_log_det, parts, y)
  squares = tf.reduce_sum(tf.square(tf.cast(y, tf.float64)), axis=[1, 2, 3])
  return tf.cast(log_det, tf.float64) - 0.5 * squares


def _cascade(cascade, batches, noise):
  """The `CascadeStart` of a cascade and its parts, if it gets one."""
  if cascade is None or noise.max() > _LARGEST_NOISE:
    return None, []
  start = cascade_start.cascade_start(cascade, _some(batches), noise.max())
  return start, cascade.parts_with(start)


def _some(batches):
  """Images of all parts of a data set, an array of about `_FITTED` numbers."""
  kept, every, number = [], 1, 0
  for batch in batches:
    kept.append(batch[-number % every :: every].numpy())
    number += len(batch)
    if sum(x.size for x in kept) > 2 * _FITTED and number > every:
      kept, every = [np.concatenate(kept)[::2]], 2 * every
  _check_read(number)
  return np.concatenate(kept)


def _check_read(number):
  if not number:
    raise ValueError(
        'Argument `data` is an empty dataset, or one that can be read only '
        'once; it is read several times for each level.'
    )


def _moments(level, batches):
  """`Moments` of the vectors that arrive at `level.whiten`."""
  shape = level.factor_out.event_shape
  correlation = optimum.AutoCorrelation('pointwise', shape)

  def accumulate(x):
    # Another tensor on each replica, or bijectors find each other's results.
    x = tf.identity(x)
    correlation.update(level.squeeze.inverse(x))

  strategy = tf.distribute.get_strategy()
  num_replicas = strategy.num_replicas_in_sync

  def on_replica(x, number):
    # Batches go round the replicas.
    own = tf.distribute.get_replica_context().replica_id_in_sync_group
    if num_replicas == 1:  # TensorFlow shares no variable within a `tf.cond`
      accumulate(x)
      return
    tf.cond(
        tf.equal(number % num_replicas, own),
        lambda: (accumulate(x), 0)[1],
        lambda: 0,
    )

  read = graphs.own_graph(
      lambda x, number: strategy.run(on_replica, args=(x, number)),
      input_signature=[
          tf.TensorSpec([None, *level.event_shape], level.dtype),
          tf.TensorSpec([], tf.int32),
      ],
  )
  number = -1
  for number, (batch, *_) in enumerate(batches):
    read(batch, tf.constant(number))
  _check_read(number + 1)
  if num_replicas > 1:
    graphs.own_graph(correlation.all_reduce)()
  return correlation.moments()
