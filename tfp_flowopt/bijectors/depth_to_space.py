"""DepthToSpace bijector."""

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import call_cache
from tfp_flowopt.internal import image_batch
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['DepthToSpace']


class DepthToSpace(call_cache.CallCachedBijector):
  """Moves blocks of channels to blocks of pixels.

  `forward` maps `[..., H, W, k^2 C]` to `[..., k H, k W, C]`; `inverse` is the
  "squeeze" of multi-scale flows. A permutation: the log-determinant is 0, both
  Lipschitz constants are 1. It moves pixels of any type, integers too.

  #### Example

  ```python
  y = fo.bijectors.DepthToSpace(2).forward(tf.ones([5, 16, 16, 12]))
  y.shape  # [5, 32, 32, 3]
  ```
  """

  def __init__(
      self,
      block_size: int = 2,
      validate_args: bool = False,
      name: str = 'depth_to_space',
  ) -> None:
    """Creates the bijector.

    Args:
      block_size: Side of the blocks, the `k` above.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If `block_size` is not positive.
    """
    parameters = dict(locals())
    self._block_size = arguments.check_int('block_size', block_size)
    with tf.name_scope(name) as name:
      super().__init__(
          forward_min_event_ndims=3,
          is_constant_jacobian=True,
          validate_args=validate_args,
          parameters=parameters,
          name=name,
      )

  @property
  def block_size(self) -> int:
    """Side of the blocks."""
    return self._block_size

  @property
  def _is_permutation(self):
    return True

  @classmethod
  def _parameter_properties(cls, dtype, num_classes=None):
    del dtype, num_classes
    return {}

  def _rearranged(self, function, new_shape, x):
    x = base.check_event(x, [None, None, None], self.name)
    new_shape(x.shape, self._block_size)
    if self._block_size == 1:  # TensorFlow's ops need at least 2
      return tf.identity(x)
    return image_batch.on_image_batch(
        lambda x: function(x, self._block_size), x
    )

  def _forward_and_log_det(self, x):
    y = self._rearranged(tf.nn.depth_to_space, _scaled, x)
    return y, tf.zeros([], x.dtype)

  def _inverse_and_log_det(self, y):
    x = self._rearranged(tf.nn.space_to_depth, _squeezed, y)
    return x, tf.zeros([], y.dtype)

  def _forward_event_shape(self, input_shape):
    return _scaled(input_shape, self._block_size)

  def _inverse_event_shape(self, output_shape):
    return _squeezed(output_shape, self._block_size)

  def _forward_event_shape_tensor(self, input_shape):
    batch, sides, depth = tf.split(input_shape, [-1, 2, 1])
    k = self._block_size
    return tf.concat([batch, sides * k, depth // k**2], axis=0)

  def _inverse_event_shape_tensor(self, output_shape):
    batch, sides, depth = tf.split(output_shape, [-1, 2, 1])
    k = self._block_size
    return tf.concat([batch, sides // k, depth * k**2], axis=0)


def _dimensions(shape):
  """The dimensions of images, of which some may not be known."""
  if shape.rank < 3:
    raise ValueError(
        f'depth_to_space needs inputs of shape [..., H, W, C], got {shape}.'
    )
  return shape.dims  # `None` stays `None` in their arithmetic


def _scaled(shape, k):
  """Static shape after `forward`; errors name what does not fit."""
  if shape.rank is None:
    return shape
  *batch, height, width, depth = _dimensions(shape)
  if (depth.value or 0) % k**2:
    raise ValueError(
        f'The number of channels ({depth}) must be divisible by '
        f'block_size**2 ({k**2}).'
    )
  return tf.TensorShape([*batch, height * k, width * k, depth // k**2])


def _squeezed(shape, k):
  """Static shape after `inverse`; errors name what does not fit."""
  if shape.rank is None:
    return shape
  *batch, height, width, depth = _dimensions(shape)
  for name, size in (('height', height), ('width', width)):
    if (size.value or 0) % k:
      raise ValueError(
          f'The {name} of the images ({size}) must be divisible by '
          f'block_size ({k}).'
      )
  return tf.TensorShape([*batch, height // k, width // k, depth * k**2])


@bounds.lipschitz_bounds.register
def _(bijector: DepthToSpace):
  del bijector
  return bounds.ISOMETRY


flow_bounds.bounds_by_part.register(DepthToSpace, flow_bounds.linear)
