"""The simulators of sbibm, its distance of samples, and its files."""

import bz2
import math
import zipfile

from harness import posteriors
from harness import simulators
from measures import sbibm
import numpy as np
import pytest
from report import vector_tables
from scipy import integrate
from scipy import stats


class _NoNoise:
  """A generator whose draws are means (of logs, for `normal`)."""

  def binomial(self, n, p):
    return n * p

  def normal(self, loc, scale):
    del scale
    return loc


def _draws(name, theta, num=200000):
  simulate = simulators.SIMULATORS[name].simulate
  rng = np.random.default_rng(0)
  return simulate(np.tile(np.asarray(theta), [num, 1]), rng)


def test_priors():
  rng = np.random.default_rng(1)
  for name, size in (('two_moons', 2), ('gaussian_linear_uniform', 10),
                     ('gaussian_mixture', 2), ('slcp', 5)):
    simulator = simulators.SIMULATORS[name]
    theta = simulator.prior(20000, rng)
    _, low, high = simulator.support
    assert theta.shape == (20000, size)
    test = stats.kstest(
        theta.ravel(), stats.uniform(low, high - low).cdf
    )
    assert test.pvalue > 1e-4
  theta = simulators.SIMULATORS['sir'].prior(20000, rng)
  np.testing.assert_allclose(np.median(theta, axis=0), [0.4, 0.125], rtol=0.03)
  np.testing.assert_allclose(np.log(theta).std(axis=0), [0.5, 0.2], rtol=0.03)


def test_points_of_two_moons_are_on_a_crescent():
  x = _draws('two_moons', [0.3, -0.5])
  x = x - [-abs(0.3 - 0.5) / math.sqrt(2), (-0.5 - 0.3) / math.sqrt(2)]
  x = x - [0.25, 0.0]
  radius = np.linalg.norm(x, axis=1)
  assert np.all(x[:, 0] > -1e-12)
  assert stats.kstest(radius, stats.norm(0.1, 0.01).cdf).pvalue > 1e-4
  angle = np.arctan2(x[:, 1], x[:, 0])
  half_turn = stats.uniform(-math.pi / 2, math.pi)
  assert stats.kstest(angle, half_turn.cdf).pvalue > 1e-4


def test_gaussians():
  theta = np.linspace(-0.5, 0.4, 10)
  for name in ('gaussian_linear', 'gaussian_linear_uniform'):
    x = _draws(name, theta, 50000)
    np.testing.assert_allclose(x.mean(axis=0), theta, atol=0.01)
    np.testing.assert_allclose(np.cov(x.T), 0.1 * np.eye(10), atol=0.005)
  x = _draws('gaussian_mixture', [3.0, -2.0]) - [3.0, -2.0]
  # A scale is of both components of a point.
  np.testing.assert_allclose((x**2).mean(axis=0), 0.505, rtol=0.02)
  np.testing.assert_allclose(
      np.mean(np.prod(x**2, axis=1)), 0.5 * (1 + 1e-4), rtol=0.05
  )


def test_slcp_has_four_points_of_the_normal_distribution():
  theta = np.array([0.7, -1.5, -1.2, 1.6, 0.8])
  x = _draws('slcp', theta)
  np.testing.assert_allclose(
      x.mean(axis=0), np.tile(theta[:2], 4), atol=0.05
  )
  first, second, rho = 1.2**2, 1.6**2, math.tanh(0.8)
  one = [[first**2, rho * first * second], [rho * first * second, second**2]]
  np.testing.assert_allclose(
      np.cov(x.T), np.kron(np.eye(4), one), atol=0.1
  )


def test_bernoulli_glm():
  simulator = simulators.SIMULATORS['bernoulli_glm']
  theta = simulator.prior(200000, np.random.default_rng(2))
  # The energy of second differences and of a level that grows.
  f = np.zeros([9, 9])
  for i in range(9):
    f[i, i] += 1 + math.sqrt(i / 9)
    if i >= 1:
      f[i, i - 1] -= 2
    if i >= 2:
      f[i, i - 2] += 1
  covariance = np.cov(theta.T)
  assert covariance[0, 0] == pytest.approx(2.0, rel=0.02)
  product = f @ covariance[1:, 1:] @ f.T
  np.testing.assert_allclose(product, np.eye(9), atol=0.05)
  theta = theta[0]
  stimulus = np.random.RandomState(42).randn(100)
  drive = theta[0] + np.convolve(stimulus, theta[1:])[:100]
  probability = 1 / (1 + np.exp(-drive))
  expected = [probability.sum()]
  expected += [probability[j:] @ stimulus[: 100 - j] for j in range(9)]
  x = _draws('bernoulli_glm', theta, 20000)
  np.testing.assert_allclose(x.mean(axis=0), expected, atol=0.2)


@pytest.mark.parametrize('name', ['sir', 'lotka_volterra'])
def test_equations_are_solved_as_scipy_does(name):
  simulator = simulators.SIMULATORS[name]
  theta = simulator.prior(5, np.random.default_rng(3))
  found = simulator.simulate(theta, _NoNoise())
  for (a, b, *rest), row in zip(theta, found, strict=True):
    if name == 'sir':
      times = np.arange(10) * 17.0
      solution = integrate.solve_ivp(
          lambda _, u, a=a, b=b: [
              -a * u[0] * u[1] / 1e6, a * u[0] * u[1] / 1e6 - b * u[1]
          ],
          (0, 160), [1e6 - 1, 1], t_eval=times, rtol=1e-9, atol=1e-9,
      )
      np.testing.assert_allclose(row, solution.y[1] / 1e3, atol=1e-3)
    else:
      c, d = rest
      solution = integrate.solve_ivp(
          lambda _, u, a=a, b=b, c=c, d=d: [
              a * u[0] - b * u[0] * u[1], -c * u[1] + d * u[0] * u[1]
          ],
          (0, 20), [30, 1], t_eval=np.arange(10) * 2.1, rtol=1e-10, atol=1e-12,
      )
      np.testing.assert_allclose(row, solution.y.ravel(), rtol=2e-3)


def test_simulations_are_apart_and_within_the_support():
  parts = sbibm.simulations(simulators.SIMULATORS['slcp'], 500, seed=0)
  assert parts['train_x'].shape == (450, 5)
  assert parts['train_c'].shape == (450, 8)
  assert len(parts['validation_x']) == 50
  every = np.concatenate([v for k, v in parts.items() if k.endswith('_x')])
  assert len(np.unique(every, axis=0)) == len(every)
  every = every.astype(np.float32)
  assert -3 < every.min() and every.max() < 3


def test_c2st_finds_what_the_best_classifier_does():
  rng = np.random.default_rng(0)
  x, y = rng.normal(2.0, 3.0, [2, 400, 1]).astype(np.float32)
  assert posteriors.c2st(x, y) == pytest.approx(0.5, abs=0.06)
  y += 2.0 * 3.0
  best = stats.norm.cdf(1.0)
  assert posteriors.c2st(x, y) == pytest.approx(best, abs=0.06)


def test_references_are_read_out_of_the_wheel(tmp_path):
  expected = np.random.default_rng(0).normal(size=[10, 5, 2]).round(4)
  with zipfile.ZipFile(tmp_path / 'sbibm-1.1.0-any.whl', 'w') as wheel:
    for number, draws in enumerate(expected, 1):
      folder = f'sbibm/tasks/toy/files/num_observation_{number}'
      rows = ['a,b', *(f'{a},{b}' for a, b in draws)]
      wheel.writestr(f'{folder}/observation.csv', f'x,y,z\n{number},2.0,3.0\n')
      wheel.writestr(
          f'{folder}/reference_posterior_samples.csv.bz2',
          bz2.compress('\n'.join(rows).encode()),
      )
  observations, draws = posteriors.references(tmp_path, 'toy')
  np.testing.assert_array_equal(observations[:, 0], np.arange(1, 11))
  assert observations.shape == (10, 3)
  np.testing.assert_allclose(draws, expected, rtol=1e-6)


def test_the_table_prefers_what_was_compared():
  def record(arm, task, steps=4000, **values):
    return {
        'settings': {
            'simulations': 10000, 'task': task, 'arm': arm, 'train_steps': steps
        },
        'values': {'test': 1.0, 'cpu_seconds': 20.0, **values},
    }

  table = vector_tables.sbibm(lambda _: [
      record('ours', 'slcp', c2st=0.75, test=-4.0),
      record('ours', 'slcp', cpu_seconds=7.0),
      record('ours', 'slcp', steps=900, c2st=0.875, cpu_seconds=5.0),
      record('zuko NSF', 'slcp', steps=10000, test=-5.0),
      record('ours', 'gaussian_mixture', c2st=0.625),
  ])
  assert table.splitlines()[2:] == [
      '| `gaussian_mixture` | 10000 | 4000 | 0.625 |  | 1.00 |  | 20 |  |',
      '| `slcp` | 10000 | 900 | 0.875 | 0.901 | 1.00 | -5.00 | 5 | 20 |',
      '| `slcp` | 10000 | 4000 | 0.750 | 0.901 | -4.00 | -5.00 | 20 | 20 |',
  ]
