"""The derivative of a RadialScaling."""

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ['RadialTangent']


class RadialTangent(tfp.bijectors.Bijector):
  """The derivative of the `inverse` of a `RadialScaling` at a point.

  At a tile `y` of root mean square `r` that is scaled by `m(r)`, it is
  symmetric: it scales by `m` across `y`, and by `s = d(r m) / dr` along it,

  ```none
  J v = m v + (s - m) y mean(y v) / r^2
  ```

  So products with it are far cheaper than derivatives by autodiff.
  """

  def __init__(self, tiles, square, across, along, mean, name='radial_tangent'):
    """Creates the bijector.

    Args:
      tiles: The point, `[N, H/T, T, W/T, T, C]`.
      square: The `r^2` of each value's tile.
      across: The `m`, the same way.
      along: The `s`, the same way.
      mean: Maps tiles to the mean over each, the same way.
      name: Python `str`.
    """
    self._tiles = tiles
    self._square = square
    self._across = across
    self._along = along
    self._mean = mean
    super().__init__(
        forward_min_event_ndims=3,
        is_constant_jacobian=True,
        dtype=tiles.dtype,
        name=name,
    )

  def _inverse(self, y):
    return self._apply(y, self._across, self._along)

  def _forward(self, x):
    return self._apply(x, 1.0 / self._across, 1.0 / self._along)

  def _apply(self, v, across, along):
    tiles = tf.reshape(v, tf.shape(self._tiles))
    part = self._mean(self._tiles * tiles) / self._square
    result = across * tiles + (along - across) * part * self._tiles
    return tf.reshape(result, tf.shape(v))
