"""FactorOut bijector."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors.multiscale import flat_latents
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['FactorOut']


class FactorOut(flat_latents.FlatLatents):
  """Lets some channels of an image travel on, and makes the others latent.

  ```none
  inverse(y) = concat(next_level.inverse(y[..., :C - F]),
                      flatten(scaling.inverse(y[..., C - F:])))
  ```

  The building block of multi-scale flows (Dinh, Sohl-Dickstein & Bengio 2017):
  `forward` maps a flat latent `[..., H W C]` to an image `[..., H, W, C]`,
  where `next_level` is a flow of the same kind on `C - F` channels, which
  `conditioning` is for. The first part of the latent is what travelled
  furthest.

  Lipschitz constants: the larger of those of `scaling` and of `next_level`, for
  they act side by side.
  """

  def __init__(
      self,
      event_shape: types.Shape,
      num_factored: int | None = None,
      next_level: types.Bijector | None = None,
      scaling: types.Bijector | None = None,
      validate_args: bool = False,
      name: str = 'factor_out',
  ) -> None:
    """Creates the bijector.

    Args:
      event_shape: `[H, W, C]`, known.
      num_factored: Number of channels to factor out, the `F` above, the last
        ones. By default all.
      next_level: A bijector that maps `[..., H W (C - F)]` to
        `[..., H, W, C - F]`; `None` if all channels are factored out.
      scaling: A bijector of images `[..., H, W, F]` that the factored channels
        pass last in direction `inverse`; by default none.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value, or the number of channels
        does not fit.
    """
    parameters = dict(locals())
    self._event_shape = arguments.check_image_shape('event_shape', event_shape)
    channels = self._event_shape[-1]
    if num_factored is None:
      num_factored = channels
    self._num_factored = arguments.check_int(
        'num_factored', num_factored, most=channels
    )
    for key, value in (('next_level', next_level), ('scaling', scaling)):
      if value is not None:
        arguments.check_instance(
            key, value, tfp.bijectors.Bijector, 'a bijector'
        )
    if (next_level is None) != (num_factored == channels):
      raise ValueError(
          'Argument `next_level` must be given if, and only if, some channels '
          f'travel on; got {next_level} for {channels - num_factored} channels.'
      )
    with tf.name_scope(name) as name:
      self._next_level = next_level
      self._scaling = scaling
      dtype = None if next_level is None else next_level.dtype
      super().__init__(dtype, parameters, name)

  @property
  def event_shape(self) -> tf.TensorShape:
    """Shape of the images, `[H, W, C]`."""
    return self._event_shape

  @property
  def next_level(self) -> types.Bijector | None:
    """The bijector of the channels that travel on, or `None`."""
    return self._next_level

  @property
  def scaling(self) -> types.Bijector | None:
    """The bijector of the channels that are factored out, or `None`."""
    return self._scaling

  @property
  def num_factored(self) -> int:
    """Number of channels that are factored out."""
    return self._num_factored

  def split(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits images `[..., H, W, C]` into what travels on and what does not.

    Returns:
      `[..., H, W, C - F]` and `[..., H, W, F]`.
    """
    return tf.split(
        y, [y.shape[-1] - self._num_factored, self._num_factored], axis=-1
    )

  def _scaled(self, evaluate, factored):
    scalings = [] if self._scaling is None else [self._scaling]
    return base.compose(evaluate, scalings, factored)

  def _forward_and_log_det(self, x, conditioning=None):
    x = base.check_event(x, [self.event_size], self.name)
    image = [*self._event_shape[:2], self._num_factored]
    size = math.prod(image)
    factored = tf.reshape(
        x[..., -size:], tf.concat([tf.shape(x)[:-1], image], axis=0)
    )
    factored, log_det = self._scaled(base.forward_and_log_det, factored)
    if self._next_level is None:
      return factored, log_det
    travelling, next_log_det = base.forward_and_log_det(
        self._next_level, x[..., :-size], conditioning
    )
    y = tf.concat([travelling, factored], axis=-1)
    y = tf.ensure_shape(y, x.shape[:-1].concatenate(self._event_shape))
    return y, log_det + next_log_det

  def _inverse_and_log_det(self, y, conditioning=None):
    y = base.check_event(y, self._event_shape, self.name)
    travelling, factored = self.split(y)
    factored, log_det = self._scaled(base.inverse_and_log_det, factored)
    size = math.prod(self._event_shape[:2]) * self._num_factored
    factored = tf.reshape(
        factored, tf.concat([tf.shape(y)[:-3], [size]], axis=0)
    )
    if self._next_level is None:
      return factored, log_det
    travelling, next_log_det = base.inverse_and_log_det(
        self._next_level, travelling, conditioning
    )
    x = tf.concat([travelling, factored], axis=-1)
    return x, log_det + next_log_det


@bounds.lipschitz_bounds.register
def _(bijector: FactorOut):
  sides = [
      bounds.ISOMETRY if side is None else bounds.lipschitz_bounds(side)
      for side in (bijector.scaling, bijector.next_level)
  ]
  return sides[0] if bijector.next_level is None else sides[0].beside(sides[1])


@flow_bounds.bounds_by_part.register
def _(bijector: FactorOut):
  sides = [
      flow_bounds.bounds_of_parts([] if side is None else [side])
      for side in (bijector.scaling, bijector.next_level)
  ]
  return sides[0] if bijector.next_level is None else sides[0].beside(sides[1])
