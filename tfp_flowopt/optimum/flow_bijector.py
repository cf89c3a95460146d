"""LinearBijector: the optimal linear flow in TFP's form."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['LinearBijector']


class LinearBijector(base.JointBijector):
  """One linear map of a structure, and a shift that a condition may choose.

  ```none
  inverse(x; c) = A (x - B c - b)        forward(z; c) = A^-1 z + B c + b
  ```

  `LinearFlow.distribution` makes it. Constants: the largest singular values of
  `A^-1` and of `A`, for every condition.
  """

  def __init__(
      self,
      structure,
      moments,
      matrices,
      shift,
      log_det,
      event_shape,
      validate_args=False,
      name='linear_flow',
  ):
    """Creates the bijector.

    Args:
      structure: `Structure`, which takes events apart and together.
      moments: `SummedMoments`, whose `product` applies a matrix.
      matrices: Blocks of `A` and of its inverse; they have the type of all.
      shift: `b`, for each vector; or a `ConditionalShift`.
      log_det: `log|det A|`, in nats per event.
      event_shape: `TensorShape`.
      validate_args: Python `bool`.
      name: Python `str`.
    """
    parameters = dict(locals())
    self._structure, self._product = structure, moments.product
    self.matrices = matrices
    self._shift, self._log_det = shift, log_det
    self._event_shape = event_shape
    self._is_conditional = not tf.is_tensor(shift)
    with tf.name_scope(name) as name:
      super().__init__(
          event_shape.rank,
          matrices[0].dtype,
          parameters,
          name,
          is_constant_jacobian=True,
      )

  @property
  def _conditioning_ndims(self):
    return self._shift._conditioning_ndims if self._is_conditional else None  # pylint: disable=protected-access

  def _shift_of_vectors(self, x, conditioning):
    """What to add to each vector of `x`."""
    if not self._is_conditional:
      if conditioning is not None:
        raise ValueError(
            'Argument `conditioning`: the flow was made without it.'
        )
      return self._shift
    shift = self._shift.shift_of(conditioning)
    ndims = self._event_shape.rank
    self._shift.condition.check_batch(shift.shape[:-1], x.shape[:-ndims])
    shape = tf.concat([tf.shape(x)[:-ndims], tf.shape(shift)[-1:]], 0)
    shift = tf.reshape(tf.broadcast_to(shift, shape), [-1, shift.shape[-1]])
    count = self._structure.num_vectors(self._event_shape.as_list())
    return tf.repeat(shift, count, axis=0)

  def _apply(self, function, x, conditioning):
    x = base.check_event(x, self._event_shape, self.name)
    shift = self._shift_of_vectors(x, conditioning)
    events = tf.reshape(x, [-1, *self._event_shape])
    vectors = function(self._structure.vectors(events), shift)
    y = self._structure.events(vectors, tf.shape(events))
    return tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape)

  def _forward_and_log_det(self, x, conditioning=None):
    _, inverse = self.matrices
    y = self._apply(
        lambda z, shift: self._product(z, inverse) + shift, x, conditioning
    )
    return y, -self._log_det

  def _inverse_and_log_det(self, y, conditioning=None):
    matrix, _ = self.matrices
    x = self._apply(
        lambda y, shift: self._product(y - shift, matrix), y, conditioning
    )
    return x, self._log_det


@bounds.lipschitz_bounds.register
def _(bijector: LinearBijector):
  inverse, forward = (
      float(np.max(np.linalg.norm(
          np.asarray(blocks, np.float64), 2, axis=(-2, -1)
      )))
      for blocks in bijector.matrices
  )
  size = bijector.matrices[0].shape[-1]
  return bounds.LipschitzBounds(
      forward * (1.0 + size * 2.0**-52), inverse * (1.0 + size * 2.0**-52)
  ).inflated(bijector.dtype)


flow_bounds.bounds_by_part.register(LinearBijector, flow_bounds.linear)
