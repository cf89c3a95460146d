"""Bijectors made of others."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors.multiscale import separate_steps
from tfp_flowopt.bijectors.multiscale import whole_images
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import maps
from tfp_flowopt.optimum import flow_bijector

__all__ = ['Sequence', 'sequence']

tfb = tfp.bijectors
# A matrix of so many rows takes a second to make and to bound.
_MOST_ROWS = 4096


class Sequence(maps.LocalMap):
  """Bijectors in turn, in the order of `inverse`."""

  def __init__(self, parts):
    """Joins parts, a list of `LocalMap`s; neighbours that are linear are one.

    The norm of a product is at most the product of the norms, and often much
    less: what a whitening amplifies, the rotation after it does not.
    """
    flat = []
    for part in parts:
      flat += part.parts if isinstance(part, Sequence) else [part]
    self.parts = _merged(flat)
    self.bounds = bounds.ISOMETRY
    for part in self.parts:
      self.bounds = self.bounds.then(part.bounds)

  def _inverse(self, reach):
    return self._apply(reach, self.parts, 'inverse')

  def _forward(self, reach):
    return self._apply(reach, self.parts[::-1], 'forward')

  def _apply(self, reach, parts, method):
    zeros = tf.zeros_like(reach.radius)
    log_det, low, high = zeros, zeros, zeros
    slope = zeros + 1.0
    inflation = rounding.inflation(reach.center.dtype)
    radius, value = reach.radius, reach.center
    for part in parts:
      change = getattr(part, method)(
          reach._replace(center=value, radius=radius)
      )
      value = change.value
      # Once for each part, for what its rule has rounded.
      grown = change.slope * inflation
      slope = slope * grown
      radius = tf.math.multiply_no_nan(grown, radius)
      log_det += change.log_det
      low, high = low + change.low, high + change.high
    return maps.Change(value, log_det, slope, low, high)


class MergedLinear(maps.LocalMap):
  """Linear maps in turn, with the constants of their product."""

  def __init__(self, parts, constants):
    self.parts, self.bounds = parts, constants

  def _inverse(self, reach):
    return self._apply(reach, self.parts, 'inverse')

  def _forward(self, reach):
    return self._apply(reach, self.parts[::-1], 'forward')

  def _apply(self, reach, parts, method):
    value, log_det = reach.center, tf.zeros_like(reach.radius)
    for part in parts:
      change = getattr(part, method)(reach._replace(center=value))
      value, log_det = change.value, log_det + change.log_det
    zeros = tf.zeros_like(log_det)
    slope = zeros + maps.constant(
        getattr(self.bounds, method), zeros.dtype
    )
    return maps.Change(value, log_det, slope, zeros, zeros)


def _merged(parts):
  """The same with runs of linear maps of vectors, or of positions, as one."""
  result, run = [], []

  def close():
    if len(run) > 1:
      result.append(MergedLinear(run.copy(), _bounds_of_product(run)))
    else:
      result.extend(run)
    run.clear()

  for part in parts:
    size = _rows(part)
    if not size or (run and size != _rows(run[0])):
      close()
    (run if size else result).append(part)
  close()
  return result


def _rows(part):
  """Number of rows and of dimensions of a linear map's matrix, or `None`."""
  size = None
  if type(part) is maps.Linear:
    bijector = part.bijector
    size = _SIZES.get(type(bijector), lambda _: None)(bijector)
  if size is None or size > _MOST_ROWS:
    return None
  return size, part.bijector.forward_min_event_ndims


_SIZES = {
    bijectors.ActNorm: lambda b: b.shift.shape[-1],
    bijectors.InvertibleConv1x1: lambda b: b.shift.shape[-1],
    # Maps of classes are several.
    bijectors.DenseAffine: lambda b: None if b.num_classes else (
        b.shift.shape[-1]
    ),
}


def _bounds_of_product(parts):
  """`LipschitzBounds` of linear maps in turn, from their matrices."""
  size, ndims = _rows(parts[0])
  dtype = parts[0].bijector.dtype
  found = []
  for order, evaluate in (
      (-1, base.forward_and_log_det), (1, base.inverse_and_log_det)
  ):
    product = np.eye(size)
    for part in parts[::order]:
      points = tf.concat([tf.eye(size, dtype=dtype),
                          tf.zeros([1, size], dtype)], axis=0)
      shape = [size + 1, *[1] * (ndims - 1), size]
      values, _ = evaluate(part.bijector, tf.reshape(points, shape))
      rows = np.float64(values).reshape([size + 1, size])
      product = product @ (rows[:-1] - rows[-1])
    found.append(bounds.largest_singular_value(product))
  exact = bounds.LipschitzBounds(*found).inflated(
      dtype, operations=8 * size * len(parts)
  )
  separate = bounds.ISOMETRY
  for part in parts:
    separate = separate.then(part.bounds)
  return bounds.LipschitzBounds(*map(min, exact, separate))


class _Inverted(maps.LocalMap):
  """A bijector with its directions swapped."""

  def __init__(self, local):
    self._local = local
    self.bounds = local.bounds.inverted()

  def _inverse(self, reach):
    return self._local.forward(reach)

  def _forward(self, reach):
    return self._local.inverse(reach)


class _Whole(maps.LocalMap):
  """`WholeImages`: a bijector of vectors, of images."""

  def __init__(self, bijector):
    self._local = maps.local_map(bijector.bijector)
    self.bounds = self._local.bounds

  def _inverse(self, reach):
    return self._apply(reach, self._local.inverse)

  def _forward(self, reach):
    return self._apply(reach, self._local.forward)

  def _apply(self, reach, evaluate):
    batch = tf.shape(reach.radius)
    c = reach.conditioning
    if c is not None:
      c = tf.squeeze(c, [-3, -2])
    flat = tf.reshape(reach.center, tf.concat([batch, [-1]], axis=0))
    flat = tf.ensure_shape(
        flat, [*[None] * reach.radius.shape.rank,
               reach.center.shape[-3:].num_elements()]
    )
    change = evaluate(reach._replace(center=flat, conditioning=c))
    return change._replace(
        value=tf.reshape(change.value, tf.shape(reach.center))
    )


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
for _cls in (
    bijectors.Sequential,
    bijectors.RepeatedSteps,
    bijectors.ScalingCascade,
    separate_steps.SeparateSteps,
):
  maps.register(_cls, lambda bijector: sequence(bijector.parts))
maps.register(whole_images.WholeImages, _Whole)
# Some make instances of private bases, `_Chain` for `Chain(...)`.
for _public, _make in {
    tfb.Chain: lambda b: sequence(b.bijectors),
    tfb.Invert: lambda b: _Inverted(maps.local_map(b.bijector)),
}.items():
  for _cls in _public.__mro__:
    if _cls.__name__.lstrip('_') == _public.__name__:
      maps.register(_cls, _make)
