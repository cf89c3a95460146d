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

__all__ = ['LevelStart', 'level_start']

# Numbers of the images that the curves of a cascade are fitted to, about.
_FITTED = 2**20
# Variance of rounding errors with which curves of small radii would be those of
# the errors: data hardly vary in some direction.
_LARGEST_NOISE = 1e-6
# Numbers that are kept in memory between two passes, at most.
_KEPT = 2**26


@dataclasses.dataclass(frozen=True)
class LevelStart:
  """What a level starts with, and what is left to the next one.

  Attributes:
    whitening: The `WhiteningMap`.
    cascades: The `CascadeStart` of what arrives and of what is factored out,
      each `None` if there is no cascade, or one that stays as it is.
    log_likelihood: What the level adds, without the constant of the normal.
    noise: `[C]`, variances of rounding errors of what travels on.
    batches: What travels on, `[N, H, W, C]`, to be read again and again.
  """

  whitening: whitening.WhiteningMap
  cascades: tuple
  log_likelihood: float
  noise: np.ndarray
  batches: Any

  def assign(self, level):
    """Puts the level there."""
    level.whiten.initialize(
        left=np.eye(self.whitening.scales.shape[0]),
        singular_values=self.whitening.scales,
        right=self.whitening.eigenvectors,
        shift=self.whitening.mean,
    )
    scalings = level.scaling, level.factor_out.scaling
    for scaling, start in zip(scalings, self.cascades, strict=True):
      if start is not None:
        scaling.initialize(*start)


def level_start(level, batches, lipschitz, noise, planned):
  """The `LevelStart` for images that arrive at the level, in batches.

  `noise` `[C]` are variances of their rounding errors, `planned` the shares of
  a budget that are taken, see `cascade_start`. `batches` are read several
  times, unless they are few enough to be kept.
  """
  arriving, before = _cascade(
      level.scaling, batches, noise, planned, level.squeeze
  )
  scaled = _kept(_Mapped(batches, lambda x: _applied(before, x)))
  if arriving is not None:
    noise = noise * _largest_scale(arriving) ** 2
  best = whitening.whitening_map(
      _moments(level, _Mapped(scaled, lambda pair: pair[0])),
      lipschitz,
      # Each channel of the squeezed image is one of each block.
      np.tile(noise, 4),
      level.repeated_steps.num_steps,
      level.dtype,
  )
  split = _kept(
      _Mapped(
          scaled,
          lambda pair: level.factor_out.split(
              best(level.squeeze.inverse(pair[0]))
          ),
      )
  )
  leaving, after = _cascade(
      level.factor_out.scaling,
      _Mapped(split, lambda pair: pair[1]),
      best.noise,
      planned,
  )
  height, width, _ = level.factor_out.event_shape
  log_det = height * width * float(np.log(best.scales).sum())
  log_det += image_batches.mean(log_dets for _, log_dets in scaled)
  log_det += image_batches.mean(_terms(after, y) for _, y in split)
  num_factored = level.factor_out.num_factored
  return LevelStart(
      best,
      (arriving, leaving),
      log_det,
      best.noise[:-num_factored],
      _Mapped(split, lambda pair: pair[0]),
  )


class _Mapped:
  """Batches under a function, computed whenever they are read."""

  def __init__(self, batches, function):
    self._batches = batches
    self._function = function

  def __iter__(self):
    return map(self._function, self._batches)


def _kept(batches):
  """A list of them if they are small, or as they are."""
  kept, count = [], 0
  for batch in batches:
    kept.append(batch)
    count += sum(int(tf.size(x)) for x in batch)
    if count > _KEPT:
      return batches
  return kept


def _terms(parts, y):
  """What factored images add to the log-likelihood, `[N]`."""
  y, log_det = _applied(parts, y)
  squares = tf.reduce_sum(tf.square(tf.cast(y, tf.float64)), axis=[1, 2, 3])
  return tf.cast(log_det, tf.float64) - 0.5 * squares


def _cascade(cascade, batches, noise, planned, squeeze=None):
  """The `CascadeStart` of a cascade and its parts, if it gets one.

  With `squeeze`, a whitening of squeezed images follows: it has to be better
  off than without.
  """
  if cascade is None or noise.max() > _LARGEST_NOISE:
    return None, []
  x, before = _some(batches), dict(planned)
  start = cascade_start.cascade_start(cascade, x, planned)
  parts = cascade.parts_with(start)
  if squeeze is not None:
    scaled, log_det = _applied(parts, tf.constant(x))
    gain = float(tf.reduce_mean(log_det)) - 0.5 * (
        _log_volume(squeeze, scaled) - _log_volume(squeeze, x)
    )
    if not gain > 0:
      planned.clear()
      planned.update(before)
      return None, []
  return start, parts


def _log_volume(squeeze, x):
  """Log-determinant of the covariance of blocks, for all of an image."""
  blocks = np.asarray(squeeze.inverse(tf.identity(x)), np.float64)
  rows = blocks.reshape([-1, blocks.shape[-1]])
  values = np.linalg.eigvalsh(np.atleast_2d(np.cov(rows.T)))
  positions = blocks.shape[1] * blocks.shape[2]
  return positions * np.log(np.maximum(values, _LARGEST_NOISE)).sum()


def _largest_scale(start):
  """The most that a cascade makes of a rounding error, of each channel."""
  return np.exp(np.sum(start.log_scales, axis=0) + np.sum(start.log_slopes))


def _applied(parts, x):
  """Images after a cascade, and the log-determinant of each, `[N]`."""
  x, log_det = base.compose(bijectors.inverse_and_log_det, parts, x)
  return x, tf.broadcast_to(log_det, tf.shape(x)[:1])


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
    tf.cond(
        tf.equal(number % num_replicas, own),
        lambda: (accumulate(x), 0)[1],
        lambda: 0,
    )

  # Concrete: TensorFlow warns of a function that is made for each level.
  read = tf.function(
      lambda x, number: strategy.run(on_replica, args=(x, number)),
      autograph=False,
  ).get_concrete_function(
      tf.TensorSpec([None, *level.event_shape], level.dtype),
      tf.TensorSpec([], tf.int32),
  )
  number = -1
  for number, batch in enumerate(batches):
    read(batch, tf.constant(number))
  _check_read(number + 1)
  if num_replicas > 1:
    tf.function(
        correlation.all_reduce, autograph=False
    ).get_concrete_function()()
  return correlation.moments()
