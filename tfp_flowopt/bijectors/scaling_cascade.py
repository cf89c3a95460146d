"""ScalingCascade bijector."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import radial_terms
from tfp_flowopt.bijectors import shared_scaling
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import half_precision
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import flow_bounds
from tfp_flowopt.parameters import anchored_log_scale
from tfp_flowopt.parameters import log_slopes as log_slopes_lib

__all__ = ['ScalingCascade', 'num_log_slopes', 'num_scalings']

# Terms of each `RadialScaling`, unless another number is given. More of them
# gain nothing where others follow (docs/results.md), and each takes 100
# operations of a training step.
_NUM_TERMS = 1
# Where they bend at first, in root mean squares.
_RADIUS_RANGE = (0.05, 0.4)


class ScalingCascade(base.JointBijector):
  """Scales an image by its local energy, from large tiles to small ones.

  For each tile size, in direction `inverse`, a `RadialScaling` of all channels
  together and one of each channel alone, each behind an `ActNorm`. Large tiles
  take most of the variation of their energy, small ones what is left at their
  own place, channels alone what they do not share. The weights are stacked, and
  gradients keep the inputs of each `RadialScaling` alone, recomputing the rest.

  Lipschitz constants: the products of those of the parts.

  #### Example

  ```python
  bijector = fo.bijectors.ScalingCascade(12, tile_sizes=(4, 2, 1))
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  ```
  """

  def __init__(
      self,
      num_channels: int,
      tile_sizes: Sequence[int] = (4, 2, 1),
      num_terms: int = _NUM_TERMS,
      slope_bound: float = 4.0,
      log_range: float = 1.0,
      log_slopes: log_slopes_lib.LogSlopes | None = None,
      dtype: types.DType = tf.float32,
      validate_args: bool = False,
      name: str = 'scaling_cascade',
  ) -> None:
    """Creates the bijector, as the identity.

    Args:
      num_channels: Size of the last axis of the images.
      tile_sizes: Sides of the tiles, in the order of direction `inverse`; each
        must divide height and width.
      num_terms: Number of terms of each `RadialScaling`.
      slope_bound: Bound of each of their `|s_j|`.
      log_range: Range of the scales of each `ActNorm`.
      log_slopes: `LogSlopes` of all of them, such as those of a
        `LipschitzBudget`; by default new ones.
      dtype: Type of the variables.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    num_channels = arguments.check_int('num_channels', num_channels)
    tile_sizes = arguments.check_ints('tile_sizes', tile_sizes)
    if not tile_sizes:
      raise ValueError('Argument `tile_sizes` must name at least one size.')
    num_terms = arguments.check_int('num_terms', num_terms)
    slope_bound = arguments.check_positive('slope_bound', slope_bound)
    dtype = arguments.check_dtype('dtype', dtype)
    self._scalings = [
        shared_scaling.shared_scaling(size, group, num_terms, dtype)
        for size in tile_sizes
        for group in _groups(num_channels)
    ]
    num_slopes = len(self._scalings) * num_terms
    if log_slopes is None:
      log_slopes = log_slopes_lib.LogSlopes(num_slopes, slope_bound, dtype)
    arguments.check_instance(
        'log_slopes', log_slopes, log_slopes_lib.LogSlopes, 'LogSlopes'
    )
    if log_slopes.num_slopes != num_slopes:
      raise ValueError(
          f'Argument `log_slopes` must be {num_slopes}, `num_terms` for each '
          f'scaling, got {log_slopes.num_slopes}.'
      )
    # They are among the weights, and need not be found twice.
    parameters.update(log_slopes=None)
    with tf.name_scope(name) as name:
      self._num_channels = num_channels
      self._weights = _Weights(
          len(self._scalings),
          num_channels,
          num_terms,
          log_slopes,
          log_range,
          dtype,
      )
      super().__init__(3, dtype, parameters, name)

  @property
  def num_scalings(self) -> int:
    """Number of `RadialScaling`s."""
    return len(self._scalings)

  @property
  def log_slopes(self) -> log_slopes_lib.LogSlopes:
    """The `LogSlopes` of all `RadialScaling`s, one after the other."""
    return self._weights.log_slopes

  @property
  def parts(self) -> list[types.Bijector]:
    """The bijectors, in the order of direction `inverse`.

    To look at: their weights are `Tensor`s, as they are now.
    """
    return [
        part
        for scaling, weights in zip(
            self._scalings, self._weights(), strict=True
        )
        for part in scaling.parts(weights)
    ]

  def parts_with(
      self, weights: Sequence[types.TensorLike]
  ) -> list[types.Bijector]:
    """The bijectors, as `parts`, with other weights.

    Args:
      weights: As `initialize` takes them, the first of each scaling.
    """
    tensors = self._weights.of_values(*weights)
    return [
        part
        for scaling, own in zip(self._scalings, zip(*tensors, strict=True),
                                strict=False)
        for part in scaling.parts(own)
    ]

  def initialize(
      self,
      log_scales: types.TensorLike,
      shifts: types.TensorLike,
      log_slopes: types.TensorLike,
      radii: types.TensorLike,
  ) -> None:
    """Sets the weights of all scalings, of one term each.

    Args:
      log_scales: Logarithms of the scales of each `ActNorm`, `[S, C]`.
      shifts: What it subtracts, `[S, C]`.
      log_slopes: The `s_1` of each `RadialScaling`, `[S]`.
      radii: Its `B_1`, `[S]`.
    """
    self._weights.assign(log_scales, shifts, log_slopes, radii)

  def tangents(self, y: types.TensorLike) -> list[types.Bijector]:
    """The derivative of `inverse` at images `y` `[N, H, W, C]`, as a product.

    Returns:
      List of affine bijectors in the order of direction `inverse`, whose
      Jacobians are those of `parts` at `y`, and where the parts map it.
    """
    result = []
    for part in self.parts:
      affine = isinstance(part, act_norm.ActNorm)
      result.append(part if affine else part.tangent(y))
      y, _ = base.inverse_and_log_det(part, y)
    return result

  def _forward_and_log_det(self, x):
    return self._evaluate(x, forward=True)

  def _inverse_and_log_det(self, y):
    return self._evaluate(y, forward=False)

  def _evaluate(self, x, forward):
    x = self._checked(x)
    widened = half_precision.widened(x)
    shape = base.shape_of(x)
    y = tf.reshape(widened, tf.concat([[-1], shape[-3:]], axis=0))
    *weights, log_scale = self._weights.factors(y.dtype, forward)
    log_dets = [log_scale * base.num_positions(x)]
    parts = list(zip(self._scalings, *map(tf.unstack, weights), strict=True))
    for scaling, *own in reversed(parts) if forward else parts:
      graph = scaling.forward if forward else scaling.inverse
      y, log_det = graph(y, *own)
      log_dets.append(log_det)
    y, log_det = tf.reshape(y, shape), tf.reshape(sum(log_dets), shape[:-3])
    y.set_shape(x.shape)
    log_det.set_shape(x.shape[:-3])
    return tf.cast(y, x.dtype), tf.cast(log_det, x.dtype)

  def _checked(self, x):
    x = base.check_event(x, [None, None, self._num_channels], self.name)
    for scaling in self._scalings:
      size = scaling.tile_size
      if any((side or 0) % size for side in x.shape[-3:-1]):
        raise ValueError(
            f'{self.name} needs a height and width divisible by its '
            f'`tile_sizes`, {size} among them, got shape {x.shape}.'
        )
    return x


def _groups(num_channels):
  """All channels together, and each alone, if there are several."""
  return [1] if num_channels == 1 else [1, None]


def num_scalings(num_channels, tile_sizes):
  """Number of `RadialScaling`s of a cascade, by its arguments."""
  return len(tile_sizes) * len(_groups(num_channels))


def num_log_slopes(num_channels, tile_sizes):
  """Number of log-slopes of a cascade of `_NUM_TERMS` terms."""
  return num_scalings(num_channels, tile_sizes) * _NUM_TERMS


class _Weights(tf.Module):
  """The weights of all parts of a cascade, stacked."""

  def __init__(
      self, num_scalings, num_channels, num_terms, log_slopes, log_range, dtype
  ):
    super().__init__()
    self._num_scalings = num_scalings
    self._log_scale = anchored_log_scale.AnchoredLogScale(
        num_scalings * num_channels, log_range, dtype
    )
    self._shift = tf.Variable(
        tf.zeros([num_scalings, num_channels], dtype), name='shift'
    )
    self.log_slopes = log_slopes
    log_radii = radial_terms.initial_log_radii(
        num_terms, _RADIUS_RANGE, dtype
    )
    self._log_radii = tf.Variable([log_radii] * num_scalings, name='log_radii')

  def of_values(self, log_scales, shifts, log_slopes, radii):
    """Tensors as `__call__` returns them, stacked."""
    values = (
        log_scales,
        shifts,
        np.reshape(log_slopes, [-1, 1]),
        np.reshape(radial_terms.unbounded_log_radii(radii), [-1, 1]),
    )
    return [tf.constant(v, self._shift.dtype) for v in values]

  def assign(self, log_scales, shifts, log_slopes, radii):
    """See `ScalingCascade.initialize`."""
    _, shifts, _, log_radii = self.of_values(
        log_scales, shifts, log_slopes, radii
    )
    self._log_scale.assign(np.ravel(log_scales))
    self._shift.assign(shifts)
    self.log_slopes.initialize(np.ravel(log_slopes))
    self._log_radii.assign(log_radii)

  def __call__(self):
    """For each scaling: log-scales, shift, log-slopes and log-radii."""
    return self._each(
        self._log_scale(), self._shift, self.log_slopes(), self._log_radii
    )

  def factors(self, dtype, forward):
    """The same as the graphs take them, and the logarithm of all scales.

    Those of all scalings, `[S, ...]`.
    """
    log_scale = tf.cast(self._log_scale(), dtype)
    shift = tf.cast(self._shift, dtype)
    if forward:
      log_scale = -log_scale
    else:
      shift = -shift
    return (
        tf.reshape(tf.exp(log_scale), shift.shape),
        shift,
        *radial_terms.near_and_far_radii(
            self.log_slopes(), self._log_radii, dtype
        ),
        tf.reduce_sum(log_scale),
    )

  def _each(self, *stacked):
    """The weights of each scaling, a tuple of `Tensor`s."""
    rows = (
        tf.unstack(tf.reshape(w, [self._num_scalings, -1])) for w in stacked
    )
    return list(zip(*rows, strict=True))


flow_bounds.register_parts(ScalingCascade, lambda bijector: bijector.parts)
