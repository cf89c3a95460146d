"""A bijector for one condition, or for a batch of them."""

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds

__all__ = ['Given']


class Given(base.JointBijector):
  """A conditional bijector that has its condition.

  ```none
  forward(x) = bijector.forward(x, conditioning=c)
  ```

  Events broadcast with a batch of conditions: `inverse` maps one event `[D]`,
  given `[n, F]`, to `[n, D]`. The weights are those of `bijector`, whose
  Lipschitz constants hold for each condition.
  """

  def __init__(
      self,
      bijector: types.Bijector,
      conditioning: types.TensorLike,
      validate_args: bool = False,
      name: str = 'given',
  ) -> None:
    """Creates the bijector.

    Args:
      bijector: One with a condition, of this library, or a `tfb.Invert` or
        `tfb.Chain` of such.
      conditioning: What its methods take, `[...]` of them.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If `bijector` takes no condition, or `conditioning` has too
        few dimensions.
    """
    parameters = dict(locals())
    wanted = getattr(bijector, 'conditioning', bijector)
    if wanted is None or not conditioned.is_conditional(bijector):
      raise ValueError(
          f'Argument `bijector`: {bijector.name} has no condition.'
      )
    with tf.name_scope(name) as name:
      self._bijector = bijector
      if isinstance(wanted, conditions.Condition):
        wanted.features(conditioning, bijector.dtype)  # or an error
      self._conditioning = tf.convert_to_tensor(
          conditioning, name='conditioning'
      )
      # So that a copy may have another one, whatever this was.
      parameters['conditioning'] = self._conditioning
      ndims = conditioned.conditioning_ndims(bijector)
      rank = self._conditioning.shape.rank
      if rank is None or rank < ndims:
        raise ValueError(
            f'Argument `conditioning` must have {ndims} dimensions at least, '
            f'got shape {self._conditioning.shape}.'
        )
      self._batch_ndims = rank - ndims
      super().__init__(
          dtype=bijector.dtype,
          parameters=parameters,
          name=name,
          forward_min_event_ndims=bijector.forward_min_event_ndims,
          inverse_min_event_ndims=bijector.inverse_min_event_ndims,
          is_constant_jacobian=bijector.is_constant_jacobian,
      )

  @property
  def bijector(self) -> types.Bijector:
    """The bijector that is given the condition."""
    return self._bijector

  @property
  def condition(self) -> tf.Tensor:
    """The `conditioning` that it has, `[...]` of them."""
    return self._conditioning

  @property
  def batch_ndims(self) -> int:
    """Number of dimensions of a batch of conditions."""
    return self._batch_ndims

  def batch_shape_of_conditions(self) -> types.Shape:
    """The `[...]` above: a `TensorShape`, or a `Tensor` if it is not known."""
    return base.shape_of(self._conditioning)[: self._batch_ndims]

  def _forward_and_log_det(self, x):
    x = self._broadcast(x, self.forward_min_event_ndims)
    return base.forward_and_log_det(self._bijector, x, self._conditioning)

  def _inverse_and_log_det(self, y):
    y = self._broadcast(y, self.inverse_min_event_ndims)
    return base.inverse_and_log_det(self._bijector, y, self._conditioning)

  def _broadcast(self, x, event_ndims):
    """Events, one for each condition at least."""
    own = self._conditioning.shape[: self._batch_ndims]
    if x.shape.rank is None or x.shape.rank < event_ndims or not own.rank:
      return x
    batch_ndims = x.shape.rank - event_ndims
    batch = tf.broadcast_static_shape(x.shape[:batch_ndims], own)
    if batch.is_fully_defined() and batch == x.shape[:batch_ndims]:
      return x
    shape = tf.broadcast_dynamic_shape(
        tf.shape(x)[:batch_ndims], tf.shape(self._conditioning)[: own.rank]
    )
    x = tf.broadcast_to(x, tf.concat([shape, tf.shape(x)[batch_ndims:]], 0))
    return tf.ensure_shape(x, batch.concatenate([None] * event_ndims))

  def _forward_event_shape(self, input_shape):
    return self._bijector.forward_event_shape(input_shape)

  def _inverse_event_shape(self, output_shape):
    return self._bijector.inverse_event_shape(output_shape)

  def _forward_event_shape_tensor(self, input_shape):
    return self._bijector.forward_event_shape_tensor(input_shape)

  def _inverse_event_shape_tensor(self, output_shape):
    return self._bijector.inverse_event_shape_tensor(output_shape)


@bounds.lipschitz_bounds.register
def _(bijector: Given):
  return bounds.lipschitz_bounds(bijector.bijector)
