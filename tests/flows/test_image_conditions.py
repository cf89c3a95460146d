"""Starts of images from few of them, and given features of any units."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn import linear_model
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.flows import image_conditions
from tfp_flowopt.flows import image_storeys

SMALL = {'num_levels': 1, 'num_steps': 1, 'hidden_channels': 4}


def digits():
  """8-bit images of digits, with noise, and their labels, shuffled."""
  rng = np.random.default_rng(0)
  data = datasets.load_digits()
  x = 15 * data.images[..., np.newaxis]
  x = (x + rng.uniform(size=x.shape)) / 256.0 - 0.5
  order = rng.permutation(len(x))
  return x.astype(np.float32)[order], data.target[order]


X, LABELS = digits()
ONE_HOT = np.eye(10, dtype=np.float32)[LABELS]
TRAIN, TEST = slice(1400), slice(1400, None)


def started(x, c=None, conditioning=None, **kwargs):
  """A flow at its start, checked against its prediction."""
  flow = fo.image_flow(
      x.shape[1:], conditioning=conditioning, **{**SMALL, **kwargs}
  )
  predicted = fo.initialize_at_optimum(flow, x, conditioning=c)
  assert bits(flow, x, c) == pytest.approx(predicted, abs=1e-3)
  return flow


def bits(flow, x, c=None):
  given = {} if c is None else {'bijector_kwargs': {'conditioning': c}}
  log_prob = np.mean(flow.log_prob(x, **given), dtype=np.float64)
  return float(fo.bits_per_dim(log_prob, x[0].size))


@pytest.mark.parametrize('num', [50, 200])
def test_features_that_say_little(num, rng):
  """Ten of them are classes, the others noise: as many as images, or more."""
  features = rng.normal(size=[len(X), 128]).astype(np.float32)
  features[:, :10] = ONE_HOT
  flow = started(X[:num], features[:num], [128])
  got = bits(flow, X[TEST], features[TEST])
  assert got < bits(started(X[:num]), X[TEST]) + 0.02


def units(one_hot, labels, rng):
  yield 1e-6 * one_hot
  noise = 1e6 * rng.normal(size=[len(labels), 1])
  yield np.concatenate([one_hot, noise.astype(np.float32)], axis=1)
  yield (1e3 + labels[:, np.newaxis]).astype(np.float32)


def test_units_of_features_change_nothing(rng):
  expected = bits(started(X[TRAIN], ONE_HOT[TRAIN], [10]), X[TEST],
                  ONE_HOT[TEST])
  small, wide, years = units(ONE_HOT, LABELS, rng)
  for features in (small, wide):
    flow = started(X[TRAIN], features[TRAIN], [features.shape[1]])
    got = bits(flow, X[TEST], features[TEST])
    assert got == pytest.approx(expected, abs=3e-3)
  one = (LABELS - 4.5)[:, np.newaxis].astype(np.float32) / 3.0
  got, expected = (
      bits(started(X[TRAIN], c[TRAIN], [1]), X[TEST], c[TEST])
      for c in (years, one)
  )
  assert got == pytest.approx(expected, abs=1e-3)


def test_networks_see_features_of_unit_variance(rng):
  """Maps of features, too; and all that a flow is given goes through that."""
  maps = 1e4 + 300.0 * rng.normal(size=[200, 8, 8, 2]).astype(np.float32)
  flow = started(X[:200], maps, [8, 8, 2]).bijector
  seen = flow.conditioning_maps(maps).numpy()
  np.testing.assert_allclose(seen.mean(axis=(0, 1, 2)), 0.0, atol=1e-3)
  np.testing.assert_allclose(seen.std(axis=(0, 1, 2)), 1.0, atol=1e-3)
  vectors = 1e4 + 300.0 * rng.normal(size=[200, 3]).astype(np.float32)
  flow = started(X[:200], vectors, [3])
  seen = flow.bijector.conditioning_maps(vectors).numpy()
  np.testing.assert_allclose(seen.std(axis=(0, 1, 2)), 1.0, atol=1e-3)


def test_the_ridge_is_of_images_with_few_for_each_feature(rng):
  features = rng.normal(size=[60, 10]).astype(np.float32)
  x = X[:60] + (features @ rng.normal(size=[10, 64])).reshape([60, 8, 8, 1]) / (
      np.float32(500.0)
  )
  flow = started(x.astype(np.float32), features, [10]).bijector
  shift = flow.before_levels['shift'].bijector
  standard = np.squeeze(flow.conditioning_maps(features))
  examples = image_storeys.number_of(x, 8).numpy()
  ridge = image_conditions.best_ridge(
      x.reshape([60, 64]).astype(np.float64), standard, examples
  )
  assert 0.0 < ridge < np.inf
  model = linear_model.Ridge(ridge * 60).fit(standard, x.reshape([60, 64]))
  np.testing.assert_allclose(
      standard @ np.transpose(shift.matrix) + shift.shift,
      model.predict(standard),
      atol=1e-5,
  )


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_features_are_finite(bad):
  features = ONE_HOT[:100].copy()
  features[3, 2] = bad
  flow = fo.image_flow([8, 8, 1], conditioning=[10], **SMALL)
  with pytest.raises(ValueError, match='`conditioning` must be finite'):
    fo.initialize_at_optimum(flow, X[:100], conditioning=features)
  assert not flow.bijector.initialized


@pytest.mark.parametrize('levels', ['binary', 'multiples', 'permuted'])
def test_examples_are_told_apart(levels, rng):
  """Whatever their sums: a fifth of them is held out."""
  x = rng.integers(2, size=[2000, 8, 8, 1]) * 255
  if levels == 'multiples':
    x = 5 * rng.integers(51, size=x.shape)
  elif levels == 'permuted':
    x = rng.permuted(np.tile(x[:1].ravel(), [2000, 1]), axis=1)
    x = x.reshape([2000, 8, 8, 1])
  noisy = [
      tf.constant((x + rng.uniform(size=x.shape)) / 256.0 - 0.5, tf.float32)
      for _ in range(2)
  ]
  first, second = (image_storeys.number_of(values, 8) for values in noisy)
  np.testing.assert_array_equal(first, second)
  assert len(set(first.numpy())) > 1990
  assert np.mean(first.numpy() % 5 == 0) == pytest.approx(0.2, abs=0.04)
  assert np.min(first) >= 0


def test_binary_images_have_maps_of_classes():
  """All were held out, as 255 is a multiple of 5."""
  found = {}
  for white in (254, 255):
    x = (X > -0.05) * white
    noise = np.random.default_rng(1).uniform(size=x.shape)
    x = ((x + noise) / 256.0 - 0.5).astype(np.float32)
    flow = started(
        x[TRAIN], LABELS[TRAIN], 10, whitening='dense',
        gaussianize_marginals=True
    )
    found[white] = bits(flow, x[TEST], LABELS[TEST])
    matrices = flow.bijector.before_levels['whiten'].bijector.matrices
    assert np.ptp(matrices, axis=0).max() > 0.1
  assert found[255] == pytest.approx(found[254], abs=0.02)


@pytest.mark.parametrize('each', [1, 2])
@pytest.mark.parametrize('whitening', ['coarse', 'dense'])
def test_classes_of_one_image_or_two(each, whitening, rng):
  """No class is worse off than without any."""
  prototypes = rng.uniform(-0.3, 0.3, size=[100, 8, 8, 1])
  labels = np.tile(np.arange(100), each + 4)
  x = prototypes[labels] + 0.1 * rng.normal(size=[len(labels), 8, 8, 1])
  x = np.clip(x, -0.5, 0.499).astype(np.float32)
  train, test = slice(100 * each), slice(100 * each, None)
  kwargs = {'whitening': whitening, 'num_levels': 2}
  own = bits(
      started(x[train], labels[train], 100, **kwargs), x[test], labels[test]
  )
  assert own < bits(started(x[train], **kwargs), x[test]) + (
      0.02 if each == 1 else -0.1
  )


@pytest.mark.parametrize('num', [3, 10, 30])
def test_few_images_whitened_as_a_whole(num):
  """Values that happen to be constant in all of them are not stretched."""
  flow = started(X[:num], whitening='dense')
  assert bits(flow, X[TEST]) < bits(
      started(X[:num], whitening='pointwise'), X[TEST]
  ) + 1.5


@pytest.mark.parametrize('num', [1, 2, 200])
@pytest.mark.parametrize('curves', [False, True])
def test_predictions_from_one_image_or_copies(num, curves):
  """No scaling stretches rounding errors."""
  x = np.repeat(X[:1], num, axis=0) if num == 200 else X[:num]
  started(
      x, whitening='pointwise', num_levels=2, gaussianize_marginals=curves
  )
