"""Whitenings of classes: against their definition, and on held-out vectors."""

import numpy as np
import pytest
from scipy import linalg
from scipy import stats

from tfp_flowopt.optimum import class_whitening

D = 6


def _classes(num, rng):
  """Two classes of other means and covariances."""
  roots = rng.normal(size=[2, D, D])
  labels = rng.integers(2, size=num)
  means = np.array([np.zeros(D), np.full(D, 3.0)])
  x = np.einsum('nij,nj->ni', roots[labels], rng.normal(size=[num, D]))
  return x + means[labels], labels, means, roots @ roots.transpose([0, 2, 1])


def _moments(x, labels, num_classes=2, examples=None):
  moments = class_whitening.ClassMoments(num_classes, x.shape[1])
  if examples is None:
    examples = np.arange(len(x))
  for rows in np.array_split(np.arange(len(x)), 3):
    moments.update(x[rows], labels[rows], examples[rows])
  return moments


def _log_prob(x, labels, maps, means):
  """By SciPy, with the covariances that the maps stand for."""
  total = 0.0
  for k in np.unique(labels):
    covariance = np.linalg.inv(maps[k].T @ maps[k])
    total += stats.multivariate_normal.logpdf(
        x[labels == k], means[k], covariance
    ).sum()
  return total / len(x)


def test_many_vectors_are_whitened_class_by_class():
  x, labels, means, covariances = _classes(60000, np.random.default_rng(0))
  maps, shifts = _moments(x, labels).maps()
  np.testing.assert_allclose(shifts, means, atol=0.05)
  for a, covariance in zip(maps, covariances, strict=True):
    np.testing.assert_allclose(a @ covariance @ a.T, np.eye(D), atol=0.15)


def test_few_vectors_share_what_they_have():
  # 20 of each class in 6 dimensions; the mean over several draws.
  gains = []
  for seed in range(5):
    rng = np.random.default_rng(seed)
    x, labels, *_ = _classes(1040, rng)
    train, test = slice(40), slice(40, None)
    maps, means = _moments(x[train], labels[train]).maps()
    own = np.stack([
        linalg.sqrtm(np.linalg.inv(np.cov(rows.T, bias=True)))
        for rows in (x[train][labels[train] == k] for k in (0, 1))
    ])
    gains.append(
        _log_prob(x[test], labels[test], maps, means)
        - _log_prob(x[test], labels[test], own, means)
    )
  assert np.mean(gains) > 0.05, gains


def test_classes_that_are_alike_have_one_map():
  rng = np.random.default_rng(1)
  x = rng.normal(size=[300, D]) @ rng.normal(size=[D, D])
  maps, means = _moments(x, rng.integers(2, size=300)).maps()
  np.testing.assert_allclose(maps[0], maps[1], atol=0.1 * np.abs(maps).max())
  np.testing.assert_allclose(means[0], means[1], atol=0.5 * x.std())


def test_other_noise_of_an_example_is_not_held_out_from_it():
  # Twenty vectors, each a hundred times: to tell them from two thousand, all
  # versions of one have to be on one side.
  rng = np.random.default_rng(2)
  x = rng.normal(size=[20, 30])
  x = np.tile(x, [100, 1]) + 1e-3 * rng.normal(size=[2000, 30])
  labels = np.zeros(2000, int)
  blind = _moments(x, labels, 1, rng.permutation(2000)).maps()[0][0]
  aware = _moments(x, labels, 1, np.tile(np.arange(20), 100)).maps()[0][0]
  test = rng.normal(size=[500, 30])
  mean = x.mean(axis=0)
  worse, better = (
      _log_prob(test, np.zeros(500, int), [a], [mean]) for a in (blind, aware)
  )
  assert better > worse + 100, (better, worse)


def test_a_class_without_vectors_has_the_common_map():
  x, labels, *_ = _classes(500, np.random.default_rng(3))
  maps, means = _moments(x, labels, num_classes=3).maps()
  within = np.mean([np.cov(x[labels == k].T) for k in (0, 1)], axis=0)
  np.testing.assert_allclose(
      maps[2] @ within @ maps[2].T, np.eye(D), atol=0.2
  )
  np.testing.assert_allclose(means[2], x.mean(axis=0), rtol=1e-9)


def test_constant_columns_are_finite_and_equal_vectors_left_alone():
  x, labels, *_ = _classes(100, np.random.default_rng(4))
  x[:, 2] = 7.0
  maps, _ = _moments(x, labels).maps()
  assert np.isfinite(maps).all()
  for value in (1.0, 0.1):
    maps, means = _moments(np.full([10, 3], value), np.zeros(10, int)).maps()
    np.testing.assert_allclose(maps[0], np.eye(3))
    np.testing.assert_allclose(means[0], np.zeros(3))


def test_means_are_drawn_to_each_other_as_they_vary():
  """By their own variances: those of normal means, and of none."""
  rng = np.random.default_rng(5)
  counts, labels = 4, np.repeat(np.arange(200), 4)
  for deviation in (0.0, 0.5, 3.0):
    centres = deviation * rng.normal(size=[200, D])
    x = centres[labels] + rng.normal(size=[800, D])
    _, means = _moments(x, labels, 200).maps()
    own = np.stack([x[labels == k].mean(axis=0) for k in range(200)])
    # The best for normal means: n / (n + variance within / between).
    share = counts / (counts + 1.0 / max(deviation**2, 1e-9))
    expected = x.mean(axis=0) + share * (own - x.mean(axis=0))
    np.testing.assert_allclose(means, expected, atol=0.25)
    errors = [np.mean((m - centres) ** 2) for m in (means, own)]
    assert errors[0] < errors[1] * (0.2 + deviation**2 / (deviation**2 + 0.2))


@pytest.mark.parametrize('seed', range(6))
def test_classes_of_one_vector_each_but_one(seed):
  """One pair says next to nothing of a variance."""
  rng = np.random.default_rng(seed)
  x, labels = 0.1 * rng.normal(size=[5, 30]), np.array([0, 1, 2, 3, 3])
  maps, means = _moments(x, labels, 5).maps()
  np.testing.assert_allclose(means, np.tile(x.mean(axis=0), [5, 1]))
  test = 0.1 * rng.normal(size=[100, 30])
  assert _log_prob(test, np.zeros(100, int), maps, means) > -200.0
