"""ActNorm bijector."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds
from tfp_flowopt.parameters import anchored_log_scale

__all__ = ['ActNorm']


class ActNorm(base.JointBijector):
  """A scale and a shift for each channel (Kingma & Dhariwal 2018), bounded.

  ```none
  inverse(y) = exp(log_scale) (y - shift)
  forward(x) = exp(-log_scale) x + shift
  ```

  The scales stay within a factor `exp(log_range)` of their anchor, which
  `initialize` sets (`AnchoredLogScale`); until then they are 1. Nothing happens
  by itself at the first call, so it is safe under any distribution strategy.

  Lipschitz constants: `exp(-min log_scale)` forward, `exp(max log_scale)`
  inverse.
  """

  def __init__(
      self,
      num_channels: int,
      log_range: float = 1.0,
      rate: float = 1.0,
      dtype: types.DType = tf.float32,
      event_ndims: int = 3,
      validate_args: bool = False,
      name: str = 'act_norm',
  ) -> None:
    """Creates the bijector, as the identity.

    Args:
      num_channels: Size of the last axis.
      log_range: Positive Python `float`: the scales can be trained within a
        factor `exp(log_range)` of their initial values.
      rate: How far they move for a step of the weights (`AnchoredLogScale`).
      dtype: Type of the variables.
      event_ndims: Number of dimensions of an event, 3 for images `[H, W, C]`
        and 1 for vectors `[C]`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    dtype = arguments.check_dtype('dtype', dtype)
    event_ndims = arguments.check_int('event_ndims', event_ndims)
    num_channels = arguments.check_int('num_channels', num_channels)
    with tf.name_scope(name) as name:
      self._log_scale = anchored_log_scale.AnchoredLogScale(
          num_channels, log_range, dtype, rate=rate
      )
      self._shift = tf.Variable(tf.zeros([num_channels], dtype), name='shift')
      super().__init__(
          event_ndims, dtype, parameters, name, is_constant_jacobian=True
      )

  @property
  def log_scale(self) -> tf.Tensor:
    """Logarithm of the scales of `inverse`, `[num_channels]`."""
    return self._log_scale()

  # The same for all linear layers: the logarithms of their singular values.
  log_diagonal = log_scale

  @property
  def shift(self) -> tf.Variable:
    """The shift, `[num_channels]`."""
    return self._shift

  def rows(self) -> tuple[tf.Tensor, tf.Tensor]:
    """The matrices that multiply rows in `inverse` and in `forward`."""
    log_scale = self.log_scale
    return tuple(tf.linalg.diag(tf.exp(s)) for s in (log_scale, -log_scale))

  def initialize(
      self, mean: types.TensorLike, variance: types.TensorLike
  ) -> None:
    """Sets shift and scale so that `inverse` has mean 0 and variance 1.

    Args:
      mean: `[num_channels]`, mean of each channel of what arrives.
      variance: `[num_channels]`, their variances.

    Raises:
      ValueError: If a variance is not positive and finite, or a mean not
        finite.
    """
    variance = np.asarray(variance)
    if not np.all((variance > 0) & np.isfinite(variance)):
      raise ValueError(
          'Argument `variance` must be positive and finite, got '
          f'{variance}; is a channel constant?'
      )
    if not np.all(np.isfinite(mean)):
      raise ValueError(f'Argument `mean` must be finite, got {mean}.')
    self._log_scale.assign(-0.5 * np.log(variance))
    self._shift.assign(tf.cast(mean, self._shift.dtype))

  def _forward_and_log_det(self, x):
    x = self._checked(x, self._shift.shape[0], any_rank=True)
    log_scale = self.log_scale
    log_det = -self._num_positions(x) * tf.reduce_sum(log_scale)
    return x * tf.exp(-log_scale) + self._shift, log_det

  def _inverse_and_log_det(self, y):
    y = self._checked(y, self._shift.shape[0], any_rank=True)
    log_scale = self.log_scale
    log_det = self._num_positions(y) * tf.reduce_sum(log_scale)
    return (y - self._shift) * tf.exp(log_scale), log_det


@bounds.lipschitz_bounds.register
def _(bijector: ActNorm):
  return bounds.bounds_of_log_scales(bijector.log_scale)


flow_bounds.bounds_by_part.register(ActNorm, flow_bounds.linear)
