"""FactorOut bijector."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['FactorOut']


class FactorOut(base.JointBijector):
  """Lets some channels of an image travel on, and makes the others latent.

  ```none
  inverse(y) = concat(travel.inverse(y[..., :C - F]), flatten(y[..., C - F:]))
  ```

  The building block of multi-scale flows (Dinh, Sohl-Dickstein & Bengio 2017):
  `forward` maps a flat latent `[..., H W C]` to an image `[..., H, W, C]`,
  where `travel` is a flow of the same kind on `C - F` channels. The first part
  of the latent is what travelled furthest.

  `conditioning` is for `travel`.

  Lipschitz constants: the larger of those of `scaling` and of `travel`, for
  they act side by side.
  """

  def __init__(
      self,
      event_shape,
      num_factored=None,
      travel=None,
      scaling=None,
      validate_args=False,
      name='factor_out',
  ):
    """Creates the bijector.

    Args:
      event_shape: `[H, W, C]`, known.
      num_factored: Number of channels to factor out, the `F` above, the last
        ones. By default all.
      travel: A bijector that maps `[..., H W (C - F)]` to
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
    # The number of channels at most.
    num_factored = arguments.check_int(
        'num_factored', num_factored, most=channels
    )
    for key, value in (('travel', travel), ('scaling', scaling)):
      if value is not None:
        arguments.check_instance(
            key, value, tfp.bijectors.Bijector, 'a bijector'
        )
    if (travel is None) != (num_factored == channels):
      raise ValueError(
          'Argument `travel` must be given if, and only if, some channels '
          f'travel on; got {travel} for {channels - num_factored} channels.'
      )
    with tf.name_scope(name) as name:
      self._num_factored = num_factored
      self._travel = travel
      self._scaling = scaling
      super().__init__(
          forward_min_event_ndims=1,
          inverse_min_event_ndims=3,
          dtype=None if travel is None else travel.dtype,
          validate_args=validate_args,
          parameters=parameters,
          name=name,
      )

  _is_conditional = True

  @property
  def event_shape(self):
    """Shape of the images, `[H, W, C]`."""
    return self._event_shape

  @property
  def travel(self):
    """The bijector of the channels that travel on, or `None`."""
    return self._travel

  @property
  def scaling(self):
    """The bijector of the channels that are factored out, or `None`."""
    return self._scaling

  @property
  def num_factored(self):
    """Number of channels that are factored out."""
    return self._num_factored

  def split(self, y):
    """Splits images into what travels on and what is factored out.

    Args:
      y: `[..., H, W, C]`.

    Returns:
      `[..., H, W, C - F]` and `[..., H, W, F]`.
    """
    return tf.split(
        y, [y.shape[-1] - self._num_factored, self._num_factored], axis=-1
    )

  def _forward_and_log_det(self, x, conditioning=None):
    x = base.check_event(x, [self._event_shape.num_elements()], self.name)
    height, width, channels = self._event_shape.as_list()
    size = height * width * self._num_factored
    travelling, factored = x[..., :-size], x[..., -size:]
    factored = tf.reshape(
        factored,
        tf.concat([tf.shape(x)[:-1], [height, width, self._num_factored]], 0),
    )
    scalings = [] if self._scaling is None else [self._scaling]
    factored, log_det = base.compose(
        base.forward_and_log_det, scalings, factored
    )
    if self._travel is None:
      return factored, log_det
    travelling, travel_log_det = base.forward_and_log_det(
        self._travel, travelling, conditioning
    )
    y = tf.concat([travelling, factored], axis=-1)
    y = tf.ensure_shape(y, x.shape[:-1] + [height, width, channels])
    return y, log_det + travel_log_det

  def _inverse_and_log_det(self, y, conditioning=None):
    y = base.check_event(y, self._event_shape, self.name)
    travelling, factored = self.split(y)
    scalings = [] if self._scaling is None else [self._scaling]
    factored, log_det = base.compose(
        base.inverse_and_log_det, scalings, factored
    )
    size = math.prod(self._event_shape[:2]) * self._num_factored
    factored = tf.reshape(
        factored, tf.concat([tf.shape(y)[:-3], [size]], axis=0)
    )
    if self._travel is None:
      return factored, log_det
    travelling, travel_log_det = base.inverse_and_log_det(
        self._travel, travelling, conditioning
    )
    x = tf.concat([travelling, factored], axis=-1)
    return x, log_det + travel_log_det

  def _forward_event_shape(self, input_shape):
    _check_compatible(input_shape[-1:], [self._event_shape.num_elements()])
    return input_shape[:-1].concatenate(self._event_shape)

  def _inverse_event_shape(self, output_shape):
    _check_compatible(output_shape[-3:], self._event_shape)
    return output_shape[:-3].concatenate([self._event_shape.num_elements()])

  def _forward_event_shape_tensor(self, input_shape):
    return tf.concat([input_shape[:-1], self._event_shape], axis=0)

  def _inverse_event_shape_tensor(self, output_shape):
    size = self._event_shape.num_elements()
    return tf.concat([output_shape[:-3], [size]], axis=0)


def _check_compatible(shape, expected):
  if not shape.is_compatible_with(expected):
    raise ValueError(f'An event must have shape {expected}, got {shape}.')


@bounds.lipschitz_bounds.register
def _(bijector: FactorOut):
  sides = [
      bounds.ISOMETRY if side is None else bounds.lipschitz_bounds(side)
      for side in (bijector.scaling, bijector.travel)
  ]
  return sides[0] if bijector.travel is None else sides[0].beside(sides[1])


@flow_bounds.bounds_by_part.register
def _(bijector: FactorOut):
  scaling, travel = (
      flow_bounds.bounds_of_parts([] if side is None else [side])
      for side in (bijector.scaling, bijector.travel)
  )
  return scaling if bijector.travel is None else scaling.beside(travel)
