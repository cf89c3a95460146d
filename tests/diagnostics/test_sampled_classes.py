"""Samples of classes, samples that a flow draws, and the table of a report."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from sklearn import linear_model
from sklearn import svm
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd, tfb = tfp.distributions, tfp.bijectors
sample_report = fo.diagnostics.sample_report


def classes(num, rng, mixed_up=0.0):
  """Noisy stripes, down or across, of which some have another label."""
  labels = rng.integers(2, size=num)
  stripes = np.where(np.arange(8) % 2, 1.0, -1.0)[:, np.newaxis, np.newaxis]
  down = np.broadcast_to(stripes, [8, 8, 1])
  x = np.where(
      labels[:, np.newaxis, np.newaxis, np.newaxis],
      down,
      down.transpose(1, 0, 2),
  )
  other = rng.uniform(size=num) < mixed_up
  noise = rng.normal(size=x.shape)
  return x + noise, np.where(other, 1 - labels, labels)


@pytest.fixture
def three_sets(rng):
  return classes(150, rng, 0.3), classes(200, rng), classes(400, rng)


def report_of(samples, real, train, **kwargs):
  return sample_report(
      samples[0],
      real[0],
      train[0],
      labels=samples[1],
      real_labels=real[1],
      train_labels=train[1],
      **kwargs,
  )


def test_agreement_is_the_share_of_right_labels(three_sets):
  report = report_of(*three_sets)
  assert report.accuracy_of_real > 0.97
  assert report.agreement == pytest.approx(0.7, abs=0.12)
  assert 0.6 < report.accuracy_from_samples <= 1.0
  # Labels that mean nothing teach nothing.
  (x, _), real, train = three_sets
  labels = np.arange(len(x)) % 2
  report = report_of((x, labels), real, train)
  assert report.agreement == pytest.approx(0.5, abs=0.15)
  assert report.accuracy_from_samples < 0.9


def test_it_is_the_classifier_of_scikit_learn(three_sets):
  """As many samples as training images: all of each are fitted to."""
  samples, real, (x, labels) = three_sets
  train = x[:150], labels[:150]
  report = report_of(samples, real, train)
  one, other = (
      svm.SVC().fit(x.reshape([len(x), -1]), labels)
      for x, labels in (train, samples)
  )

  def score(classifier, x, labels):
    return classifier.score(x.reshape([len(x), -1]), labels)

  assert report.agreement == pytest.approx(score(one, *samples), abs=0.02)
  assert report.accuracy_of_real == pytest.approx(score(one, *real), abs=0.02)
  assert report.accuracy_from_samples == pytest.approx(
      score(other, *real), abs=0.02
  )


def test_classifiers_of_ones_own(three_sets):
  made = []

  def classifier_fn():
    made.append(linear_model.LogisticRegression())
    return made[-1]

  report = report_of(*three_sets, classifier_fn=classifier_fn)
  assert report.accuracy_of_real > 0.97
  assert len(made) == 2 and made[0] is not made[1]
  # Of as many images.
  first, second = (classifier.n_features_in_ for classifier in made)
  assert first == second == 64


def test_both_classifiers_see_as_many_images(three_sets):
  seen = []

  class Counting:

    def fit(self, x, y):
      seen.append((len(x), len(y), x.std()))

    def predict(self, x):
      return np.zeros(len(x), int)

  samples, real, train = three_sets
  report = report_of(samples, real, train, classifier_fn=Counting)
  assert [n[:2] for n in seen] == [(150, 150)] * 2
  assert all(std == pytest.approx(1.0, abs=0.1) for _, _, std in seen)
  assert report.agreement == np.mean(samples[1] == 0)
  assert report.accuracy_of_real == np.mean(real[1] == 0)


def test_the_extra_is_named(three_sets, monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(ImportError, match=r'tfp-flowopt\[report\]'):
    report_of(*three_sets)


def test_labels_that_are_missing_are_named(three_sets):
  (x, labels), (real, real_labels), (train, train_labels) = three_sets
  for given, missing in (
      ({'labels': labels}, 'real_labels'),
      ({'labels': labels, 'real_labels': real_labels}, 'train'),
      ({'train_labels': train_labels}, 'labels'),
      (
          {'labels': labels, 'real_labels': real_labels, 'train': train},
          'train_labels',
      ),
  ):
    with pytest.raises(ValueError, match=f'`{missing}` must'):
      sample_report(x, real, **given)
  with pytest.raises(ValueError, match='`labels` must be of two classes'):
    report_of((x, 0 * labels), (real, real_labels), (train, train_labels))


def test_samples_of_a_flow_are_its_own():
  """A flow that adds to a standard normal what makes it another."""
  rng = np.random.default_rng(0)
  base = tfd.Sample(tfd.Normal(np.float64(0.0), 1.0), [8, 8, 1])
  real = rng.normal(size=[250, 8, 8, 1])
  good, bad = (
      sample_report(
          tfd.TransformedDistribution(base, tfb.Shift(np.float64(shift))), real
      )
      for shift in (0.0, 1.0)
  )
  for name in ('value_wasserstein', 'sliced_wasserstein_pixels'):
    row = good.distances[name]
    assert row['samples'] < 2.0 * row['real'] + 0.04
    assert bad.distances[name]['samples'] > 3.0 * row['samples']
  # `W_1` of a normal and of one that is shifted by 1.
  found = bad.distances['value_wasserstein']['samples']
  assert found == pytest.approx(1.0, abs=0.05)


def test_a_flow_is_given_the_labels_of_real_images(monkeypatch):
  flow = fo.image_flow([4, 4, 1], 1, 1, 2, tile_sizes=(), conditioning=2)
  calls = []

  def sample(size, seed, bijector_kwargs):
    labels = bijector_kwargs['conditioning']
    calls.append(labels.shape)
    noise = tf.random.stateless_normal([size, 4, 4, 1], seed)
    signs = tf.cast(2 * labels - 1, tf.float32)
    return noise + signs[:, tf.newaxis, tf.newaxis, tf.newaxis]

  monkeypatch.setattr(flow, 'sample', sample)
  monkeypatch.setattr(
      fo.diagnostics.sample_report.__globals__['sample_arguments'],
      '_BATCH_NUMBERS',
      16 * 60,
  )
  rng = np.random.default_rng(0)

  def real(num):
    labels = rng.integers(2, size=num)
    x = rng.normal(size=[num, 4, 4, 1]).astype(np.float32)
    return x + (2.0 * labels - 1.0)[:, None, None, None].astype('f'), labels

  (x, labels), (train, train_labels) = real(130), real(130)
  report = sample_report(
      flow, x, train, real_labels=labels, train_labels=train_labels
  )
  assert report.agreement > 0.97 and report.accuracy_from_samples > 0.97
  assert len(report.nearest_indices) == 130
  assert set(map(tuple, calls)) == {(60,)}
  # Without labels of training images nothing is classified.
  report = sample_report(flow, x, train, real_labels=labels)
  assert report.agreement is None
  with pytest.raises(ValueError, match='`real_labels` must be given'):
    sample_report(flow, x)
  with pytest.raises(ValueError, match='`real_labels` must be labels from 0'):
    sample_report(flow, x, real_labels=labels + 100)
  with pytest.raises(ValueError, match='`labels` is for an array'):
    sample_report(flow, x, labels=labels, real_labels=labels)


def test_the_same_seed_gives_the_same_numbers(three_sets):
  first, second, other = (
      report_of(*three_sets, seed=seed) for seed in (0, 0, 1)
  )
  assert first == second
  assert first.distances != other.distances


def test_integers_beside_integers(rng):
  x = rng.integers(256, size=[40, 8, 8, 3]).astype(np.uint8)
  report = sample_report(x[:20], x[20:])
  assert report.num_compared == 10
  assert report == sample_report(x[:20].astype(int), x[20:].astype(int))
  with pytest.raises(ValueError, match='on the scale of `real`'):
    sample_report(x[:20] / 256.0, x[20:])


def test_small_images_of_one_value_have_finite_numbers():
  x = np.zeros([6, 4, 5, 1])
  report = sample_report(x, x, x)
  text = json.dumps(
      [report.distances, report.blocks, report.nearest_ratio], allow_nan=False
  )
  assert 'patches_1' in text and 'patches_2' not in text
  assert list(report.blocks) == ['2', '4']


def test_the_table_is_aligned_and_has_all_numbers(three_sets):
  report = report_of(*three_sets)
  lines = str(report).splitlines()
  assert all(len(line) < 80 for line in lines)
  assert lines[0].endswith('samples      real')
  width = len(lines[0])
  rows = [line for line in lines if line[:2] == '  '][:-1]
  for row in rows:
    assert row[:width] == row[:width].rstrip() and row[width:][:1] in ('', ' ')
    [float(number) for number in row[:width].split()[-2:]]
  assert len(rows) == len(report.distances) + len(report.blocks) + 4
  assert len(set(row[:45] for row in rows)) == len(rows)
  for value in (report.agreement, report.nearest_ratio):
    assert f'{value:.4f}' in str(report)
  short = dataclasses.replace(report, nearest_ratio=None, agreement=None)
  assert 'training image' not in str(short) and 'Share' not in str(short)


def test_too_few_images_to_tell_classes_are_named(rng):
  x, labels = rng.uniform(size=[20, 4, 4, 1]), np.arange(20) % 10
  train = x, np.append(np.zeros(17, int), [1, 2, 3])
  with pytest.raises(ValueError, match=r'3 images, .* are too few'):
    report_of((x[:3], [0, 1, 2]), (x, labels), train)
