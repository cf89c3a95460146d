"""Bijectors from flat latents to images."""

import abc
from typing import Any

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import types

__all__ = ['FlatLatents']


class FlatLatents(base.JointBijector):
  """Maps `[..., H W C]` to images `[..., H, W, C]` in direction `forward`."""

  _is_conditional = True

  def __init__(
      self, dtype: types.DType, parameters: dict[str, Any], name: str
  ) -> None:
    super().__init__(1, dtype, parameters, name, inverse_min_event_ndims=3)

  @property
  @abc.abstractmethod
  def event_shape(self) -> tf.TensorShape:
    """Shape of an image, `[H, W, C]`."""

  @property
  def event_size(self) -> int:
    """Number of dimensions of an image, `H W C`."""
    return self.event_shape.num_elements()

  def _forward_event_shape(self, input_shape):
    _check_compatible(input_shape[-1:], [self.event_size])
    return input_shape[:-1].concatenate(self.event_shape)

  def _inverse_event_shape(self, output_shape):
    _check_compatible(output_shape[-3:], self.event_shape)
    return output_shape[:-3].concatenate([self.event_size])

  def _forward_event_shape_tensor(self, input_shape):
    return tf.concat([input_shape[:-1], self.event_shape], axis=0)

  def _inverse_event_shape_tensor(self, output_shape):
    return tf.concat([output_shape[:-3], [self.event_size]], axis=0)


def _check_compatible(shape, expected):
  if not shape.is_compatible_with(expected):
    raise ValueError(f'An event must have shape {expected}, got {shape}.')
