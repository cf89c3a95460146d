"""The benchmark of flows of vectors."""

import pathlib

import numpy as np
import pytest
from scipy import stats


@pytest.fixture(name='vectors')
def _vectors(monkeypatch):
  monkeypatch.syspath_prepend(
      pathlib.Path(__file__).parents[2] / 'benchmarks'
  )
  from measures import vectors

  return vectors


def test_parts_are_apart_and_standardised(vectors):
  x = np.arange(200.0).reshape([100, 2])
  parts = vectors.split(x, x[:, :1], seed=0)
  sizes = [len(parts[f'{n}_x']) for n in ('train', 'validation', 'test')]
  assert sizes == [70, 15, 15]
  conditions = [parts[f'{n}_c'] for n in ('train', 'validation', 'test')]
  assert len(np.unique(np.concatenate(conditions))) == 100
  np.testing.assert_allclose(parts['train_x'].mean(axis=0), 0, atol=1e-12)
  np.testing.assert_allclose(parts['train_x'].std(axis=0), 1)


def test_the_gaussian_is_that_of_scipy(vectors, tmp_path):
  rng = np.random.default_rng(0)
  x = rng.normal(size=[300, 2]) @ rng.normal(size=[2, 2])
  path = tmp_path / 'data.npz'
  parts = vectors.split(x, None, seed=0)
  np.savez(path, **parts)
  values = vectors._gaussian(path)
  train = parts['train_x']
  expected = stats.multivariate_normal(
      train.mean(axis=0), np.cov(train.T, bias=True)
  ).logpdf(parts['test_x'])
  assert values['test'] == pytest.approx(np.mean(expected))


def test_kernels_are_chosen_by_validation(vectors, tmp_path):
  """Of the data and a condition: the density of one given the other."""
  rng = np.random.default_rng(0)
  c = rng.normal(size=[2000, 1])
  x = c + 0.5 * rng.normal(size=[2000, 1])
  path = tmp_path / 'data.npz'
  parts = vectors.split(x, c, seed=0)
  np.savez(path, **parts)
  values = vectors._kernels(path)
  scale = 0.5 / x.std()
  expected = stats.norm(scale=scale).entropy()
  assert -expected - 0.2 < values['test'] < -expected + 0.05


def test_a_copula_of_columns_that_are_not_normal(vectors, tmp_path):
  """Of two columns, and of one given the other: the truth, nearly."""
  rng = np.random.default_rng(0)
  z = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]], 20000)
  x = np.exp(0.5 * z) * [1.0, -1.0]
  values = {}
  for name, (own, c) in {
      'both': (x, None), 'given': (x[:, :1], x[:, 1:])
  }.items():
    path = tmp_path / f'{name}.npz'
    np.savez(path, **vectors.split(own, c, seed=0))
    values[name] = vectors._copula(path)['test']
  scales = np.log(x.std(axis=0))
  one = stats.norm(scale=0.5).entropy()  # E log x is 0
  joint = 2.0 * one + 0.5 * np.log(1.0 - 0.8**2)
  assert values['both'] == pytest.approx(scales.sum() - joint, abs=0.03)
  assert values['given'] == pytest.approx(scales[0] - joint + one, abs=0.02)


def test_the_shipped_flow_is_measured_in_the_same_units(vectors):
  rng = np.random.default_rng(0)
  x = 5.0 * rng.normal(size=[2000, 2]) + 3.0
  own = stats.norm(3.0, 5.0).logpdf(x).sum(axis=1)
  values = vectors._pzflow(x, own, seed=0)
  assert values['test'] == pytest.approx(
      -2.0 * stats.norm().entropy(), abs=0.1
  )


def test_rates_have_a_best_a_worst_and_failures(vectors):
  del vectors  # which lets `report` be imported
  from report import vector_tables

  def record(rate, test, finite=True):
    return {
        'settings': {'dataset': 'moons', 'arm': 'zuko NSF', 'rate': rate},
        'values': {'test': test, 'error': 0.25, 'finite': finite},
    }

  table = vector_tables.vector_rates(lambda _: [
      record(1e-3, -1.5),
      record(1e-2, -1.25),
      record(3e-2, -4.0, finite=False),
      record(1e-1, float('nan'), finite=False),
  ])
  assert table.splitlines()[-1] == (
      '| moons | zuko NSF | -1.25 ± 0.25 | 0.01 | -4.00 | 2 of 4 |'
  )
