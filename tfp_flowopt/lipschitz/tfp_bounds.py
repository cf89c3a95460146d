"""Lipschitz constants of TFP's own bijectors.

Those that have none in a direction get `inf`; those that are not here are an
error of `lipschitz_bounds`, never a guess. Events are measured by the Euclidean
norm, over all parts together if there are several; those of maps that are not
linear are real. Where parameters have batch dimensions, the worst of them
counts.
"""

import functools
import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import singular_values

__all__ = []

# Slopes in (0, 1], without a lower bound.
_CONTRACTION = bounds.LipschitzBounds(1.0, math.inf)

for _constants, _classes in {
    bounds.ISOMETRY: (
        tfb.Identity, tfb.Reshape, tfb.Shift, tfb.Split, tfb.Transpose
    ),
    _CONTRACTION: (tfb.Softsign, tfb.Tanh),
    bounds.LipschitzBounds(math.inf, math.inf): (tfb.Exp, tfb.Log),
}.items():
  for _cls in _classes:
    bounds.lipschitz_bounds.register(
        _cls, lambda _, constants=_constants: constants
    )


@bounds.lipschitz_bounds.register
def _(bijector: tfb.Permute):
  permutation = np.asarray(bijector.permutation)
  if not np.array_equal(np.sort(permutation), np.arange(len(permutation))):
    raise ValueError(
        f'Argument `bijector`: {permutation} of {bijector.name} is no '
        'permutation.'
    )
  return bounds.ISOMETRY


@bounds.lipschitz_bounds.register
def _(bijector: tfb.Scale):
  if bijector.scale is not None:
    return singular_values.bounds_of_scales(bijector.scale)
  if bijector.log_scale is not None:
    # |e^z| = e^(Re z).
    log_scale = singular_values.exact_values(bijector.log_scale).real
    return bounds.bounds_of_log_scales(
        tf.cast(log_scale, tf.float64), bijector.log_scale.dtype
    ).inverted()
  return bounds.ISOMETRY


@bounds.lipschitz_bounds.register
def _(bijector: tfb.ScaleMatvecLU):
  return singular_values.bounds_of_lu(bijector.lower_upper, bijector.dtype)


@bounds.lipschitz_bounds.register
def _(bijector: tfb.Sigmoid):
  if bijector.low is None:
    return bounds.LipschitzBounds(0.25, math.inf)
  low, high = map(singular_values.exact_values, (bijector.low, bijector.high))
  # Where they are the wrong way round, it falls, as steeply.
  with np.errstate(over='ignore'):
    width = float(np.max(np.abs(high - low)))
  return bounds.LipschitzBounds(width / 4.0, math.inf).inflated(
      bijector.low.dtype
  )


@bounds.lipschitz_bounds.register
def _(bijector: tfb.Softplus):
  softness = bijector.hinge_softness
  if softness is not None and not np.all(
      singular_values.exact_values(softness)
  ):
    raise ValueError(
        f'Argument `bijector`: `hinge_softness` of {bijector.name} is 0.'
    )
  return _CONTRACTION


def _scale_matvec(bijector):
  return singular_values.bounds_of_operator(bijector.scale)


def _invert(bijector):
  return bounds.lipschitz_bounds(bijector.bijector).inverted()


def _chain(bijector):
  return bounds.bounds_of_parts(bijector.bijectors)


def _parallel(bijector):
  return functools.reduce(
      bounds.LipschitzBounds.beside,
      map(bounds.lipschitz_bounds, tf.nest.flatten(bijector.bijectors)),
  )


for _public, _rule in {
    tfb.ScaleMatvecDiag: _scale_matvec,
    tfb.ScaleMatvecLinearOperator: _scale_matvec,
    tfb.ScaleMatvecTriL: _scale_matvec,
    tfb.Invert: _invert,
    tfb.Chain: _chain,
    tfb.Blockwise: _parallel,
    tfb.JointMap: _parallel,
}.items():
  # Some make instances of private bases, `_Chain` for `Chain(...)`.
  for _cls in _public.__mro__:
    if _cls.__name__.lstrip('_') == _public.__name__:
      bounds.lipschitz_bounds.register(_cls, _rule)
