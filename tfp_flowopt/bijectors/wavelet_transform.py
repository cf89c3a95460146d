"""WaveletTransform bijector."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import depth_to_space
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.internal import image_batch
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['WaveletTransform']

# With the matrix `W` of the transform of a row, pairs of numbers `(a, b)` with
#
#   W W^T <= diag(a, b)   and   W^-T W^-1 <= diag(a, b),
#
# `a` for what is smooth and `b` for details, in the order of matrices, for rows
# of any length: found by eigenvalues for up to 128 numbers, from where on they
# change by less than 1e-5, and rounded up. The first has the least norm,
# 1.4452^2; the others are for maps that hardly see one of both.
_MAJORANTS = {
    'inverse': [(2.0887, 2.0887), (2.5, 1.4518), (4.0, 1.2513), (30.0, 1.17)],
    'forward': [(2.0887, 2.0887), (1.7, 2.1849), (1.5, 2.4021), (1.2, 6.6561)],
}


class WaveletTransform(base.JointBijector):
  """One level of a wavelet transform: an image and its four subbands.

  `inverse` maps images `[..., H, W, C]` to `[..., H/2, W/2, 4 C]`: what varies
  slowly, the details along rows, those along columns, and along both. `forward`
  is the way back. So it has the shapes of `DepthToSpace`, the "squeeze" of
  multi-scale flows; but each number is a mean or a difference over some pixels
  of a neighbourhood, and neighbourhoods overlap, so that noise in a subband
  makes no border between blocks of pixels.

  The biorthogonal wavelet of 5 and 3 taps (Le Gall & Tabatabai 1988; that of
  lossless JPEG 2000), by lifting (Sweldens 1996), along rows and columns:

  ```none
  d[i] = y[2 i + 1] - (y[2 i] + y[2 i + 2]) / 2      detail
  s[i] = y[2 i] + (d[i - 1] + d[i]) / 4              smooth
  (sqrt(2) s, d / sqrt(2))
  ```

  and at the ends of a row the neighbour that is there counts twice. The
  log-determinant is 0. Either Lipschitz constant is `1.4452^2 = 2.0886`, which
  images reach from about 16 pixels a side; with a linear map of positions after
  it, as the whitening of an `ImageFlow`, it is about 1.2 times that of the map.

  #### Example

  ```python
  wavelet = fo.bijectors.WaveletTransform()
  subbands = wavelet.inverse(tf.ones([5, 32, 32, 3]))  # [5, 16, 16, 12]
  wavelet.forward(subbands)  # [5, 32, 32, 3]
  ```
  """

  def __init__(
      self, validate_args: bool = False, name: str = 'wavelet_transform'
  ) -> None:
    """Creates the bijector; `H` and `W` of the images must be even.

    Args:
      validate_args: Python `bool`.
      name: Python `str`.
    """
    parameters = dict(locals())
    # Whose shapes it has.
    self._blocks = depth_to_space.DepthToSpace(2)
    with tf.name_scope(name) as name:
      super().__init__(3, None, parameters, name, is_constant_jacobian=True)

  @staticmethod
  def band_factors(direction: str) -> np.ndarray:
    """Four factors of subbands, `[K, 4]`; each row bounds the transform.

    `inverse` is a map that lengthens nothing, and then these factors of the
    subbands; `forward` first has such factors, and then is such a map.
    """
    pairs = np.sqrt(_MAJORANTS[direction])
    return np.einsum('ki,kj->kij', pairs, pairs).reshape([-1, 4])

  def bounds_with(
      self, bijector: types.Bijector
  ) -> bounds.LipschitzBounds | None:
    """Constants together with an `InvertibleConv1x1`, the next of `inverse`.

    By the best of the factors of subbands. `None` for another bijector.
    """
    if type(bijector) is not invertible_conv1x1.InvertibleConv1x1:
      return None
    inverse, forward = (
        np.asarray(rows, np.float64) for rows in bijector.rows()
    )
    each = len(inverse) // 4
    if len(inverse) % 4:
      return None
    return bounds.LipschitzBounds(
        min(
            bounds.largest_singular_value(forward * np.repeat(factors, each))
            for factors in self.band_factors('forward')
        ),
        min(
            bounds.largest_singular_value(inverse.T * np.repeat(factors, each))
            for factors in self.band_factors('inverse')
        ),
    ).inflated(bijector.dtype)

  def _forward_event_shape(self, input_shape):
    return self._blocks.forward_event_shape(input_shape)

  def _inverse_event_shape(self, output_shape):
    return self._blocks.inverse_event_shape(output_shape)

  def _forward_event_shape_tensor(self, input_shape):
    return self._blocks.forward_event_shape_tensor(input_shape)

  def _inverse_event_shape_tensor(self, output_shape):
    return self._blocks.inverse_event_shape_tensor(output_shape)

  def _forward_and_log_det(self, x):
    x = base.check_event(x, [None, None, None], self.name)
    shape = self._blocks.forward_event_shape(x.shape)
    y = tf.ensure_shape(image_batch.on_image_batch(_synthesis, x), shape)
    return y, tf.zeros([], x.dtype)

  def _inverse_and_log_det(self, y):
    y = base.check_event(y, [None, None, None], self.name)
    shape = self._blocks.inverse_event_shape(y.shape)
    x = tf.ensure_shape(image_batch.on_image_batch(_analysis, y), shape)
    return x, tf.zeros([], y.dtype)


def _analysis(image):
  """Subbands `[N, H/2, W/2, 4 C]` of images `[N, H, W, C]`."""
  for axis in (2, 1):
    even, odd = _phases(image, axis)
    odd -= 0.5 * (even + _later(even, axis))
    even += 0.25 * (odd + _earlier(odd, axis))
    image = tf.concat([even, odd], axis=-1)
  return image * _scales(image, 2.0)


def _synthesis(subbands):
  """Images `[N, H, W, C]` of subbands `[N, H/2, W/2, 4 C]`."""
  image = subbands * _scales(subbands, 0.5)
  for axis in (1, 2):
    even, odd = tf.split(image, 2, axis=-1)
    even -= 0.25 * (odd + _earlier(odd, axis))
    odd += 0.5 * (even + _later(even, axis))
    image = _of_phases(even, odd, axis)
  return image


def _scales(subbands, scale):
  """A factor for each channel: those of rows and columns together."""
  channels = _sizes(subbands)[-1]
  factors = tf.constant([scale, 1.0, 1.0, 1.0 / scale], subbands.dtype)
  return tf.repeat(factors, channels // 4)


def _phases(x, axis):
  """Even and odd positions along an axis."""
  sizes = _sizes(x)
  sizes[axis : axis + 1] = [sizes[axis] // 2, 2]
  return tf.unstack(tf.reshape(x, sizes), axis=axis + 1)


def _of_phases(even, odd, axis):
  """Positions along an axis, in turn even and odd."""
  sizes = _sizes(even)
  sizes[axis] *= 2
  return tf.reshape(tf.stack([even, odd], axis=axis + 1), sizes)


def _sizes(x):
  """The shape of a `Tensor`; numbers where they are known."""
  return [
      tf.shape(x)[axis] if size is None else size
      for axis, size in enumerate(x.shape)
  ]


def _later(x, axis):
  """The next number at each position, and the last one again."""
  parts = _cut(x, axis, 1, None), _cut(x, axis, -1, None)
  return tf.concat(parts, axis=axis)


def _earlier(x, axis):
  """The number before that of each position, and the first one again."""
  return tf.concat([_cut(x, axis, 0, 1), _cut(x, axis, 0, -1)], axis=axis)


def _cut(x, axis, start, stop):
  return x[(slice(None),) * axis + (slice(start, stop),)]


@bounds.lipschitz_bounds.register
def _(bijector: WaveletTransform):
  del bijector
  norm = max(WaveletTransform.band_factors('inverse')[0])
  # Of the sums of six numbers in either direction.
  return bounds.LipschitzBounds(norm, norm).inflated(tf.float32)


flow_bounds.bounds_by_part.register(WaveletTransform, flow_bounds.linear)
