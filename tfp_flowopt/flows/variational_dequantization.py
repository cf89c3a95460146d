"""Noise within the bins of image values, learned beside a flow."""

import math

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import image_batch
from tfp_flowopt.internal import types
from tfp_flowopt.networks import conv_conditioner

__all__ = ['VariationalDequantization']

# Slopes of the log-density. Steeper ones would put all noise into the few
# numbers that float32 has in a part of a bin, and the bound would not hold.
_STEEPEST = 32.0
# Half of what is between two float32 noises of an 8-bit value near its end.
_FINEST = 2.0**-17
# Below, the curve of a tilt is its second-order series.
_FLAT = 1e-2
# Side of the squares of pixels that the network sees as channels.
_BLOCK = 2


class VariationalDequantization(tf.Module):
  """Noise whose distribution within a bin depends on the image.

  With uniform noise `t` the log-density of `x = image + t` is on average a
  lower bound of the log-probability of the image. It is far below where the
  density changes within a bin, and then a flow must learn to be flat there.
  Here the noise is `u = f(t; image)` for a monotone `f` of [0, 1), so with
  `x' = image + u` the mean of

  ```none
  log p(x') + sum log f'(t)
  ```

  is a bound of the same log-probability: `-log f'(t)` is the log-density of
  `u` (variational dequantisation, Ho et al. 2019). That log-density is linear
  on either half of a bin; a network that sees the image gives its two slopes.
  It starts at slopes of 0, which is uniform noise, and is trained by the bound,
  with the flow.

  `x -> x'` maps each bin to itself. So what is learned is the density of the
  flow within bins alone: the flow's samples and its certificates are as they
  are.

  #### Example

  ```python
  dequantization = fo.flows.VariationalDequantization([16, 16, 3])
  noise = fo.flows.dequantization_noise(images.shape, seed=[0, 1])
  x, log_det = dequantization(fo.flows.dequantize(images, noise=noise))
  loss = -tf.reduce_mean(distribution.log_prob(x) + log_det)
  ```
  """

  def __init__(
      self,
      event_shape: types.Shape,
      bits: int = 8,
      hidden_channels: int = 64,
      seed: int = 0,
      name: str = 'variational_dequantization',
  ) -> None:
    """Creates the network; its last layer starts at zero.

    Args:
      event_shape: Shape of an image, `[H, W, C]`.
      bits: Bits of an image value, as `dequantize` was given.
      hidden_channels: Of the network, three convolutions on squares of 2x2
        pixels (single pixels, if a side is odd).
      seed: Python `int`, of the initial kernels.
      name: Python `str`.

    Raises:
      ValueError: If an argument is out of range.
    """
    super().__init__(name=name)
    height, width, channels = arguments.check_image_shape(
        'event_shape', event_shape
    )
    self._bits = arguments.check_int('bits', bits, least=1, most=8)
    self._bins = 2.0**self._bits
    arguments.check_int('hidden_channels', hidden_channels)
    self._event_shape = tf.TensorShape([height, width, channels])
    self._block = 1 if height % _BLOCK or width % _BLOCK else _BLOCK
    seen = channels * self._block**2
    self._network = conv_conditioner.ConvConditioner(
        2 * seen,
        hidden_channels,
        2 * seen,
        lipschitz=math.inf,
        activation='relu',
        seed=seed,
    )

  @property
  def bits(self) -> int:
    """Bits of an image value."""
    return self._bits

  @property
  def event_shape(self) -> tf.TensorShape:
    """Shape of an image."""
    return self._event_shape

  def __call__(self, x: types.TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives uniformly dequantised images the learned noise.

    Args:
      x: float32 `Tensor` `[..., H, W, C]`, as `dequantize` gives it with
        uniform noise.

    Returns:
      Pair of a `Tensor` of the shape of `x`, in the same bins, and the
      logarithms `[...]` of the Jacobian determinant, to be added to its
      log-density.

    Raises:
      ValueError: If `x` is not float32 or of another shape.
    """
    x = arguments.check_tensor('x', x)
    if x.dtype != tf.float32 or not x.shape[-3:].is_compatible_with(
        self._event_shape
    ):
      raise ValueError(
          'Argument `x` must hold float32 images of shape '
          f'{self._event_shape}, got {x.dtype.name} of shape {x.shape}.'
      )
    scaled = (x + 0.5) * self._bins
    image = tf.floor(scaled)
    slopes = image_batch.on_image_batch(self._slopes, image)
    noise = tf.clip_by_value(scaled - image, _FINEST, 1.0 - _FINEST)
    noise, log_det = _tilted(noise, *tf.split(slopes, 2, axis=-1))
    # As `dequantization_noise`: above, it would be rounded to the next bin.
    noise = tf.minimum(noise, 1.0 - 2.0**-15)
    x = (image + noise) / self._bins - 0.5
    return x, tf.reduce_sum(log_det, axis=[-3, -2, -1])

  def _slopes(self, image):
    """Those of the left halves `[N, H, W, C]` and of the right ones."""
    padded = tf.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]], 'SYMMETRIC')
    neighbours = (
        padded[:, :-2, 1:-1]
        + padded[:, 2:, 1:-1]
        + padded[:, 1:-1, :-2]
        + padded[:, 1:-1, 2:]
    )
    # Single bins matter where an image is smooth.
    detail = tf.asinh(image - neighbours / 4.0)
    seen = tf.concat([4.0 * (image / self._bins - 0.5), detail], axis=-1)
    if self._block > 1:
      seen = tf.nn.space_to_depth(seen, self._block)
    slopes = self._network(seen)
    if self._block > 1:
      slopes = tf.nn.depth_to_space(slopes, self._block)
    # Of weights whose products overflow; any slopes keep the bins.
    slopes = tf.where(tf.math.is_nan(slopes), 0.0, slopes)
    return _STEEPEST * tf.tanh(slopes / _STEEPEST)


def _tilted(t, left, right):
  """Uniform numbers as those of a log-density with a slope on either half.

  Returns `u` in [0, 1], which rises with `t`, and `log du/dt`.
  """
  log_left, log_right = _log_mass(-left), _log_mass(right)
  log_odds = log_left - log_right
  log_share = tf.math.log_sigmoid(log_odds)
  log_rest = tf.math.log_sigmoid(-log_odds)
  share, rest = tf.exp(log_share), tf.exp(log_rest)
  is_left = t < share
  # From the end of the bin that the half has, for digits.
  part = tf.where(is_left, t / share, 1.0 - (1.0 - t) / rest)
  part = tf.clip_by_value(part, 0.0, 1.0)
  u, log_det = _exponential(part, 0.5 * tf.where(is_left, left, right))
  log_det -= tf.where(is_left, log_share, log_rest) + math.log(2.0)
  return 0.5 * tf.where(is_left, u, 1.0 + u), log_det


def _log_mass(slope):
  """`log (exp(slope / 2) - 1) / slope`, the mass of a half of slope `slope`."""
  flat = tf.abs(slope) < _FLAT
  size = tf.abs(tf.where(flat, _FLAT, slope))
  log_mass = tf.math.log(-tf.math.expm1(-size / 2.0) / size)
  log_mass += tf.nn.relu(slope) / 2.0
  return tf.where(flat, slope / 4.0 - math.log(2.0), log_mass)


def _exponential(t, slope):
  """`u` in [0, 1] of density `exp(slope u)`, by its quantiles; `log du/dt`."""
  flat = tf.abs(slope) < _FLAT
  safe = tf.where(flat, _FLAT, slope)
  size = tf.abs(safe)
  # Counted from the end where the density is largest.
  falling = safe < 0.0
  left = 1.0 + tf.where(falling, t, 1.0 - t) * tf.math.expm1(-size)
  distance = -tf.math.log(left) / size
  u = tf.where(falling, distance, 1.0 - distance)
  log_det = tf.math.log(-tf.math.expm1(-size) / (size * left))
  series = slope * t * (1.0 - t) / 2.0
  return (
      tf.where(flat, t + series, u),
      tf.where(flat, tf.math.log1p(slope * (0.5 - t)), log_det),
  )
