"""Bijectors of vectors, applied to images as a whole."""

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['WholeImages']


class WholeImages(base.JointBijector):
  """A bijector of vectors `[..., H W C]`, of images `[..., H, W, C]`.

  `conditioning` is maps of one position, `[..., 1, 1, F]`, as the levels of an
  `ImageFlow` see labels and vectors; `bijector` sees `[..., F]`.
  """

  def __init__(
      self, bijector, event_shape, validate_args=False, name='whole_images'
  ):
    """Creates the bijector; `event_shape` is `[H, W, C]`, known."""
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      self._bijector = bijector
      self._event_shape = tf.TensorShape(event_shape)
      super().__init__(
          3,
          bijector.dtype,
          parameters,
          name,
          is_constant_jacobian=bijector.is_constant_jacobian,
      )

  @property
  def _is_conditional(self):
    return bool(conditioned.keywords(self._bijector, True))

  @property
  def bijector(self):
    """The bijector of vectors."""
    return self._bijector

  def _evaluate(self, evaluate, x, conditioning):
    x = base.check_event(x, self._event_shape, self.name)
    batch = base.shape_of(x)[:-3]
    size = [self._event_shape.num_elements()]
    if conditioning is not None:
      conditioning = tf.squeeze(conditioning, [-3, -2])
    value, log_det = evaluate(
        self._bijector,
        tf.reshape(x, tf.concat([batch, size], axis=0)),
        conditioning,
    )
    value = tf.reshape(value, tf.concat([batch, self._event_shape], axis=0))
    return tf.ensure_shape(value, x.shape), log_det

  def _forward_and_log_det(self, x, conditioning=None):
    return self._evaluate(base.forward_and_log_det, x, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    return self._evaluate(base.inverse_and_log_det, y, conditioning)


flow_bounds.register_parts(WholeImages, lambda bijector: [bijector.bijector])
