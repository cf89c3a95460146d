import math

import numpy as np
import pytest
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo

SIZES = [(6, 5, 2), (5, 6, 2), (6, 4, 2), (3, 5, 3), (1, 4, 2), (5, 1, 1),
         (2, 2, 2), (1, 1, 3)]


def images(rng, n, height, width, channels):
  """Correlated over positions and channels, not symmetric, mean not zero."""
  x = rng.normal(size=(n, height, width, channels))
  x = x + 0.7 * np.roll(x, (1, 2), axis=(1, 2))[..., ::-1]
  mix = rng.normal(size=(channels, channels)) + np.eye(channels)
  return x @ mix + rng.normal(size=channels)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('centered', [True, False])
def test_equals_dense_over_all_shifts(rng, size, centered):
  x = images(rng, 7, *size)
  got = fo.likelihood_optimum(x, 'circulant', centered)
  flat = numpy_optimum.shifted(x)
  want, log_det = numpy_optimum.optimum(flat, centered)
  np.testing.assert_allclose(got.log_likelihood, want, rtol=1e-10)
  np.testing.assert_allclose(got.log_det, log_det, rtol=1e-10, atol=1e-10)
  b = flat.mean(0) * centered
  matrix = (flat - b).T @ (flat - b) / len(flat)
  np.testing.assert_allclose(
      got.eigenvalues, np.linalg.eigvalsh(matrix)[::-1], rtol=1e-10
  )


@pytest.mark.parametrize('size', [(6, 5, 2), (5, 6, 2), (4, 4, 3)])
def test_every_rank_and_bound(rng, size):
  x = images(rng, 5, *size)
  flat = numpy_optimum.shifted(x)
  middle = float(np.median(np.linalg.eigvalsh(np.cov(flat.T)))) ** -0.5
  d = math.prod(size)
  for rank in (None, 1, 2, d // 2, d // 2 + 1, d - 1, d):
    for lipschitz in (None, (0.5 * middle, middle), (middle, math.inf)):
      for noise_variance in (0.0, 0.2):
        arguments = {
            'rank': rank,
            'lipschitz': lipschitz,
            'noise_variance': noise_variance,
        }
        got = fo.likelihood_optimum(x, 'circulant', **arguments)
        want, log_det = numpy_optimum.optimum(flat, **arguments)
        np.testing.assert_allclose(got.log_likelihood, want, rtol=1e-10)
        np.testing.assert_allclose(
            got.log_det, log_det, rtol=1e-10, atol=1e-10
        )


def test_explicit_convolution_reaches_it(rng):
  """The optimal map, built as a matrix, is a circular convolution."""
  x = images(rng, 9, 4, 5, 2)
  flat = numpy_optimum.shifted(x)
  covariance = np.cov(flat.T, bias=True)
  values, vectors = np.linalg.eigh(covariance)
  a = vectors * values**-0.5 @ vectors.T
  blocks = a.reshape(4, 5, 2, 4, 5, 2)
  for i, j in ((1, 0), (0, 1), (3, 2)):
    moved = np.roll(blocks, (i, j, i, j), axis=(0, 1, 3, 4))
    np.testing.assert_allclose(moved, blocks, atol=1e-10)
  z = (x.reshape(9, -1) - flat.mean(0)) @ a.T
  value = np.linalg.slogdet(a)[1] - 0.5 * (z**2).sum(1).mean() - 20 * np.log(
      2 * np.pi
  )
  np.testing.assert_allclose(
      fo.likelihood_optimum(x, 'circulant').log_likelihood, value, rtol=1e-10
  )


def pooled_by_hand(x, pool, centered=True):
  """From the full complex transform, cell by cell."""
  n, h, w, c = x.shape
  x = x - x.mean((0, 1, 2)) * centered
  spectra = np.fft.fft2(x, axes=(1, 2)) / math.sqrt(h * w)
  cells = {}
  for i in range(h):
    for j in range(w):
      key = tuple(
          min(min(f, size - f) // pool, max((size // 2 + 1) // pool, 1) - 1)
          for f, size in ((i, h), (j, w))
      )
      s = np.einsum('ni,nj->ij', spectra[:, i, j], spectra[:, i, j].conj()) / n
      cells.setdefault(key, []).append(s)
  total = 0.0
  for members in cells.values():
    total += len(members) * np.linalg.slogdet(np.mean(members, 0).real)[1]
  return -0.5 * (h * w * c * math.log(2 * math.pi * math.e) + total)


@pytest.mark.parametrize('size', [(6, 5, 2), (5, 6, 3), (7, 7, 1), (8, 2, 2)])
@pytest.mark.parametrize('pool', [1, 2, 3])
def test_pools(rng, size, pool):
  x = images(rng, 4, *size)
  got = fo.likelihood_optimum(x, 'circulant', frequency_pool=pool)
  np.testing.assert_allclose(
      got.log_likelihood, pooled_by_hand(x, pool), rtol=1e-10
  )
  # The eigenvalues say the same, each frequency with its own.
  assert got.eigenvalues.shape == [math.prod(size)]
  np.testing.assert_allclose(
      got.log_det, -0.5 * np.log(got.eigenvalues).sum(), rtol=1e-10, atol=1e-10
  )


def test_pools_lead_from_pointwise_to_circulant(rng):
  x = images(rng, 9, 8, 6, 3)
  values = [
      fo.likelihood_optimum(x, 'circulant', frequency_pool=p).log_likelihood
      for p in (5, 2, 1, None)
  ]
  assert np.all(np.diff(values) > 0)
  np.testing.assert_allclose(
      values[0], fo.likelihood_optimum(x, 'pointwise').log_likelihood,
      rtol=1e-10,
  )


def test_fewer_images_than_channels_need_a_pool(rng):
  x = images(rng, 3, 8, 8, 4)
  for n in (1, 2, 3):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r'(?s)too few.*frequency_pool'
    ):
      fo.likelihood_optimum(x[:n], 'circulant')
  assert np.isfinite(
      fo.likelihood_optimum(x, 'circulant', frequency_pool=2).log_likelihood
  )
  assert np.isfinite(
      fo.likelihood_optimum(x[:1], 'circulant', frequency_pool=4).log_det
  )
  assert np.isfinite(
      fo.likelihood_optimum(x, 'circulant', noise_variance=0.1).log_det
  )


def test_nesting(rng):
  x = images(rng, 100, 4, 4, 3)
  pointwise, circulant = (
      fo.likelihood_optimum(x, structure).log_likelihood.numpy()
      for structure in ('pointwise', 'circulant')
  )
  dense = fo.likelihood_optimum(x.reshape(100, -1)).log_likelihood.numpy()
  assert pointwise < circulant < dense
  # Of one draw of 16 shifts they are not equal, of all shifts they are.
  np.testing.assert_allclose(
      fo.likelihood_optimum(numpy_optimum.shifted(x)).log_likelihood,
      circulant,
      rtol=1e-10,
  )


def test_a_large_mean(rng):
  x = rng.normal(size=(8, 6, 6, 2))
  np.testing.assert_allclose(
      fo.likelihood_optimum(x + 1e4, 'circulant').log_likelihood,
      fo.likelihood_optimum(x, 'circulant').log_likelihood,
      rtol=1e-10,
  )


def test_singular_data(rng):
  x = images(rng, 9, 6, 6, 3)
  x[..., 2] = x[..., 0] - 2.0 * x[..., 1]
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
    fo.likelihood_optimum(x, 'circulant')
  x[..., 2] = 0.0
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
    fo.likelihood_optimum(x, 'circulant')
  # One frequency, the fastest, is missing.
  x = rng.normal(size=(9, 6, 6, 3))
  x = x + np.roll(x, 1, axis=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
    fo.likelihood_optimum(x, 'circulant')


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'frequency_pool': 0}, 'frequency_pool'),
        ({'frequency_pool': 1.5}, 'frequency_pool'),
        ({'structure': 'pointwise', 'frequency_pool': 2}, 'circulant'),
        ({'block_size': 2}, 'block_size'),
        ({'rank': 97}, r'1\.\.96'),
        ({'x': np.zeros([4, 16])}, r'\[N, H, W, C\]'),
        ({'x': np.full([4, 4, 8, 3], np.nan)}, 'non-finite'),
        ({'x': np.zeros([0, 4, 8, 3])}, 'empty'),
        ({'bias_correction': True, 'rank': 2}, 'bias_correction'),
        ({'bias_correction': True, 'lipschitz': (0, 1)}, 'bias_correction'),
        ({'bias_correction': True, 'noise_variance': 1.0}, 'bias_correction'),
    ],
)
def test_bad_input_is_named(rng, arguments, match):
  arguments = {
      'x': images(rng, 5, 4, 8, 3),
      'structure': 'circulant',
      **arguments,
  }
  with pytest.raises(
      (ValueError, tf.errors.InvalidArgumentError), match=match
  ):
    fo.likelihood_optimum(**arguments)
