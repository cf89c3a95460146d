"""Distances between two sets of images, or of vectors, of one size."""

import numpy as np

__all__ = [
    'max_mean_discrepancy',
    'spectrum_distance',
    'squared_distances',
    'total_variation',
    'wasserstein',
]

_BINS = 64
# Random halvings that tell the noise of a discrepancy.
_HALVINGS = 64


def wasserstein(x, y):
  """1-D Wasserstein distances `W_1` of `[N, K]` and `[N, K]`, `[K]`.

  The mean of `|x_(i) - y_(i)|` over sorted values, column by column. Of
  projections on random directions, the mean is the sliced Wasserstein distance
  (Rabin et al. 2011).
  """
  return np.mean(np.abs(np.sort(x, axis=0) - np.sort(y, axis=0)), axis=0)


def squared_distances(x, y):
  """`|x_i - y_j|^2` of `[N, D]` and `[M, D]`, `[N, M]`."""
  norms = np.sum(x**2, axis=1)[:, np.newaxis] + np.sum(y**2, axis=1)
  return np.maximum(norms - 2.0 * (x @ y.T), 0.0)


def max_mean_discrepancy(samples, other, reference, rng):
  """Unbiased MMD^2 to `reference`, of `samples` and of `other` real ones.

  Gretton et al. 2012, with `k(x, y) = exp(-|x - y|^2 / (2 s^2))`, `s` the
  median distance of pairs of `other` and `reference`; all are `[N, D]`.

  Returns:
    Both, and the standard deviation of the latter where real ones are halved
    at random: numbers below about two of it are not told from 0.
  """
  cross = squared_distances(other, reference)
  width = 2.0 * (np.median(cross) or np.mean(cross) or 1.0)

  def kernel(squares):
    return np.exp(-squares / width)

  def within(x):
    k = kernel(squared_distances(x, x))
    np.fill_diagonal(k, 0.0)
    return k

  n = len(reference)
  pairs = n * (n - 1)
  own, real, cross = within(reference), within(other), kernel(cross)
  own_mean = own.sum() / pairs
  of_samples = (
      within(samples).sum() / pairs
      + own_mean
      - 2.0 * kernel(squared_distances(samples, reference)).mean()
  )
  of_real = real.sum() / pairs + own_mean - 2.0 * cross.mean()
  # Of halves A and B, all sums are products with the indicator of A.
  both = np.block([[real, cross], [cross.T, own]])
  first = np.zeros([2 * n, _HALVINGS])
  first[:n] = 1.0
  first = rng.permuted(first, axis=0)
  in_first = np.sum(first * (both @ first), axis=0)
  between = both.sum(axis=1) @ first - in_first
  in_second = both.sum() - in_first - 2.0 * between
  halved = (in_first + in_second) / pairs - 2.0 * between / n**2
  return float(of_samples), float(of_real), float(np.std(halved))


def _mean_spectrum(images):
  """Mean power of images `[N, H, W, C]` by frequency, from 1 on.

  Frequencies are cycles along the shorter side, rounded, to the corners.
  """
  height, width = images.shape[1:3]
  power = np.abs(np.fft.rfft2(images, axes=(1, 2))) ** 2
  power = np.mean(power, axis=(0, 3))
  rows = np.fft.fftfreq(height)[:, np.newaxis]
  columns = np.fft.rfftfreq(width)
  rings = np.rint(np.hypot(rows, columns) * min(height, width)).astype(int)
  # All but the columns at 0 and at half the rate stand for two.
  count = np.where((columns == 0.0) | (columns == 0.5), 1.0, 2.0)
  weights = np.broadcast_to(count, rings.shape).ravel()
  sums = np.bincount(rings.ravel(), weights * power.ravel())
  return (sums / np.bincount(rings.ravel(), weights))[1:]


def spectrum_distance(x, y):
  """Root mean square, over frequencies, of the log ratio of power spectra.

  Spectra are averaged over images, channels and directions: 0.1 is about a
  tenth of the power.
  """
  spectra = [_mean_spectrum(images) for images in (x, y)]
  floor = 1e-12 * max(spectrum.max() for spectrum in spectra) or 1.0
  ratios = np.log((spectra[0] + floor) / (spectra[1] + floor))
  return float(np.sqrt(np.mean(ratios**2)))


def total_variation(x, y):
  """Total variation of histograms of values `[N, C]`, `[C]`, from 0 to 1.

  Half the sum of differences of shares, in 64 bins from the smallest to the
  largest of `y`; what lies outside counts in the outermost ones.
  """
  edges = np.linspace(y.min(), y.max(), _BINS + 1)[1:-1]

  def shares(values):
    bins = np.searchsorted(edges, values, side='right')
    return np.bincount(bins, minlength=_BINS) / len(values)

  pairs = zip(x.T, y.T, strict=True)
  return np.array([
      0.5 * np.sum(np.abs(shares(own) - shares(other))) for own, other in pairs
  ])
