"""Shares of the common covariance in those of classes, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from tfp_flowopt.optimum import class_shares

D = 4


def _log_prob(covariance, other):
  """Mean over vectors of covariance `other`, but for a constant."""
  return -0.5 * (
      np.linalg.slogdet(covariance)[1]
      + np.trace(np.linalg.solve(covariance, other))
  )


def _shares(counts, held_out, pairs):
  counts, held_out = np.array(counts), np.array(held_out)
  return class_shares.shares_of_common(counts, held_out, pairs)


def test_the_share_is_the_best_of_the_held_out():
  rng = np.random.default_rng(0)
  roots = rng.normal(size=[2, D, D])
  truth = roots @ roots.transpose([0, 2, 1]) + 0.2 * np.eye(D)
  own = [stats.wishart(12, c / 12).rvs(random_state=rng) for c in truth]
  shares = _shares([12, 12], [50, 50], zip(own, truth, strict=True))

  def value(s):
    return sum(
        _log_prob((1 - s) * c + s * np.eye(D), other)
        for c, other in zip(own, truth, strict=True)
    )

  assert shares[0] == shares[1] < 1.0
  others = np.linspace(0.02, 1.0, 99)
  assert value(shares[0]) >= max(map(value, others)) - 0.05


def test_small_classes_have_more_of_the_common_one():
  rng = np.random.default_rng(1)
  truth = np.diag([0.1, 0.5, 2.0, 3.0])
  own = [stats.wishart(n, truth / n).rvs(random_state=rng) for n in (1000, 20)]
  shares = _shares([1000, 20], [250, 5], [(c, truth) for c in own])
  assert 0.0 < shares[0] < shares[1] < 1.0


@pytest.mark.parametrize('held_out', [0, 3])
def test_classes_that_lose_keep_the_common_one(held_out):
  """One has too few vectors, or none held out; the other ones are many."""
  wide, flat = np.diag([0.01, 0.1, 1.0, 9.0]), np.diag([1.0, 0.0, 0.0, 0.0])
  shares = _shares(
      [5000, 6, 0], [1000, held_out, 0],
      [(wide, wide), (flat, np.eye(D)), (0 * flat, 0 * flat)],
  )
  assert shares[0] < 0.01
  np.testing.assert_array_equal(shares[1:], 1.0)


def test_no_class_is_singular():
  """However much it looks so in the held-out vectors, too."""
  flat = np.diag([1.0, 0.0, 0.0, 0.0])
  (share,) = _shares([50], [10], [(flat, flat)])
  assert 0.0 < share == pytest.approx(1.0 / 51.0)
