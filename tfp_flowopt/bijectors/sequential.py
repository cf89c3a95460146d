"""Sequential bijector."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['Sequential', 'summed']


class Sequential(base.JointBijector):
  """Bijectors one after the other, with one condition for all.

  The map of `tfb.Chain`, in the same order: `inverse` applies the first one
  first.

  ```none
  inverse(y) = g_n(... g_1(y)),   g_k = parts[k].inverse
  ```

  A `tfb.Chain` takes keyword arguments by the names of its bijectors. This one
  hands `conditioning` to each part that takes it, so that a distribution needs
  `bijector_kwargs={'conditioning': c}` alone. Value and log-determinant come
  from one pass. The Lipschitz constants are the products of those of the parts.

  #### Example

  ```python
  network = fo.networks.DenseConditioner(1, 16, 2, conditioning_features=3)
  bijector = fo.bijectors.Sequential([
      fo.bijectors.AffineCoupling(network, event_ndims=1),
      tfb.Permute([1, 0]),
  ])
  bijector.inverse(tf.ones([5, 2]), conditioning=tf.ones([5, 3]))
  ```
  """

  def __init__(
      self,
      bijectors: Sequence[types.Bijector],
      validate_args: bool = False,
      name: str = 'sequential',
  ) -> None:
    """Creates the composition.

    Args:
      bijectors: List of `tfb.Bijector`s, in the order of direction `inverse`.
        Those of this package may take `conditioning`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If there is none, or one is no bijector.
    """
    parameters = dict(locals())
    arguments.check_instance(
        'bijectors', bijectors, (list, tuple), 'a list of bijectors'
    )
    if not bijectors:
      raise ValueError('Argument `bijectors` must have at least one.')
    for part in bijectors:
      arguments.check_instance(
          'bijectors', part, tfp.bijectors.Bijector, 'a list of tfb.Bijectors'
      )
    with tf.name_scope(name) as name:
      self._parts = list(bijectors)
      # Parts may add dimensions of an event, and then all must have enough.
      added, needed = 0, 0
      for part in bijectors:
        needed = max(needed, part.inverse_min_event_ndims - added)
        added += part.forward_min_event_ndims - part.inverse_min_event_ndims
      dtypes = [part.dtype for part in bijectors if part.dtype is not None]
      super().__init__(
          dtype=dtypes[0] if dtypes else None,
          parameters=parameters,
          name=name,
          forward_min_event_ndims=needed + added,
          inverse_min_event_ndims=needed,
          is_constant_jacobian=all(p.is_constant_jacobian for p in bijectors),
      )

  @property
  def parts(self) -> list[types.Bijector]:
    """The bijectors, in the order of direction `inverse`."""
    return list(self._parts)

  @property
  def _conditional_parts(self):
    return [part for part in self._parts if conditioned.is_conditional(part)]

  @property
  def _is_conditional(self):
    return bool(self._conditional_parts)

  @property
  def _conditioning_ndims(self):
    parts = self._conditional_parts
    return conditioned.conditioning_ndims(parts[0]) if parts else None

  def _forward_and_log_det(self, x, conditioning=None):
    return self._evaluate(base.forward_and_log_det, x, True, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    return self._evaluate(base.inverse_and_log_det, y, False, conditioning)

  def _evaluate(self, evaluate, x, forward, conditioning):
    if conditioning is not None and not self._is_conditional:
      raise ValueError(
          f'Argument `conditioning`: no part of {self.name} takes it.'
      )
    ndims = self.inverse_min_event_ndims
    if forward:
      ndims = self.forward_min_event_ndims
    x = base.check_event(x, [None] * ndims, self.name)
    total = tf.zeros([], x.dtype)
    for part in self._ordered(forward):
      there, back = part.inverse_min_event_ndims, part.forward_min_event_ndims
      if forward:
        there, back = back, there
      y, log_det = evaluate(part, x, conditioning)
      total += summed(log_det, x, there, ndims - there)
      x, ndims = y, ndims - there + back
    return x, total

  def _ordered(self, forward):
    return self._parts[::-1] if forward else self._parts

  def _forward_event_shape(self, input_shape):
    for part in self._ordered(True):
      input_shape = part.forward_event_shape(input_shape)
    return input_shape

  def _forward_event_shape_tensor(self, input_shape):
    for part in self._ordered(True):
      input_shape = part.forward_event_shape_tensor(input_shape)
    return input_shape

  def _inverse_event_shape(self, output_shape):
    for part in self._ordered(False):
      output_shape = part.inverse_event_shape(output_shape)
    return output_shape

  def _inverse_event_shape_tensor(self, output_shape):
    for part in self._ordered(False):
      output_shape = part.inverse_event_shape_tensor(output_shape)
    return output_shape


def summed(log_det, x, ndims, extra):
  """The log-determinants of events of `ndims`, for those of `extra` more."""
  if not extra:
    return log_det
  # One for all stands for as many as there are.
  log_det = tf.broadcast_to(log_det, tf.shape(x)[: x.shape.rank - ndims])
  return tf.reduce_sum(log_det, axis=list(range(-extra, 0)))


flow_bounds.register_parts(Sequential, lambda bijector: bijector.parts)
