"""Bijectors made of others."""

import copy
import functools
import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import given
from tfp_flowopt.bijectors.multiscale import separate_steps
from tfp_flowopt.bijectors.multiscale import whole_images
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps
from tfp_flowopt.local import skeleton
from tfp_flowopt.optimum import flow_bijector

__all__ = ['Sequence', 'Wrapped', 'sequence']

tfb = tfp.bijectors
# Balls beyond are taken for all of space: squares of numbers stay in range.
_LARGEST = 1e12


class Sequence(maps.LocalMap):
  """Bijectors in turn, in the order of `inverse`.

  A ball grows by the product of constants, or as the `Skeleton` of a run of
  parts says, whichever is less.
  """

  def __init__(self, parts):
    """Joins parts, a list of `LocalMap`s."""
    self.parts = []
    for part in parts:
      self.parts += part.parts if isinstance(part, Sequence) else [part]
    matrices = skeleton.matrices_of(self.parts)
    there = [found and found[1] for found in matrices]
    back = [found and found[0] for found in matrices[::-1]]
    self._runs = {
        'forward': _runs(self.parts[::-1], back, 'forward'),
        'inverse': _runs(self.parts, there, 'inverse'),
    }

  def global_slope(self, direction):
    """See `LocalMap`."""
    return functools.reduce(
        rounding.product,
        (part.global_slope(direction) for part in self.parts),
        1.0,
    )

  def without_last_radial(self):
    """See `LocalMap`."""
    if not self.parts:
      return self, None
    *others, end = self.parts
    if end.is_radial:
      return Sequence(others), end
    before, last = end.without_last_radial()
    if last is None:
      return self, None
    return Sequence([*others, before]), last

  def _inverse(self, reach):
    return self._apply(reach, self.parts, 'inverse')

  def _forward(self, reach):
    return self._apply(reach, self.parts[::-1], 'forward')

  def _apply(self, reach, parts, method):
    zeros = tf.zeros_like(reach.radius)
    log_det, low, high, gain = zeros, zeros, zeros, zeros + 1.0
    rest = [zeros, zeros]
    value, spread, run = reach.center, None, None
    inflation = rounding.inflation(value.dtype)
    for index, part in enumerate(parts):
      if run is not self._runs[method][index]:
        run = self._runs[method][index]
        spread = run and skeleton.Spread(run, [(index - 1, gain)], index - 1)
      radius = tf.math.multiply_no_nan(gain, reach.radius)
      change = getattr(part, method)(
          reach._replace(
              center=value,
              radius=tf.minimum(radius, _LARGEST),
              spread=spread and spread.relative_to(gain),
          )
      )
      change = _anywhere(change, radius > _LARGEST, part.global_slope(method))
      # Once for each part, for what its rule has rounded.
      before, gain = gain, gain * change.slope * inflation
      if spread is not None:
        spread = spread.after(
            index, None if run.is_linear(index) else change.bend * before
        )
        gain = tf.minimum(gain, spread.gain() * inflation)
      value, log_det = change.value, log_det + change.log_det
      low, high = low + change.low, high + change.high
      rest = [a + b for a, b in zip(rest, change.rest, strict=True)]
    return balls.Change(
        value, log_det, gain, low, high, given_rest=tuple(rest)
    )


def _anywhere(change, is_far, slope):
  """A `Change`, with the global constant where a ball is very large."""
  infinity = tf.constant(math.inf, change.slope.dtype)
  slope = maps.constant(slope, change.slope.dtype)
  return change._replace(
      slope=tf.where(is_far, slope, change.slope),
      low=tf.where(is_far, -infinity, change.low),
      high=tf.where(is_far, infinity, change.high),
      given_bend=tf.where(is_far, slope + 1.0, change.bend),
      given_rest=tuple(
          tf.where(is_far, end, rest)
          for end, rest in zip((-infinity, infinity), change.rest, strict=True)
      ),
  )


def _runs(parts, matrices, direction):
  """The `Skeleton` that each part belongs to, or `None`."""
  result, size = [], None
  for part, matrix in zip(parts, matrices, strict=True):
    if part.changes_channels and direction == 'inverse':
      size = None  # the matrix is of the channels that leave
    if matrix is None and not part.keeps_channels:
      size = None
      result.append(None)
      continue
    if size is None or (matrix is not None and size != matrix.shape[-1]):
      if matrix is None:
        # Nothing to multiply before the first matrix.
        result.append(None)
        continue
      size = matrix.shape[-1]
      # Wavelets have no type, but the map after them, which `inverse` needs.
      owner = parts[len(result) + 1] if part.changes_channels else part
      run = skeleton.Skeleton({}, owner.bijector.dtype)
    run.add(len(result), matrix)
    result.append(run)
    if part.changes_channels and direction == 'forward':
      size = None  # and the other way round
  return result


class Wrapped(maps.LocalMap):
  """What does as another one does, with the same constants."""

  def __init__(self, local):
    """Wraps a `LocalMap`."""
    self.local = local

  def global_slope(self, direction):
    """See `LocalMap`."""
    return self.local.global_slope(direction)

  def without_last_radial(self):
    """See `LocalMap`."""
    before, last = self.local.without_last_radial()
    if last is None:
      return self, None
    other = copy.copy(self)
    other.local = before
    return other, last

  def _inverse(self, reach):
    return self.local.inverse(reach)

  def _forward(self, reach):
    return self.local.forward(reach)


class _Inverted(Wrapped):
  """A bijector with its directions swapped."""

  def __init__(self, local):
    super().__init__(local)
    self.keeps_channels = local.keeps_channels

  def global_slope(self, direction):
    """See `LocalMap`."""
    swapped = {'forward': 'inverse', 'inverse': 'forward'}
    return self.local.global_slope(swapped[direction])

  def without_last_radial(self):
    """See `LocalMap`."""
    return self, None

  def _inverse(self, reach):
    return self.local.forward(reach)

  def _forward(self, reach):
    return self.local.inverse(reach)


class _Whole(Wrapped):
  """`WholeImages`: a bijector of vectors, of images."""

  def _inverse(self, reach):
    return self._apply(reach, self.local.inverse)

  def _forward(self, reach):
    return self._apply(reach, self.local.forward)

  def _apply(self, reach, evaluate):
    c = reach.conditioning
    if c is not None:
      c = tf.squeeze(c, [-3, -2])
    x = reach.center
    size = x.shape[-3:].num_elements()
    flat = tf.reshape(x, tf.concat([tf.shape(x)[:-3], [size]], axis=0))
    flat = tf.ensure_shape(flat, [*[None] * (x.shape.rank - 3), size])
    change = evaluate(reach._replace(center=flat, conditioning=c))
    return change._replace(
        value=tf.reshape(change.value, tf.shape(x))
    )


class _Given(Wrapped):
  """A bijector that has its condition."""

  def __init__(self, local, conditioning):
    super().__init__(local)
    self.keeps_channels = local.keeps_channels
    self._conditioning = conditioning

  def _inverse(self, reach):
    return self.local.inverse(self._told(reach))

  def _forward(self, reach):
    return self.local.forward(self._told(reach))

  def _told(self, reach):
    return reach._replace(conditioning=self._conditioning)


def sequence(parts):
  """The `Sequence` of bijectors in the order of `inverse`."""
  return Sequence([maps.local_map(part) for part in parts])


_LINEAR = (
    bijectors.ActNorm,
    bijectors.ConditionalShift,
    bijectors.DenseAffine,
    bijectors.DepthToSpace,
    bijectors.InvertibleConv1x1,
    flow_bijector.LinearBijector,
    tfb.Identity,
    tfb.Permute,
    tfb.Reshape,
    tfb.Transpose,
)
for _cls in _LINEAR:
  maps.register(_cls, maps.Linear)
maps.register(bijectors.WaveletTransform, skeleton.Wavelet)
for _cls in (
    bijectors.Sequential,
    bijectors.RepeatedSteps,
    bijectors.ScalingCascade,
    separate_steps.SeparateSteps,
):
  maps.register(_cls, lambda bijector: sequence(bijector.parts))
maps.register(
    whole_images.WholeImages, lambda b: _Whole(maps.local_map(b.bijector))
)
maps.register(
    separate_steps.BijectorOfImages,
    lambda b: Wrapped(maps.local_map(b.bijector)),
)
maps.register(
    given.Given, lambda b: _Given(maps.local_map(b.bijector), b.condition)
)
# Some make instances of private bases, `_Chain` for `Chain(...)`.
for _public, _make in {
    tfb.Chain: lambda b: sequence(b.bijectors),
    tfb.Invert: lambda b: _Inverted(maps.local_map(b.bijector)),
}.items():
  for _cls in _public.__mro__:
    if _cls.__name__.lstrip('_') == _public.__name__:
      maps.register(_cls, _make)
