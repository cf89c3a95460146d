"""Couplings: half of the channels, transformed given the other half."""

import abc
import inspect
from typing import Any
import warnings

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['Coupling', 'given', 'takes_conditioning', 'warn_of_network']


class Coupling(base.JointBijector):
  """Transforms half of the channels, given the other half.

  The first `C // 2` channels condition the transformation and pass unchanged;
  the others are transformed elementwise. Subclasses implement `_normalize` and
  `_generate` on the transformed part.

  A network that has `conditioning_channels` is given the `conditioning` of
  `forward` and `inverse`, too. Constants are those for any conditioning.
  """

  def __init__(
      self,
      conditioner: types.Network,
      event_ndims: int | None,
      parameters: dict[str, Any],
      name: str,
  ) -> None:
    """Creates the coupling; the arguments are those of its subclasses."""
    if not callable(conditioner):
      raise ValueError(
          f'Argument `conditioner` must be callable, got {conditioner!r}.'
      )
    if event_ndims is None:
      event_ndims = getattr(conditioner, 'event_ndims', 3)
    event_ndims = arguments.check_int('event_ndims', event_ndims)
    warn_of_network(conditioner, 'conditioner')
    self._conditioner = conditioner
    dtype = getattr(conditioner, 'dtype', None)
    super().__init__(event_ndims, dtype, parameters, name)

  @property
  def conditioner(self) -> types.Network:
    """The network that conditions the transformation."""
    return self._conditioner

  @abc.abstractmethod
  def _normalize(self, y, params):
    """Returns the transformed part in direction `inverse`, and log-slopes."""

  @abc.abstractmethod
  def _generate(self, x, params):
    """Returns the transformed part in direction `forward`, and log-slopes."""

  @property
  def _is_conditional(self):
    return takes_conditioning(self._conditioner)

  @property
  def _needs_conditioning(self):
    return self._is_conditional

  # How many outputs of the conditioner there are for each channel.
  _params_per_channel = 1

  def _params(self, first, second, conditioning):
    """What the conditioner makes of one part, for the other."""
    params = given(self._conditioner, first, conditioning)
    channels = self._params_per_channel * second.shape[-1]
    wanted = second.shape[:-1].concatenate(channels)
    # Not broadcast either: its constant would not be that of the network.
    if not params.shape.is_compatible_with(wanted):
      raise ValueError(
          'Argument `conditioner` must keep all dimensions but the last and '
          f'have {channels} outputs, {self._params_per_channel} for each of '
          f'the {second.shape[-1]} channels that it transforms; its output for '
          f'shape {first.shape} has shape {params.shape}.'
      )
    return self._prepared(params)

  def _prepared(self, params):
    """What both directions need of the output of the conditioner."""
    return params

  def _apply(self, transform, x, conditioning):
    x = self._checked(x)
    channels = x.shape[-1]
    # One channel alone has no other half to depend on.
    least = 1 if getattr(self._conditioner, 'in_features', None) == 0 else 2
    if channels is None or channels < least:
      raise ValueError(
          f'A coupling needs a known number of channels, at least {least}, got '
          f'shape {x.shape}.'
      )
    first, second = tf.split(x, [channels // 2, -1], axis=-1)
    params = self._params(first, second, conditioning)
    second, log_slope = transform(second, params)
    y = tf.concat([first, second], axis=-1)
    return y, self._log_det(log_slope, x.dtype)

  def _inverse_with_gradients(self, result, forward, tape, conditioning=None):
    first, second = tf.split(result, [result.shape[-1] // 2, -1], axis=-1)
    there, back = self._normalize, self._generate
    if forward:
      there, back = back, there
    tape.watch(first)
    # The network sees what passes unchanged, so once is enough for both ways.
    params = self._params(first, second, conditioning)
    with tape.stop_recording():
      second, _ = back(second, params)
    tape.watch(second)
    value, log_slope = there(second, params)
    return (
        [first, second],
        tf.concat([first, value], axis=-1),
        self._log_det(log_slope, result.dtype),
    )

  def _log_det(self, log_slope, dtype):
    axes = list(range(-self.forward_min_event_ndims, 0))
    # Of half precision, summed in float32.
    return tf.cast(tf.reduce_sum(log_slope, axis=axes), dtype)

  def _forward_and_log_det(self, x, conditioning=None):
    return self._apply(self._generate, x, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    return self._apply(self._normalize, y, conditioning)


def takes_conditioning(network):
  """Whether a network takes `conditioning`, as it says itself."""
  return bool(getattr(network, 'conditioning_channels', 0))


def given(network, x, conditioning):
  """The value of a network at `x`, for a condition unless that is `None`."""
  if conditioning is None:
    return network(x)
  if not takes_conditioning(network):
    raise ValueError(
        f'Argument `conditioning`: the {type(network).__name__} inside has no '
        '`conditioning_channels`.'
    )
  return network(x, conditioning)


def _accepts_it(network):
  try:
    return 'conditioning' in inspect.signature(network).parameters
  except (TypeError, ValueError):  # it cannot be told
    return False


def warn_of_network(network, argument):
  """Warns of a network that stays as it is, or gets no condition.

  `tf.Module` finds the weights of modules alone. So do TFP's bijectors; those
  of a network of Keras 3 would not be trained without a word. And one that
  takes `conditioning` gets it only if it says so.
  """
  if not hasattr(network, 'conditioning_channels') and _accepts_it(network):
    warnings.warn(
        f'Argument `{argument}` takes `conditioning`, and will get none: give '
        'it an attribute `conditioning_channels`, the number of channels.',
        stacklevel=4,
    )
  # Of the class: a model of Keras that is not built yet has no weights to give.
  if not isinstance(network, tf.Module) and hasattr(
      type(network), 'trainable_variables'
  ):
    warnings.warn(
        f'Argument `{argument}` is not a tf.Module: its weights will not be '
        'among the `trainable_variables` of the bijector. Those of tf_keras '
        'are; Keras 3 is another package.',
        stacklevel=4,
    )
