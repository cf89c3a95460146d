"""Lipschitz constants of TFP's own bijectors.

Those that have none in a direction get `inf`; those that are not here are an
error of `lipschitz_bounds`, never a guess. Events are measured by the Euclidean
norm, over all parts together if there are several.
"""

import functools
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.lipschitz import bounds

tfb = tfp.bijectors

__all__ = []


def _float64(x):
  return np.asarray(tf.cast(x, tf.float64))


def _of_singular_values(values):
  """Bounds of `forward` with these singular values."""
  smallest, largest = np.min(values), np.max(values)
  inverse = math.inf if smallest == 0 else 1.0 / smallest
  return bounds.LipschitzBounds(float(largest), float(inverse))


def _isometry(bijector):
  del bijector
  return bounds.ISOMETRY


for _cls in (
    tfb.Identity,
    tfb.Permute,
    tfb.Reshape,
    tfb.Shift,
    tfb.Split,
    tfb.Transpose,
):
  bounds.lipschitz_bounds.register(_cls, _isometry)


@bounds.lipschitz_bounds.register
def _(bijector: tfb.Scale):
  if bijector.scale is not None:
    return _of_singular_values(np.abs(_float64(bijector.scale)))
  if bijector.log_scale is not None:
    return _of_singular_values(np.exp(_float64(bijector.log_scale)))
  return bounds.ISOMETRY


def _scale_matvec(bijector):
  matrix = _float64(bijector.scale.to_dense())
  return _of_singular_values(np.linalg.svd(matrix, compute_uv=False))


for _cls in (
    tfb.ScaleMatvecDiag,
    tfb.ScaleMatvecLinearOperator,
    tfb.ScaleMatvecTriL,
):
  bounds.lipschitz_bounds.register(_cls, _scale_matvec)


@bounds.lipschitz_bounds.register
def _(bijector: tfb.ScaleMatvecLU):
  matrix = tfp.math.lu_reconstruct(
      tf.cast(bijector.lower_upper, tf.float64), bijector.permutation
  )
  return _of_singular_values(np.linalg.svd(matrix, compute_uv=False))


@bounds.lipschitz_bounds.register
def _(bijector: tfb.Sigmoid):
  width = 1.0
  if bijector.low is not None:
    width = np.max(_float64(bijector.high) - _float64(bijector.low))
  return bounds.LipschitzBounds(float(width) / 4.0, math.inf)


def _one_and_infinite(bijector):
  """Slopes in (0, 1], without a lower bound."""
  del bijector
  return bounds.LipschitzBounds(1.0, math.inf)


for _cls in (tfb.Softplus, tfb.Softsign, tfb.Tanh):
  bounds.lipschitz_bounds.register(_cls, _one_and_infinite)


def _unbounded(bijector):
  del bijector
  return bounds.LipschitzBounds(math.inf, math.inf)


for _cls in (tfb.Exp, tfb.Log):
  bounds.lipschitz_bounds.register(_cls, _unbounded)


# `tfb.Invert(...)` and `tfb.Chain(...)` may make instances of private bases.
def _invert(bijector):
  return bounds.lipschitz_bounds(bijector.bijector).inverted()


def _chain(bijector):
  return functools.reduce(
      bounds.LipschitzBounds.then,
      map(bounds.lipschitz_bounds, bijector.bijectors),
      bounds.ISOMETRY,
  )


def _parallel(bijector):
  return functools.reduce(
      bounds.LipschitzBounds.beside,
      map(bounds.lipschitz_bounds, tf.nest.flatten(bijector.bijectors)),
  )


for _public, _rule in (
    (tfb.Invert, _invert),
    (tfb.Chain, _chain),
    (tfb.Blockwise, _parallel),
    (tfb.JointMap, _parallel),
):
  for _cls in _public.__mro__:
    if _cls.__name__.lstrip('_') == _public.__name__:
      bounds.lipschitz_bounds.register(_cls, _rule)
