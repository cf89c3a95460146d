"""Second moments of images, frequency by frequency."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfp_flowopt.optimum import moments

__all__ = ['CirculantMoments']

# Roundings of a Fourier coefficient, relative to the largest one.
_ROUNDING = 16.0 * np.finfo(np.float64).eps

# Beyond, a graph with rows of its own for each channel is no gain.
_MANY_CHANNELS = 16


@dataclasses.dataclass(frozen=True)
class CirculantMoments(moments.SummedMoments):
  """The cross-spectral matrices `S(w) = E[x^(w) x^(w)^H]` of images.

  `x^` is the orthonormal 2-D Fourier transform, a vector in `C^C` for each
  frequency `w`; they are the blocks of the block-circulant matrix nearest to
  the images' second moments. Each is packed into `C^2` real numbers: real parts
  on and below the diagonal, imaginary parts above it. The frequencies are those
  of a real transform, half of the plane; the others are conjugates.

  Attributes:
    count: The number of images.
    mean: `[C]`, of each channel over all positions; zeros when not centred.
    within: `[C, C, H, W // 2 + 1]` float64 `Tensor`: sums over the images, less
      the mean of their batch, of products of the transform without its factor
      `(H W)^(-1/2)`, as above.
    between: `[C, C]`, what the batches' means differing adds, per position.
    width: `W`, number or scalar `Tensor`.
    frequency_pool: `None`, or the side of the cells of frequencies that share
      one matrix (see `likelihood_optimum`).
  """

  width: int | tf.Tensor
  frequency_pool: int | None = None

  @classmethod
  def of(cls, images, centered):
    """Moments of images `[N, H, W, C]`."""
    images = _channels_first(images)
    mean = tf.zeros_like(tf.reduce_sum(images[:1], axis=[0, 2, 3]))
    if centered:
      # As for vectors: nothing is left of a channel that is constant.
      start = tf.stop_gradient(images[:1, :, :1, :1])
      images = images - start
      rest = tf.reduce_mean(images, axis=[0, 2, 3], keepdims=True)
      images = images - rest
      mean = tf.reduce_sum(start + rest, axis=[0, 2, 3])
    count = tf.cast(tf.shape(images)[0], tf.float64)
    width = images.shape[3] or tf.shape(images)[3]
    between = tf.zeros([tf.size(mean), tf.size(mean)], tf.float64)
    products = _packed_products(*_spectra(images))
    return cls(count, mean, products, centered, between, width)

  def _sums_of_squares(self):
    return tf.linalg.diag_part(tf.transpose(self.within, [2, 3, 0, 1]))

  @property
  def matrix(self):
    """`S(w)`, packed as above, `[C, C, H, W // 2 + 1]`."""
    positions = self._positions
    # A constant is at frequency zero alone, and real there.
    between = positions**2 * tf.linalg.band_part(self.between, -1, 0)
    between = tf.pad(
        between[..., tf.newaxis, tf.newaxis],
        [[0, 0], [0, 0], [0, self._height - 1], [0, self.width // 2]],
    )
    return (self.within + between) / (positions * self.count)

  @property
  def _height(self):
    return tf.shape(self.within)[2]

  @property
  def _positions(self):
    return tf.cast(self._height * self.width, tf.float64)

  def eigh(self):
    """Raises an error: there is a basis for each frequency."""
    raise NotImplementedError(
        'The eigenvectors of a circulant matrix are Fourier modes; use '
        '`spectrum()` for its eigenvalues.'
    )

  def fewest_vectors(self):
    """The images behind a frequency (a cell: times its size), and `C`."""
    count, channels = self.count, tf.cast(tf.shape(self.mean)[0], tf.float64)
    if self.frequency_pool is not None:
      count *= tf.reduce_min(self._cell_sizes())
    return count, channels

  def blocks(self):
    """The symmetric blocks, `[H, W // 2 + 1, 2 C, 2 C]` without pools.

    For `S = A + i B` it is `[[A, -B], [B, A]]`, which has each eigenvalue of
    `S` twice. (XLA's eigenvalues of complex matrices are wrong on CPU in
    TensorFlow 2.21.) With pools `[G, C, C]`: the mean of `S` over a cell and
    its mirror images, which is real.
    """
    packed = tf.transpose(self.matrix, [2, 3, 0, 1])
    lower = tf.linalg.band_part(packed, -1, 0)
    diagonal = tf.linalg.diag_part(packed)
    real = tf.linalg.set_diag(
        lower + tf.linalg.matrix_transpose(lower), diagonal
    )
    if self.frequency_pool is not None:
      weighted = real * self._column_weights()[:, tf.newaxis, tf.newaxis]
      sums = self._summed_by_cell(weighted)
      return sums / self._cell_sizes()[:, tf.newaxis, tf.newaxis]
    upper = packed - lower
    imaginary = upper - tf.linalg.matrix_transpose(upper)
    rows = [real, -imaginary], [imaginary, real]
    return tf.concat([tf.concat(row, axis=-1) for row in rows], axis=-2)

  def rounding(self, largest, size):
    """As for any blocks; and a coefficient is known to eps of the largest."""
    least = _ROUNDING**2 * tf.reduce_max(largest)
    return tf.maximum(super().rounding(largest, size), least)

  def variance_rounding(self, variances):
    """As for any; and each channel's coefficients, as in `rounding`."""
    size = tf.shape(variances)[-1]
    largest = tf.reduce_max(tf.reshape(variances, [-1, size]), axis=0)
    of_mean = super().variance_rounding(variances)
    return tf.tile(of_mean, [size // tf.size(self.mean)]) + (
        _ROUNDING**2 * largest
    )

  def pooled(self, values):
    """Eigenvalues of the blocks as those of all frequencies, `[H W C]`."""
    if self.frequency_pool is not None:
      cells = self._cells(tf.range(self.width))
      return tf.reshape(tf.gather(values, cells), [-1])
    # A folded column stands for two frequencies, which have the eigenvalues
    # of `S` once each; in the others one of each pair is too many.
    num_folded = (self.width - 1) // 2
    folded = values[:, 1 : num_folded + 1]
    single = tf.concat([values[:, :1], values[:, num_folded + 1 :]], axis=1)
    single = 0.5 * (single[..., 0::2] + single[..., 1::2])
    return tf.concat([tf.reshape(x, [-1]) for x in (folded, single)], axis=0)

  def summed(self, values):
    """The sum of one value of each block over all frequencies."""
    if self.frequency_pool is not None:
      return tf.reduce_sum(self._cell_sizes() * values)
    # Each eigenvalue is twice in a block.
    return 0.5 * tf.reduce_sum(self._column_weights() * values)

  def squares(self, images, precision):
    """`sum_w x^(w)^H P(w) x^(w)` of images `[N, H, W, C]`, `[N]`."""
    images = _channels_first(images) - self.mean[:, tf.newaxis, tf.newaxis]
    real, imaginary = (
        tf.transpose(part, [0, 2, 3, 1]) for part in _spectra(images)
    )
    if self.frequency_pool is not None:
      # A real matrix acts on both parts alike.
      precision = tf.gather(precision, self._cells())
      vectors = tf.stack([real, imaginary], axis=-1)
    else:
      vectors = tf.concat([real, imaginary], axis=-1)[..., tf.newaxis]
    squares = tf.reduce_sum(
        vectors * tf.linalg.matmul(precision, vectors), axis=[-2, -1]
    )
    total = tf.reduce_sum(self._column_weights() * squares, axis=[-2, -1])
    return total / self._positions

  def product(self, images, blocks):
    """Images `[N, H, W, C]` convolved by a symbol, laid out as `blocks()`."""
    real, imaginary = (
        tf.transpose(part, [0, 2, 3, 1])
        for part in _spectra(tf.transpose(images, [0, 3, 1, 2]))
    )
    if self.frequency_pool is not None:
      vectors = tf.stack([real, imaginary], axis=-1)
      vectors = tf.linalg.matmul(tf.gather(blocks, self._cells()), vectors)
      real, imaginary = tf.unstack(vectors, axis=-1)
    else:
      vectors = tf.concat([real, imaginary], axis=-1)
      vectors = tf.linalg.matvec(blocks, vectors)
      real, imaginary = tf.split(vectors, 2, axis=-1)
    spectra = tf.transpose(tf.complex(real, imaginary), [0, 3, 1, 2])
    planes = tf.signal.irfft2d(spectra, [self._height, self.width])
    return tf.transpose(planes, [0, 2, 3, 1])

  def log_det_bias(self):
    """The bias of `log_det()` for stationary Gaussian images, in nats."""
    height, channels = self._height, tf.size(self.mean)

    def real_bias(count, centered):
      return moments.wishart_log_det_bias(count, channels, centered)

    if self.frequency_pool is not None:
      # A cell of m frequencies has m real vectors for each image.
      sizes = self._cell_sizes()
      counts = sizes * self.count
      # The mean is at frequency zero, in the first cell.
      first = real_bias(counts[:1], self.centered)
      biases = tf.concat([first, real_bias(counts[1:], False)], axis=0)
      return tf.reduce_sum(sizes * biases)
    # Self-conjugate frequencies have real coefficients.
    num_real = (2 - height % 2) * (2 - self.width % 2)
    num_complex = tf.cast(height * self.width - num_real, tf.float64)
    return (
        real_bias(self.count, self.centered)
        + tf.cast(num_real - 1, tf.float64) * real_bias(self.count, False)
        + num_complex
        * moments.complex_wishart_log_det_bias(self.count, channels)
    )

  def _column_weights(self):
    """How many frequencies a column stands for, `[W // 2 + 1]`."""
    column = tf.range(self.width // 2 + 1)
    folded = (column > 0) & (2 * column < self.width)
    return 1.0 + tf.cast(folded, tf.float64)

  def _num_cells(self):
    """Rows and columns of cells; the last ones hold what is left over."""
    return [
        tf.maximum((size // 2 + 1) // self.frequency_pool, 1)
        for size in (self._height, self.width)
    ]

  def _cells(self, columns=None):
    """The cell of each frequency, of half of the columns by default."""
    if columns is None:
      columns = tf.range(self.width // 2 + 1)
    num_rows, num_columns = self._num_cells()
    row, column = (
        tf.minimum(tf.minimum(x, size - x) // self.frequency_pool, num - 1)
        for x, size, num in (
            (tf.range(self._height), self._height, num_rows),
            (columns, self.width, num_columns),
        )
    )
    return row[:, tf.newaxis] * num_columns + column

  def _summed_by_cell(self, values):
    """Sums `[G, ...]` of `[H, W // 2 + 1, ...]`."""
    return tf.math.unsorted_segment_sum(
        values, self._cells(), tf.reduce_prod(self._num_cells())
    )

  def _cell_sizes(self):
    """The number of frequencies of the whole plane in each cell, `[G]`."""
    weights = tf.broadcast_to(self._column_weights(), tf.shape(self._cells()))
    return self._summed_by_cell(weights)


def _channels_first(images):
  """Images `[N, H, W, C]` as float64 `[N, C, H, W]`."""
  return tf.cast(tf.transpose(images, [0, 3, 1, 2]), tf.float64)


def _spectra(planes):
  """Real and imaginary parts of the half-plane transform, without a factor."""
  spectra = tf.signal.rfft2d(planes)
  return tf.math.real(spectra), tf.math.imag(spectra)


def _packed_products(real, imaginary):
  """The sum over images of `x_i conj(x_j)`, packed as in `CirculantMoments`."""
  channels = real.shape[1]
  if channels is None or channels > _MANY_CHANNELS:
    return _all_products(real, imaginary)
  rows = []
  for i in range(channels):
    a, b = real[:, i : i + 1], imaginary[:, i : i + 1]
    lower = a * real[:, : i + 1] + b * imaginary[:, : i + 1]
    upper = b * real[:, i + 1 :] - a * imaginary[:, i + 1 :]
    rows.extend(tf.reduce_sum(part, axis=0) for part in (lower, upper))
  return tf.reshape(
      tf.concat(rows, axis=0), tf.concat([[channels], tf.shape(real)[1:]], 0)
  )


def _all_products(real, imaginary):
  """The same, twice the work, for any number of channels."""
  a, b = real[:, :, tf.newaxis], imaginary[:, :, tf.newaxis]
  channels = tf.range(tf.shape(real)[1])
  lower = channels[:, tf.newaxis] >= channels
  c, d = real[:, tf.newaxis], imaginary[:, tf.newaxis]
  return tf.where(
      lower[..., tf.newaxis, tf.newaxis],
      tf.reduce_sum(a * c + b * d, axis=0),
      tf.reduce_sum(b * c - a * d, axis=0),
  )
