"""The derivative of a RadialScaling, as a linear bijector."""

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ['RadialTangent']


class RadialTangent(tfp.bijectors.Bijector):
  """The derivative of the `inverse` of a `RadialScaling` at `tiles`.

  At a tile `y` of root mean square `r` that is scaled by `m(r)`, it is
  symmetric: it scales by `m` across `y`, and by `s = d(r m) / dr` along it,

  ```none
  J v = m v + (s - m) y mean(y v) / r^2
  ```

  So products with it are far cheaper than derivatives by autodiff. `square`,
  `across` and `along` are the `r^2`, `m` and `s` of each value's tile; `mean`
  maps tiles to the mean over each, the same way.
  """

  def __init__(self, tiles, square, across, along, mean):
    self._tiles = tiles
    self._square = square
    self._across = across
    self._along = along
    self._mean = mean
    super().__init__(
        forward_min_event_ndims=3,
        is_constant_jacobian=True,
        dtype=tiles.dtype,
        name='radial_tangent',
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
