"""Samples beside real images, against calculations of their own."""

import numpy as np
import pytest
from scipy import stats
from sklearn import neighbors
from sklearn.metrics import pairwise
from support import images as images_lib

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import block_artefacts
from tfp_flowopt.diagnostics import nearest_images
from tfp_flowopt.diagnostics import sample_distances
from tfp_flowopt.diagnostics import sample_patches

sample_report = fo.diagnostics.sample_report


def smooth(num, seed, size=8):
  """Crops of several images, [-0.5, 0.5), with noise in the bins."""
  parts = [
      images_lib.smooth_noise(100 * seed + i, 64, 64) for i in range(8)
  ]
  crops = fo.training.ImageCrops(parts, size).draw(num, [seed, 1]).numpy()
  noise = np.random.default_rng(seed).uniform(size=crops.shape)
  return (crops + noise) / 256.0 - 0.5


@pytest.fixture(scope='module')
def real():
  """Images of one distribution: three sets."""
  x = smooth(900, 0)
  return x[:300], x[300:600], x[600:]


def test_samples_that_are_real_are_as_good(real):
  report = sample_report(*real)
  assert report.num_compared == 300
  for name, row in report.distances.items():
    if name.startswith('mmd'):
      assert abs(row['samples']) < 6.0 * row['noise'], name
      assert abs(row['real']) < 6.0 * row['noise'], name
    elif name == 'spectrum':  # of few images at the longest waves
      assert row['samples'] < 0.2 and row['real'] < 0.2
    else:
      assert 0.4 < row['samples'] / row['real'] < 2.5, name
  for row in report.blocks.values():
    assert row['samples'] == pytest.approx(1.0, abs=0.05)
    assert row['real'] == pytest.approx(1.0, abs=0.05)
  assert report.nearest_ratio == pytest.approx(1.0, abs=0.1)
  assert report.nearest_close < 0.06
  assert report.agreement is report.accuracy_of_real is None


def test_each_number_does_not_depend_on_the_scale(real):
  report, other = (
      sample_report(*(scale * x + shift for x in real), seed=3)
      for scale, shift in ((1.0, 0.0), (256.0, 128.0))
  )
  for name, row in report.distances.items():
    for kind, value in row.items():
      assert other.distances[name][kind] == pytest.approx(
          value, rel=1e-6, abs=1e-9
      ), name
  assert other.blocks.keys() == report.blocks.keys()
  np.testing.assert_allclose(other.nearest_distances, report.nearest_distances)


# What is wrong with samples, and which distances see it most.
SPOILT = {
    'noise': (
        lambda x, rng: x + 0.05 * rng.normal(size=x.shape),
        ['sliced_wasserstein_patches_1', 'mmd_patches_1', 'spectrum'],
    ),
    'mean': (
        lambda x, rng: x + 0.1,
        ['mmd_pixels', 'value_variation', 'value_wasserstein'],
    ),
    'pixels in disorder': (
        lambda x, rng: rng.permuted(x, axis=1),
        ['sliced_wasserstein_patches_1', 'mmd_patches_1', 'spectrum'],
    ),
    'one image': (
        lambda x, rng: np.repeat(x[:1], len(x), axis=0),
        ['sliced_wasserstein_pixels', 'mmd_pixels'],
    ),
}


@pytest.mark.parametrize('fault', SPOILT)
def test_samples_that_are_not_real_are_seen(real, rng, fault):
  spoil, names = SPOILT[fault]
  report = sample_report(spoil(real[0], rng), real[1], real[2])
  for name in names:
    row = report.distances[name]
    assert row['samples'] > 3.0 * max(row['real'], row.get('noise', 0.0)), name


def test_wasserstein_is_that_of_scipy(rng):
  x, y = rng.normal(size=[50, 3]), rng.exponential(size=[50, 3])
  want = [stats.wasserstein_distance(x[:, k], y[:, k]) for k in range(3)]
  np.testing.assert_allclose(sample_distances.wasserstein(x, y), want)


def test_sliced_wasserstein_of_a_shift():
  """It is the shift's mean projection, `|a| E|w_1|`."""
  rng = np.random.default_rng(1)
  x = rng.normal(size=[80, 4, 4, 1])
  moved = np.concatenate([x[:40], x[:40]])
  report = sample_report(moved + 2.0, moved, max_images=40)
  # A shift along one direction `a / |a|`; D = 16, in units of the deviation.
  size = 2.0 * 4.0 / moved.std()
  w = rng.normal(size=[100_000, 16])
  w /= np.linalg.norm(w, axis=1, keepdims=True)
  want = size * np.mean(np.abs(w[:, 0]))
  found = report.distances['sliced_wasserstein_pixels']['samples']
  assert found == pytest.approx(want, rel=0.25)


def unbiased_mmd(x, y, gamma):
  kxx, kyy, kxy = (
      pairwise.rbf_kernel(*pair, gamma=gamma)
      for pair in ((x, x), (y, y), (x, y))
  )
  n, m = len(x), len(y)
  return (
      (kxx.sum() - np.trace(kxx)) / (n * (n - 1))
      + (kyy.sum() - np.trace(kyy)) / (m * (m - 1))
      - 2.0 * kxy.mean()
  )


def test_discrepancy_is_that_of_scikit_learn(rng):
  x, other, reference = rng.normal(size=[3, 40, 5])
  x = x + 0.3
  found = sample_distances.max_mean_discrepancy(
      x, other, reference, np.random.default_rng(2)
  )
  median = np.median(pairwise.euclidean_distances(other, reference))
  gamma = 0.5 / median**2
  assert found[0] == pytest.approx(unbiased_mmd(x, reference, gamma))
  assert found[1] == pytest.approx(unbiased_mmd(other, reference, gamma))
  # The same halvings again.
  both = np.concatenate([other, reference])
  first = np.zeros([80, 64])
  first[:40] = 1.0
  first = np.random.default_rng(2).permuted(first, axis=0) == 1.0
  halves = [unbiased_mmd(both[a], both[~a], gamma) for a in first.T]
  assert len(set(halves)) == 64
  assert found[2] == pytest.approx(np.std(halves))


@pytest.mark.parametrize('shape', [(6, 6), (5, 8), (8, 5)])
def test_spectrum_by_loops(rng, shape):
  x = rng.normal(size=[7, *shape, 2])
  y = 2.0 * np.cumsum(rng.normal(size=[7, *shape, 2]), axis=1)

  def spectrum(images):
    rings = {}
    for image in np.moveaxis(images, -1, 1).reshape([-1, *shape]):
      power = np.abs(np.fft.fft2(image)) ** 2
      for i in range(shape[0]):
        for j in range(shape[1]):
          f = np.hypot(
              min(i, shape[0] - i) / shape[0], min(j, shape[1] - j) / shape[1]
          )
          rings.setdefault(round(f * min(shape)), []).append(power[i, j])
    return np.array([np.mean(rings[f]) for f in range(1, max(rings) + 1)])

  want = np.sqrt(np.mean(np.log(spectrum(x) / spectrum(y)) ** 2))
  assert sample_distances.spectrum_distance(x, y) == pytest.approx(want)
  assert sample_distances.spectrum_distance(2 * x, x) == pytest.approx(
      np.log(4)
  )


def test_total_variation_by_loops(rng):
  x, y = rng.normal(size=[500, 2]), rng.uniform(-1, 2, size=[400, 2])
  low, high = y.min(), y.max()
  want = []
  for c in range(2):
    shares = np.zeros([2, 64])
    for row, values in zip(shares, (x, y), strict=True):
      for value in values[:, c]:
        place = int((value - low) / (high - low) * 64)
        row[min(max(place, 0), 63)] += 1 / len(values)
    want.append(np.abs(shares[0] - shares[1]).sum() / 2)
  np.testing.assert_allclose(
      sample_distances.total_variation(x, y), want, atol=1e-9
  )


def test_patches_are_whitened_pieces_of_the_images(rng):
  x = rng.normal(size=[360, 9, 8, 2])
  x = np.cumsum(x, axis=1)
  scales = dict(sample_patches.patch_sets([x + 3.0, x, x], rng))
  assert list(scales) == [1, 2]
  for samples, one, other in scales.values():
    # Where they are is the same in all sets, so means alone differ.
    np.testing.assert_allclose(one, other)
    np.testing.assert_allclose(
        samples - one, np.tile((samples - one)[:1], [len(one), 1]), atol=1e-8
    )
    np.testing.assert_allclose(
        np.cov(one.T, bias=True), np.eye(32), atol=1e-6
    )
    np.testing.assert_allclose(one.mean(axis=0), 0.0, atol=1e-8)
  # Of means of 2x2 only one patch fits across, and one down.
  assert len(scales[2][0]) == 360
  means = x[:, :8].reshape([360, 4, 2, 4, 2, 2]).mean(axis=(2, 4))
  patches = means.reshape([360, 32])
  # Whitened, distances are Mahalanobis distances.
  inverse = np.linalg.inv(np.cov(patches.T, bias=True))
  for i, j in ((0, 1), (2, 7)):
    d = patches[i] - patches[j]
    e = scales[2][1][i] - scales[2][1][j]
    assert e @ e == pytest.approx(d @ inverse @ d)
  # Ten patches a dimension are needed, or none is shown.
  assert list(dict(sample_patches.patch_sets([x[:319]] * 3, rng))) == [1]


def test_new_images_are_no_further_than_real_ones(rng):
  """Of the same distribution, whatever few there are."""
  for num in (32, 64):
    samples, real, train = (
        np.cumsum(rng.normal(size=[num, 16, 16, 3]), axis=1) for _ in range(3)
    )
    report = sample_report(samples, real, train)
    for name, row in report.distances.items():
      if name.startswith('sliced_wasserstein'):
        assert row['samples'] < 2.0 * row['real'], name


def test_chance_that_a_new_image_is_close(rng):
  counts = []
  for _ in range(60):
    samples, real, train = rng.normal(size=[3, 16, 4, 4, 1])
    report = sample_report(samples, real, train)
    counts.append(report.nearest_close)
  assert report.nearest_close_if_new == pytest.approx(1.15 / 17.0)
  assert np.mean(counts) == pytest.approx(1.15 / 17.0, abs=0.03)


@pytest.mark.parametrize('size', [2, 4, 8])
def test_planted_blocks_are_found(real, rng, size):
  x = np.array(real[0])
  height = len(x[0])
  if size == height:  # no border in it
    x, others = smooth(60, 1, 16), (smooth(60, 2, 16), smooth(60, 3, 16))
  else:
    others = real[1:]
  tiles = x.shape[1] // size
  steps = 0.2 * rng.normal(size=[len(x), tiles, 1, tiles, 1, 1])
  steps = np.broadcast_to(steps, [len(x), tiles, size, tiles, size, 1])
  blocky = x + steps.reshape(x.shape[:3] + (1,))
  report = sample_report(blocky, *others)
  found = {int(k): row['samples'] for k, row in report.blocks.items()}
  assert max(found, key=found.get) == size
  assert found[size] > 1.5
  assert report.blocks[str(size)]['real'] == pytest.approx(1.0, abs=0.1)


def test_steps_at_borders_by_loops(rng):
  x = rng.normal(size=[3, 7, 10, 2])
  for size in (2, 3, 8):
    across, inside = [], []
    for image in x:
      for plane in (image, image.transpose(1, 0, 2)):
        for i in range(1, len(plane)):
          steps = np.abs(plane[i] - plane[i - 1]).ravel()
          (inside if i % size else across).extend(steps)
    assert block_artefacts.border_contrast(x, size) == pytest.approx(
        np.mean(across) / np.mean(inside)
    )
  tile = np.ones([1, 8, 8, 1]) * (np.arange(8) // 4)[:, np.newaxis, np.newaxis]
  assert block_artefacts.border_contrast(tile, 4) == pytest.approx(1e6)
  assert block_artefacts.border_contrast(0 * tile, 4) == 1.0


def test_planted_copies_are_found(real, monkeypatch):
  monkeypatch.setattr(nearest_images, '_BATCH', 70)
  samples, held_out, train = (np.array(x) for x in real)
  samples[:200] = train[50:250] + 1e-4
  report = sample_report(samples, held_out, train)
  assert report.nearest_ratio < 0.01
  assert report.nearest_close > 0.6
  np.testing.assert_array_equal(
      report.nearest_indices[:200], np.arange(50, 250)
  )
  search = neighbors.NearestNeighbors(n_neighbors=1, algorithm='brute')
  search.fit(train.reshape([300, -1]))
  distances, index = search.kneighbors(samples.reshape([300, -1]))
  np.testing.assert_array_equal(report.nearest_indices, index[:, 0])
  np.testing.assert_allclose(
      report.nearest_distances * held_out.std() * np.sqrt(8 * 8 * 3),
      distances[:, 0],
      rtol=1e-6,
  )
  own, _ = search.kneighbors(held_out.reshape([300, -1]))
  assert report.nearest_ratio == pytest.approx(
      np.median(distances) / np.median(own), rel=1e-6
  )
