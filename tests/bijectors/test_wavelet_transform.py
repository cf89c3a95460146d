"""The wavelet transform, against matrices of rows and the taps of the books."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import block_artefacts
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps

tfb = tfp.bijectors
WAVELET = fo.bijectors.WaveletTransform()
# Le Gall & Tabatabai (1988), with a sum of sqrt(2) for the smooth part.
SMOOTH = np.array([-1.0, 2.0, 6.0, 2.0, -1.0]) / 8.0 * 2**0.5
DETAIL = np.array([-0.5, 1.0, -0.5]) / 2**0.5


def matrix_of_rows(size):
  """The transform of `size` numbers: smooth parts, then details."""
  mirrored = np.pad(np.eye(size), [(4, 4), (0, 0)], 'reflect')[2:]
  smooth = [SMOOTH @ mirrored[k : k + 5] for k in range(0, size, 2)]
  detail = [DETAIL @ mirrored[k + 2 : k + 5] for k in range(0, size, 2)]
  return np.array(smooth + detail)


@pytest.mark.parametrize('height, width', [(8, 12), (4, 6), (2, 10), (2, 2)])
def test_subbands_are_those_of_the_taps(height, width, rng):
  x = rng.normal(size=(3, height, width, 2))
  rows, columns = (
      # Two numbers mirror at each other.
      matrix_of_rows(n) if n > 2 else np.array([[1, 1], [-1, 1]]) / 2**0.5
      for n in (height, width)
  )
  wanted = np.einsum('ij,njkc,lk->nilc', rows, x, columns)
  wanted = wanted.reshape(3, 2, height // 2, 2, width // 2, 2)
  wanted = np.moveaxis(wanted, [1, 3], [-3, -2]).reshape(
      3, height // 2, width // 2, 8
  )
  subbands = WAVELET.inverse(x)
  np.testing.assert_allclose(subbands, wanted, atol=1e-14)
  np.testing.assert_allclose(
      WAVELET.forward(tf.identity(subbands)), x, atol=1e-14
  )


def test_what_is_straight_has_no_details():
  row, column = np.mgrid[:8, :8]
  image = (3.0 + 0.5 * row - 2.0 * column)[..., np.newaxis]
  smooth, *details = tf.split(WAVELET.inverse(image), 4, axis=-1)
  inside = np.s_[:, :3], np.s_[:3], np.s_[:3, :3]
  for detail, part in zip(details, inside, strict=True):
    np.testing.assert_allclose(detail.numpy()[part], 0.0, atol=1e-14)
  # The mean of four pixels is doubled, as in an orthonormal transform.
  np.testing.assert_allclose(
      smooth[1:-1, 1:-1, 0], 2.0 * image[2:-2:2, 2:-2:2, 0]
  )


def test_its_constants_hold_for_all_sizes_and_are_reached():
  bound = fo.lipschitz.lipschitz_bounds(WAVELET)
  norms = []
  for size in (4, 6, 8, 10, 14, 16, 32, 64, 128, 510):
    matrix = matrix_of_rows(size)
    for direction in (matrix, np.linalg.inv(matrix)):
      norms.append(np.linalg.norm(direction, 2))
      assert norms[-1] ** 2 <= min(bound)
    assert np.linalg.slogdet(matrix)[1] == pytest.approx(0.0, abs=1e-12)
  assert norms[-1] ** 2 > 0.999 * max(bound)
  # Sizes beyond have the same: nothing is left to grow at the ends of a row.
  assert np.ptp(norms[-6:]) < 1e-12


@pytest.mark.parametrize('direction', ['inverse', 'forward'])
def test_factors_of_subbands_bound_it(direction):
  factors = WAVELET.band_factors(direction)
  # Of rows and columns alike, so of rows: smooth, and details.
  pairs = np.sqrt(np.unique(factors[:, [0, 3]], axis=0))
  assert len(pairs) == len(factors) == 4
  for size in (4, 6, 8, 10, 14, 16, 32, 64, 128, 256):
    matrix = matrix_of_rows(size)
    if direction == 'forward':
      matrix = np.linalg.inv(matrix).T
    for pair in pairs:
      # What is left of the transform lengthens nothing, and hardly less.
      left = matrix / np.repeat(pair, size // 2)[:, np.newaxis]
      assert np.linalg.norm(left, 2) <= 1.0
      assert np.linalg.norm(left, 2) > 0.9 or size < 256


def test_with_a_map_after_it_its_constants_are_hardly_more(rng):
  # A whitening: details have a hundredth of the variance of smooth parts.
  size = 8
  linear = fo.bijectors.InvertibleConv1x1(4, dtype=tf.float64)
  linear.initialize(
      singular_values=[1.0, 9.0, 10.0, 100.0],
      right=np.linalg.qr(np.eye(4) + 0.05 * rng.normal(size=(4, 4)))[0],
  )
  eye = tf.reshape(tf.eye(size**2, dtype=tf.float64), [-1, size, size, 1])
  together = linear.inverse(WAVELET.inverse(eye)) - linear.inverse(
      tf.zeros([1, size // 2, size // 2, 4], tf.float64)
  )
  matrix = together.numpy().reshape(size**2, size**2)
  found = fo.lipschitz.lipschitz_bounds(tfb.Chain([WAVELET, linear]))
  for bound, inverted in ((found.inverse, matrix),
                          (found.forward, np.linalg.inv(matrix))):
    norm = np.linalg.norm(inverted, 2)
    assert norm <= bound <= 1.3 * norm
  parts = map(fo.lipschitz.lipschitz_bounds, (WAVELET, linear))
  product = fo.lipschitz.LipschitzBounds(*np.prod(list(parts), axis=0))
  assert np.all(np.array(found) < 0.7 * np.array(product))
  # In a ball, too, by products of matrices.
  radius = tf.constant([0.1, 0.2], tf.float64)
  local = maps.local_map(tfb.Chain([WAVELET, linear]))
  for direction, center in (('inverse', eye[:2]), ('forward', together[:2])):
    slope = getattr(local, direction)(balls.Reach(center, radius)).slope
    np.testing.assert_allclose(slope, getattr(found, direction), rtol=1e-6)
  # Not for a map that is not known.
  assert WAVELET.bounds_with(fo.bijectors.ActNorm(4)) is None
  assert WAVELET.bounds_with(fo.bijectors.InvertibleConv1x1(3)) is None


@pytest.mark.parametrize('shape, match', [((5, 4, 3), 'height'),
                                          ((4, 5, 3), 'width')])
def test_odd_sides_are_refused(shape, match):
  with pytest.raises(ValueError, match=match):
    WAVELET.inverse(tf.zeros(shape))


def test_sizes_that_are_not_known(rng):
  x = tf.constant(rng.normal(size=(2, 6, 4, 3)))
  spec = tf.TensorSpec([None, None, None, 3], x.dtype)
  there = tf.function(WAVELET.inverse, input_signature=[spec])
  np.testing.assert_array_equal(there(x), WAVELET.inverse(x))
  spec = tf.TensorSpec([None, None, None, 12], x.dtype)
  back = tf.function(WAVELET.forward, input_signature=[spec])
  np.testing.assert_allclose(back(there(x)), x, atol=1e-14)


def test_samples_have_no_borders_between_blocks(rng):
  # Neighbours are correlated by 0.95, as in photographs.
  root = np.linalg.cholesky(
      0.95 ** np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
  )
  images = 0.1 * root @ rng.normal(size=(2000, 16, 16)) @ root.T
  images = images[..., np.newaxis]
  contrast, likelihood = {}, {}
  for squeeze in ('wavelet', 'blocks'):
    distribution = fo.image_flow(
        [16, 16, 1], num_levels=2, num_steps=1, hidden_channels=2,
        squeeze=squeeze, whitening='pointwise', dtype=tf.float64,
    )
    fo.initialize_at_optimum(distribution, images)
    samples = distribution.sample(200, seed=[0, 0]).numpy()
    contrast[squeeze] = block_artefacts.border_contrast(samples, 4)
    likelihood[squeeze] = np.mean(distribution.log_prob(images[:500]))
  assert contrast['wavelet'] < 1.2 < 3.0 < contrast['blocks']
  assert likelihood['wavelet'] > likelihood['blocks'] + 50.0
