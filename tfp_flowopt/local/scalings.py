"""`RadialScaling` in a ball: by the energies that its tiles can have."""

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import radial_terms
from tfp_flowopt.local import maps

__all__ = []


class _Radial(maps.Layer):
  """The Jacobian of a tile is symmetric, with two eigenvalues.

  `r_J / r_0` across the radius and `d r_J / d r_0` along it. With `u` the
  radius that enters a term over its `B`, and `E = e^s`, its factors of both are

  ```none
  m = (E + u) / (1 + u),   f = (E + 2 u + u^2) / (1 + u)^2,
  |d log m / du| = |1 - E| / ((E + u) (1 + u)),
  |d log f / du| = 2 |1 - E| / ((E + 2 u + u^2) (1 + u)),
  ```

  all of them monotone in `u`. So the ends of an interval of radii bound them.
  """

  keeps_channels = True

  def __init__(self, bijector):
    super().__init__(bijector)
    dtype = bijector.dtype
    if dtype.size < 4:
      dtype = tf.float32
    self._near, self._radii = (
        tf.constant(t.numpy())
        for t in bijector._near_and_far_radii(dtype)  # pylint: disable=protected-access
    )

  def _inverse(self, reach):
    value, log_det = maps.evaluated(self.bijector, 'inverse', reach)
    images, tiles, r, step = self._tiles(reach)
    low, high, by_radius = self._bounds(tf.nn.relu(r - step), r + step, tiles)
    shape = tf.shape(reach.center)
    middle = tf.reshape(self._of_channels(0.5 * (low + high), images)
                        + tf.zeros_like(tiles), shape)
    value = maps.linearized(value, reach.center, middle)
    bent = self._largest(reach, 0.5 * (high - low))
    reach.note(value, bent * reach.radius)
    change = reach.radius * self._norm(reach, by_radius)
    slope = tf.minimum(
        self._largest(reach, high),
        maps.constant(self.bounds.inverse, value.dtype),
    )
    bend = self._largest(reach, tf.maximum(high - 1.0, 1.0 - low))
    return maps.Change(value, log_det, slope, -change, change, bend)

  def _forward_slope(self, reach):
    y, _ = maps.evaluated(self.bijector, 'forward', reach)
    _, tiles, r, step = self._tiles(reach)
    ends = []
    for radius in (tf.nn.relu(r - step), r + step):
      # A ratio of 0 over 0 is that of a very quiet tile.
      radius = tf.maximum(radius, 1e-15)
      ratio, _, _ = radial_terms.undo_terms(radius, self._near, self._radii)
      ends.append(radius * ratio)
    low, high, _ = self._bounds(*ends, tiles)
    slope = self._largest(reach, 1.0 / low)
    bend = self._largest(
        reach, tf.maximum(1.0 / low - 1.0, 1.0 - 1.0 / high)
    )
    slope = tf.minimum(slope, maps.constant(self.bounds.forward, y.dtype))
    return y, slope, bend

  # pylint: disable=protected-access

  def _tiles(self, reach):
    """Images, their tiles, radii, and how far those can move."""
    x = reach.center
    images = x if reach.event_ndims == 3 else x[..., tf.newaxis, tf.newaxis, :]
    tiles = self.bijector._tiles(images)
    size = self.bijector._tile_dimensions(images)
    step = tf.reshape(reach.radius, [-1, 1, 1, 1, 1, 1]) / size**0.5
    return images, tiles, self.bijector._radii(tiles), step

  def _of_channels(self, values, images):
    return self.bijector._of_channels(values, images)

  def _bounds(self, low, high, tiles):
    """Of radii in an interval: least and largest eigenvalue, and a rate.

    The rate bounds how fast the log-determinant of a tile changes with its
    values.
    """
    size = tf.cast(
        tf.size(tiles[0]) // tf.size(low[0]), tiles.dtype
    )
    many = size > 1.5
    eigenvalues = [tf.ones_like(low)] * 4  # of both kinds, least and largest
    rate, ends, grown = tf.zeros_like(low), [low, high], tf.ones_like(low)
    for near, radius in zip(
        tf.unstack(self._near), tf.unstack(self._radii), strict=True
    ):
      scale = near / radius
      u = [end / radius for end in ends]
      across = [(scale + v) / (1.0 + v) for v in u]
      along = [(scale + 2.0 * v + v * v) / tf.square(1.0 + v) for v in u]
      least = tf.minimum(*across), tf.minimum(*along)
      most = tf.maximum(*across), tf.maximum(*along)
      eigenvalues = [
          a * b for a, b in zip(eigenvalues, [*least, *most], strict=True)
      ]
      change = tf.abs(1.0 - scale) / (1.0 + u[0])
      of_term = (
          (size - 1.0) * change / (scale + u[0])
          + 2.0 * change / (scale + 2.0 * u[0] + u[0] * u[0])
      )
      # How fast the radius that enters moves with the values.
      rate += of_term * grown / radius
      grown *= most[1]
      ends = [ends[0] * across[0], ends[1] * across[1]]
    low, high = eigenvalues[1], eigenvalues[3]
    low = tf.where(many, tf.minimum(low, eigenvalues[0]), low)
    high = tf.where(many, tf.maximum(high, eigenvalues[2]), high)
    low, high = maps.widened(low, high)
    # The radius is a root mean square: its gradient has the norm 1 / sqrt(n).
    return low, high, rate / tf.sqrt(size)

  def _largest(self, reach, values):
    values = tf.reshape(values, tf.concat([tf.shape(reach.radius), [-1]], 0))
    return tf.reduce_max(values, axis=-1)

  def _norm(self, reach, values):
    values = tf.reshape(values, tf.concat([tf.shape(reach.radius), [-1]], 0))
    return tf.norm(values, axis=-1)


maps.register(bijectors.RadialScaling, _Radial)
