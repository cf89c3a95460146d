"""Tiles of images."""

from typing import NamedTuple

import tensorflow as tf

__all__ = ['Tiling']


class Tiling(NamedTuple):
  """Tiles `T x T` of each of `G` groups of consecutive channels.

  Images `[..., H, W, C]` become `[batch, H/T, T, W/T, T, C]`, and numbers of
  tiles are `[batch, H/T, 1, W/T, 1, G]`.

  Attributes:
    size: The `T` above.
    num_groups: The `G` above; `None` for one of each channel.
  """

  size: int
  num_groups: int | None

  def of(self, x, name):
    """The tiles of images `x`; errors tell the `name` of who asks."""
    t, g = self.size, self.num_groups
    height, width, channels = x.shape[-3:]
    if (height or 0) % t or (width or 0) % t:
      raise ValueError(
          f'{name} needs a height and width divisible by its `tile_size` {t}, '
          f'got shape {x.shape}.'
      )
    if g not in (None, 1) and (channels is None or channels % g):
      raise ValueError(
          f'{name} needs a known number of channels, divisible by its '
          f'`num_groups` {g}, got shape {x.shape}.'
      )
    # With -1 for the batch, tiles that do not divide an image of a size that is
    # not known yet would be made of parts of several images.
    batch = -1
    if height is None or width is None:
      batch = tf.reduce_prod(tf.shape(x)[:-3])
    height, width, channels = (
        tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
        for axis in (-3, -2, -1)
    )
    shape = [batch, height // t, t, width // t, t, channels]
    return tf.reshape(x, shape)

  def num_values(self, x):
    """Of each tile of images `x`: a `float`, or a `Tensor` as `x`."""
    positions = float(self.size**2)
    if self.num_groups is None:
      return positions
    if x.shape[-1] is None:
      return positions * tf.cast(tf.shape(x)[-1] // self.num_groups, x.dtype)
    return positions * (x.shape[-1] // self.num_groups)

  def is_elementwise(self, tiles):
    """Whether each value is a tile of its own."""
    return self.size == 1 and self.num_groups in (None, tiles.shape[-1])

  def reduced(self, reduce, tiles):
    """One number of each tile, by `tf.reduce_sum` or its like."""
    axes = [2, 4] if self.size > 1 else []
    if self.num_groups == 1:
      axes.append(5)
    if axes:
      tiles = reduce(tiles, axis=axes, keepdims=True)
    if self.num_groups in (None, 1, tiles.shape[-1]):
      return tiles
    shape = tf.concat([tf.shape(tiles)[:-1], [self.num_groups, -1]], axis=0)
    return reduce(tf.reshape(tiles, shape), axis=-1)

  def of_channels(self, numbers, x):
    """Numbers of tiles, as they broadcast with those of images `x`."""
    if self.num_groups is not None and 1 < self.num_groups < x.shape[-1]:
      # One value for each channel: TensorFlow broadcasts no more axes.
      return tf.repeat(numbers, x.shape[-1] // self.num_groups, axis=-1)
    return numbers

  def of_rows(self, numbers):
    """What `of_channels` returns, as it broadcasts with a vectorised gradient.

    That has an axis more, of `tf.GradientTape.jacobian`, and TensorFlow
    broadcasts five axes in turn at most.
    """
    if self.size == 1 or self.num_groups == 1:
      return numbers
    return tf.tile(numbers, [1, 1, 1, 1, self.size, 1])
