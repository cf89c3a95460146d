"""Steps that hold bijectors of other kinds than this library's."""

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['BijectorOfImages', 'SeparateSteps']


class BijectorOfImages(base.JointBijector):
  """Any bijector that keeps shapes as one whose events are images.

  TFP's affect each position or value alone as a rule, and their
  log-determinants are those of one. Here they are those of an image.
  """

  def __init__(
      self, bijector, dtype, validate_args=False, name='bijector_of_images'
  ):
    """Wraps a bijector whose events have as many dimensions both ways."""
    parameters = dict(locals())
    ndims = bijector.forward_min_event_ndims, bijector.inverse_min_event_ndims
    if ndims[0] != ndims[1] or not ndims[0] <= 3:
      raise ValueError(
          'Argument `bijector` must have events of at most 3 dimensions, as '
          f'many in both directions, got {ndims[0]} and {ndims[1]}.'
      )
    with tf.name_scope(name) as name:
      self._bijector = bijector
      super().__init__(3, dtype, parameters, name)

  @property
  def bijector(self):
    """The bijector that is wrapped."""
    return self._bijector

  @property
  def _is_conditional(self):
    return conditioned.is_conditional(self._bijector)

  def _forward_and_log_det(self, x, conditioning=None):
    return self._evaluate(base.forward_and_log_det, x, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    return self._evaluate(base.inverse_and_log_det, y, conditioning)

  def _evaluate(self, evaluate, x, conditioning):
    y, log_det = evaluate(self._bijector, x, conditioning)
    # The sum over an image; a constant one need not have its dimensions.
    ndims = self._bijector.forward_min_event_ndims
    shape = base.shape_of(x)[: x.shape.rank - ndims]
    log_det = tf.broadcast_to(log_det, shape)
    return y, tf.reduce_sum(log_det, axis=list(range(ndims - 3, 0)))


class SeparateSteps(base.JointBijector):
  """Steps of any bijectors, each with weights of its own, one after the other.

  In the place of `RepeatedSteps` where a step holds what the user made, such as
  a bijector of TFP's or a Keras network. Nothing is stacked and nothing
  recomputed, so graph and memory grow with the number of steps.
  """

  _is_conditional = True

  def __init__(self, steps, validate_args=False, name='separate_steps'):
    """Creates the steps, lists of bijectors in the order of `inverse`."""
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      dtype = steps[0][0].dtype
      self._steps = [
          [
              part
              if isinstance(part, base.JointBijector)
              and part.forward_min_event_ndims == 3
              else BijectorOfImages(part, dtype)
              for part in step
          ]
          for step in steps
      ]
      super().__init__(3, dtype, parameters, name)

  @property
  def num_steps(self):
    """The number of steps."""
    return len(self._steps)

  def memory_for(self, shape):
    """`'stored'`, whatever the shape of the input."""
    del shape
    return 'stored'

  @property
  def steps(self):
    """The steps in the order of `inverse`, each a list of bijectors."""
    return self._steps

  @property
  def parts(self):
    """The bijectors of all `steps` in the order of `inverse`."""
    return [part for step in self._steps for part in step]

  def step(self, index):
    """One of `steps`."""
    return self._steps[index]

  trainable_step = step

  def assign(self, index, step):
    """Takes back a `trainable_step`, which is the step itself."""
    del index, step

  def _forward_and_log_det(self, x, conditioning=None):
    return base.compose(
        base.forward_and_log_det, reversed(self.parts), x, conditioning
    )

  def _inverse_and_log_det(self, y, conditioning=None):
    return base.compose(base.inverse_and_log_det, self.parts, y, conditioning)


@bounds.lipschitz_bounds.register
def _(bijector: BijectorOfImages):
  return bounds.known_bounds(bijector.bijector)


flow_bounds.register_parts(SeparateSteps, lambda bijector: bijector.parts)
