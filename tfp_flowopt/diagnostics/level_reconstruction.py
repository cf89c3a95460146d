"""Errors of recomputed inputs, level by level: certified and measured."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import lipschitz
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import types

__all__ = ['LevelReconstruction', 'reconstruction_errors']


class LevelReconstruction(NamedTuple):
  """Errors of the steps of one level, relative to the norm of their input.

  Norms below 1e-3 per dimension (root mean square) count as that.

  Attributes:
    level: Number of the level, 0 for the finest.
    num_steps: Number of its steps.
    bound: Largest certified bound of an event, from the Lipschitz constants
      and the norms in between (`lipschitz.reconstruction_error_bound`).
    measured: Largest error of an event after all steps in direction `inverse`,
      and all of them back.
  """

  level: int
  num_steps: int
  bound: float
  measured: float

  def __str__(self):
    return (
        f'level {self.level}, {self.num_steps} steps: inputs recomputed with '
        f'an error of {self.measured:.1e}, certified {self.bound:.1e}'
    )


def reconstruction_errors(
    distribution: types.TransformedDistribution,
    x: types.TensorLike,
    bijector_kwargs: types.Kwargs | None = None,
) -> list[LevelReconstruction]:
  """What reversible gradients rely on, level by level.

  The steps of a level recompute their inputs from their outputs: the certified
  error of that, from the bounds of the steps, beside the true one.

  Args:
    distribution: `tfd.TransformedDistribution` by an `ImageFlow`.
    x: `Tensor` `[N, H, W, C]`, preprocessed images.
    bijector_kwargs: As `distribution.log_prob` takes it.

  Returns:
    List of `LevelReconstruction`, the finest level first.

  Raises:
    ValueError: If `distribution` is of another kind, or `x` of another shape,
      or if it holds integers.
  """
  flow = flow_of.flow_of(distribution)
  x = floats.as_floats(x, flow.dtype, 'x')
  if x.shape.rank != 4 or x.shape[0] == 0 or (
      not x.shape[1:].is_compatible_with(flow.event_shape)
  ):
    raise ValueError(
        f'Argument `x` must have shape [N] + {flow.event_shape}, N > 0, got '
        f'{x.shape}.'
    )
  maps = flow.conditioning_maps(
      **(bijector_kwargs or {}), batch_shape=x.shape[:-3]
  )
  for part in flow.before_levels.values():
    x, _ = bijectors.inverse_and_log_det(part, x, maps)
  result = []
  for index, level in enumerate(flow.levels):
    for part in level.parts_before_steps:
      x, _ = bijectors.inverse_and_log_det(part, x, maps)
    steps = level.repeated_steps
    parts, maps = steps.parts, level.halved(maps)
    y, norms = x, [_norms(x)]
    for part in parts:
      y, _ = bijectors.inverse_and_log_det(part, y, maps)
      norms.append(_norms(y))
    back = y
    for part in reversed(parts):
      back, _ = bijectors.forward_and_log_det(part, back, maps)
    bound = lipschitz.reconstruction_error_bound(parts, norms, x.dtype)
    # As in the gradients: an event of zeros has no relative error.
    least = 1e-3 * np.sqrt(x.shape[1:].num_elements())
    norm = np.maximum(norms[0], least)
    result.append(
        LevelReconstruction(
            level=index,
            num_steps=steps.num_steps,
            bound=float(np.max(bound / norm)),
            measured=float(np.max(_norms(back - x) / norm)),
        )
    )
    y, _ = bijectors.inverse_and_log_det(level.restore, y)
    x, _ = level.factor_out.split(y)
  return result


def _norms(x):
  """Euclidean norms of the events, in float64."""
  x = tf.cast(x, tf.float64)
  return np.sqrt(np.sum(np.square(x), axis=(-3, -2, -1)))
