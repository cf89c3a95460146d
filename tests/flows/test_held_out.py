"""Starts from few vectors: what held-out ones say of dependences."""

import numpy as np
import pytest
from scipy import stats
from sklearn import covariance
from sklearn import linear_model

import tfp_flowopt as fo
from tfp_flowopt.flows import held_out

SIZE = 10
ROOT = np.random.default_rng(3).normal(size=[SIZE, SIZE])


def started(x, c=None, conditioning=None, **kwargs):
  """A linear flow at its start, checked against its prediction."""
  x = x.astype(np.float32)
  if c is not None and conditioning is None:
    conditioning, c = [c.shape[1]], c.astype(np.float32)
  distribution = fo.vector_flow(
      x.shape[1], num_steps=0, conditioning=conditioning, **kwargs
  )
  predicted = fo.initialize_at_optimum(distribution, x, conditioning=c)
  assert log_prob(distribution, x, c) == pytest.approx(predicted, abs=2e-3)
  return distribution


def log_prob(distribution, x, c=None):
  kwargs = {} if c is None else {'conditioning': c}
  return np.mean(distribution.log_prob(
      x.astype(np.float32), bijector_kwargs=kwargs
  ))


def folds_of(y, features):
  table = np.concatenate([y, features], axis=1)
  return [
      held_out.Fold(rows, y, features, 0.0)
      for rows in held_out.held_out_rows(table)
  ]


@pytest.mark.parametrize('num', [8, 12, 20, 60])
def test_few_normal_vectors(num):
  """As good as a shrunk covariance, where one that is not is useless."""
  ours, others, truth = [], [], []
  for seed in range(6):
    rng = np.random.default_rng(seed)
    x, test = (rng.normal(size=[n, SIZE]) @ ROOT for n in (num, 1000))
    ours.append(log_prob(started(x), test))
    scale = x.std(axis=0)
    shrunk = covariance.LedoitWolf().fit(x / scale)
    others.append(shrunk.score(test / scale) - np.log(scale).sum())
    truth.append(
        stats.multivariate_normal.logpdf(
            test, np.zeros(SIZE), ROOT.T @ ROOT
        ).mean()
    )
  assert np.mean(ours) > np.mean(others) - 0.1
  assert num < 20 or np.mean(ours) > np.mean(truth) - 5.0


@pytest.mark.parametrize('num_features', [40, 80])
@pytest.mark.parametrize('unit', [1e-5, 1.0, 1e6])
def test_features_that_say_nothing(num_features, unit, rng):
  x, c = rng.normal(size=[1060, 3]), rng.normal(size=[1060, num_features])
  distribution = started(x[:60], unit * c[:60])
  test = slice(60, None)
  without = log_prob(started(x[:60]), x[test])
  got = log_prob(distribution, x[test], (unit * c[test]).astype(np.float32))
  assert got > without - 0.1


def test_many_features_that_say_something(rng):
  c = rng.normal(size=[1060, 40])
  signal = c @ rng.normal(size=[40, 3]) * 0.3
  x = signal + rng.normal(size=[1060, 3])
  distribution = started(x[:60], c[:60])
  test = slice(60, None)
  got = log_prob(distribution, x[test], c[test].astype(np.float32))
  assert got > log_prob(started(x[:60]), x[test]) + 0.1


@pytest.mark.parametrize('scale', [0.0, 2.0])
def test_many_small_classes(scale, rng):
  """A hundred of ten vectors each; by the means of each, 0.5 nats are lost."""
  labels = rng.permutation(np.arange(3000) % 100)
  x = scale * rng.normal(size=[100, 5])[labels] + rng.normal(size=[3000, 5])
  got = log_prob(
      started(x[:1000], labels[:1000], 100), x[1000:], labels[1000:]
  )
  without = log_prob(started(x[:1000]), x[1000:])
  assert got > without - 0.1 + (1.0 if scale else 0.0)


def test_it_is_ridge_regression(rng):
  features = np.exp(rng.normal(size=[50, 7])) * 10.0 ** np.arange(-3, 4)
  y, weights = rng.normal(size=[50, 3]), rng.uniform(0.2, 2.0, 50)
  for ridge in (0.0, 0.3, 10.0, np.inf):
    found = held_out.Shrinkage(ridge, 0.0, weights, np.ones(50), 0.0)
    matrix, intercept = found.regression(y, features)
    mean = np.average(features, axis=0, weights=weights)
    scale = np.average((features - mean) ** 2, axis=0, weights=weights) ** 0.5
    expected = linear_model.Ridge(min(ridge, 1e15) * weights.sum()).fit(
        (features - mean) / scale, y, sample_weight=weights
    )
    np.testing.assert_allclose(
        matrix, expected.coef_ / scale, rtol=1e-6, atol=1e-10
    )
    np.testing.assert_allclose(
        intercept, expected.intercept_ - matrix @ mean, rtol=1e-6, atol=1e-8
    )


def test_the_covariance_is_drawn_to_its_diagonal():
  found = held_out.Shrinkage(0.0, 0.25, np.ones(3), np.ones(3), 0.0)
  np.testing.assert_allclose(
      found.covariance(np.array([[4.0, 2.0], [2.0, 9.0]])),
      [[4.0, 1.5], [1.5, 9.0]],
  )


def test_it_is_the_best_of_held_out_vectors(rng):
  """Each by scikit-learn's regression and SciPy's density of the others."""
  num, size = 40, 4
  features = rng.normal(size=[num, 12])
  y = rng.normal(size=[num, size]) @ rng.normal(size=[size, size])
  y += 0.5 * features[:, :size]
  folds = folds_of(y, features)
  found = held_out.shrinkage(folds)

  def expected(ridge, share):
    values = np.zeros(num)
    for rows in (fold.held_out for fold in folds):
      mean, scale = features[~rows].mean(axis=0), features[~rows].std(axis=0)
      model = linear_model.Ridge(min(ridge, 1e12) * np.sum(~rows)).fit(
          (features[~rows] - mean) / scale, y[~rows]
      )
      predicted = model.predict((features - mean) / scale)
      matrix = np.cov((y - predicted)[~rows].T, bias=True)
      matrix = (1 - share) * matrix + share * np.diag(np.diag(matrix))
      values[rows] = stats.multivariate_normal.logpdf(
          (y - predicted)[rows], cov=matrix
      )
    return values.mean()

  assert found.log_likelihood == pytest.approx(
      expected(found.ridge, found.share), abs=1e-8
  )
  assert 0.0 < found.ridge < np.inf and 0.0 < found.share < 1.0
  for ridge, share in ((0.0, 0.0), (0.0, 1.0), (np.inf, 0.0), (1.0, 0.1)):
    assert found.log_likelihood >= expected(ridge, share) - 1e-9


def test_each_vector_is_held_out_once_and_with_its_copies(rng):
  y = rng.normal(size=[30, 3])[rng.integers(30, size=90)]
  folds = held_out.held_out_rows(y)
  assert len(folds) == 5
  np.testing.assert_array_equal(np.sum(folds, axis=0), 1)
  for rows in folds:
    assert not {*map(tuple, y[rows])} & {*map(tuple, y[~rows])}


def test_large_tables_have_the_optimum(rng):
  x = rng.normal(size=[100 * 3, 3]) @ rng.normal(size=[3, 3])
  distribution = started(x, gaussianize_marginals=False)
  best = float(fo.likelihood_optimum(x).log_likelihood)
  assert log_prob(distribution, x) == pytest.approx(best, abs=1e-3)
  with pytest.warns(UserWarning, match='has 3 vectors, of which too few'):
    started(x[:3])


def test_columns_that_hardly_vary_in_a_fold(rng):
  """One row, or a constant; all is finite, and others have a likelihood."""
  x = rng.normal(size=[40, 4])
  x[:, 2], x[:, 3] = 0.0, 7.0
  x[5, 2] = 1.0
  distribution = started(x)
  assert np.all(np.isfinite(distribution.sample(100, seed=[0, 1])))
  others = np.concatenate([rng.normal(size=[100, 2]), x[:1, 2:].repeat(100, 0)],
                          axis=1)
  assert log_prob(distribution, others) > log_prob(distribution, x) - 1.0


@pytest.mark.parametrize('noise', [0.1, 0.01, 1e-3])
def test_conditions_that_say_nearly_all(noise, rng):
  """What is left is small beside what was, and not in one fold alone."""
  c = rng.normal(size=[1060, 1])
  x = c + noise * rng.normal(size=[1060, 1])
  got = log_prob(started(x[:60], c[:60]), x[60:], c[60:].astype(np.float32))
  model = linear_model.LinearRegression().fit(c[:60], x[:60])
  error = np.std(x[:60] - model.predict(c[:60]))
  expected = stats.norm.logpdf(x[60:], model.predict(c[60:]), error).mean()
  assert got > expected - 0.15


def test_near_copies_are_in_one_fold(rng):
  y = np.repeat(rng.normal(size=[40, 3]), 4, axis=0)
  y += 1e-5 * rng.normal(size=y.shape)
  y[0] = 1e6  # is no measure of what is near
  split = sum(
      len(set(rows.reshape([40, 4])[k])) > 1
      for rows in held_out.held_out_rows(y)
      for k in range(1, 40)
  )
  assert split <= 4


def test_heavy_tails_of_few(rng):
  def draws(num):
    x = rng.normal(size=[num, SIZE]) / rng.chisquare(3, [num, 1]) ** 0.5
    return x @ ROOT

  x, test = draws(30), draws(2000)
  with_curve = log_prob(started(x), test)
  assert with_curve > log_prob(
      started(x, gaussianize_radius=False), test
  ) + 1.0


@pytest.mark.parametrize(
    ('bounds', 'num'), [((1.0, 4.0), 250), ((0.5, 2.0), 250), ((0.2, 1.0), 30)]
)
def test_folds_are_scored_within_bounds(bounds, num, rng):
  """Curves make up for what no scale can reach."""
  x = rng.normal(size=[num + 1000, 3]) * [0.1, 1.0, 10.0]
  x = x.astype(np.float32)
  values = []
  for curves in (None, True):
    distribution = fo.vector_flow(3, gaussianize_marginals=curves)
    fo.initialize_at_optimum(distribution, x[:num], lipschitz=bounds)
    values.append(log_prob(distribution, x[num:]))
  entropy = 1.5 * np.log(2.0 * np.pi * np.e)
  assert values[0] > max(values[1], -entropy - 0.6) - 0.1


@pytest.mark.parametrize(
    ('offset', 'collinear'), [(0.0, 1.0), (1e5, 1.0), (0.0, 1e-4)]
)
def test_folds_are_scored_within_limits_of_rounding(offset, collinear, rng):
  x = rng.normal(size=[1250, 3]) + offset
  x[:, 2] = x[:, 0] + collinear * rng.normal(size=1250)
  x = x.astype(np.float32)
  distribution = fo.vector_flow(3, num_steps=0)
  predicted = fo.initialize_at_optimum(distribution, x[:250])
  assert log_prob(distribution, x[250:]) > predicted - 0.2
  if not offset:
    limited = -np.log(2.0 * np.pi * np.e) * 1.5 - np.log(collinear)
    assert predicted > min(limited - 0.2, 4.5)


def test_few_vectors_of_many_dimensions(rng):
  """Directions without a variance are one: the same as all of them."""
  y = rng.normal(size=[30, 40]) @ rng.normal(size=[40, 40])
  features = np.zeros([30, 0])
  few = held_out.shrinkage(folds_of(y, features))
  found = few.share

  def expected(share):
    values = np.zeros(30)
    for fold in folds_of(y, features):
      rows = fold.held_out
      matrix = np.cov(y[~rows].T, bias=True)
      matrix = (1 - share) * matrix + share * np.diag(np.diag(matrix))
      values[rows] = stats.multivariate_normal.logpdf(
          y[rows], y[~rows].mean(axis=0), matrix
      )
    return values.mean()

  assert 0.0 < found < 1.0
  assert few.log_likelihood == pytest.approx(expected(found), abs=1e-6)
