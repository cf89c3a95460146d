"""The simulators of sbibm (Lueckmann et al. 2021), in NumPy.

Each has the prior, the simulator and the constants of the package's module of
the same name.
"""

from collections.abc import Callable
import math
from typing import NamedTuple

import numpy as np
from scipy import special

__all__ = ['SIMULATORS', 'Simulator']


class Simulator(NamedTuple):
  """A joint distribution of parameters and data.

  Attributes:
    prior: Function of a number and a `np.random.Generator` that draws
      parameters `[N, D]`.
    simulate: Function of parameters `[N, D]` and a generator that draws data
      `[N, F]`.
    support: `('box', low, high)`, `('positive',)` or `()`: where the prior is.
  """

  prior: Callable
  simulate: Callable
  support: tuple = ()


def _box(size, bound, simulate):
  return Simulator(
      lambda num, rng: rng.uniform(-bound, bound, [num, size]),
      simulate,
      ('box', -bound, bound),
  )


def _two_moons(theta, rng):
  angle = rng.uniform(-0.5 * math.pi, 0.5 * math.pi, len(theta))
  radius = rng.normal(0.1, 0.01, len(theta))
  total, difference = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
  return np.stack(
      [
          radius * np.cos(angle) + 0.25 - np.abs(total) / math.sqrt(2.0),
          radius * np.sin(angle) + difference / math.sqrt(2.0),
      ],
      axis=1,
  )


def _gaussian_linear(theta, rng):
  return rng.normal(theta, math.sqrt(0.1))


def _gaussian_mixture(theta, rng):
  return rng.normal(theta, np.where(rng.random([len(theta), 1]) < 0.5, 1, 0.1))


def _slcp(theta, rng):
  """Four points of a normal distribution."""
  first, second = theta[:, 2:3] ** 2, theta[:, 3:4] ** 2
  rho, eps = np.tanh(theta[:, 4:5]), 1e-6
  # The Cholesky factor of the covariance, which has `eps` on its diagonal.
  left = np.sqrt(first**2 + eps)
  below = rho * first * second / left
  right = np.sqrt(second**2 + eps - below**2)
  noise = rng.normal(size=[2, len(theta), 4])
  points = [
      theta[:, :1] + left * noise[0],
      theta[:, 1:2] + below * noise[0] + right * noise[1],
  ]
  return np.stack(points, axis=-1).reshape([len(theta), 8])


def _design():
  """The stimulus at each time and up to eight before, and ones."""
  stimulus = np.random.RandomState(42).randn(100)
  columns = [np.ones(100)]
  columns += [np.concatenate([np.zeros(j), stimulus])[:100] for j in range(9)]
  return np.stack(columns, axis=1)


def _bernoulli_prior(num, rng):
  size = 9
  differences = np.eye(size) - np.eye(size, k=-1)
  smooth = differences @ differences + np.diag(np.sqrt(np.arange(size) / size))
  precision = np.zeros([size + 1, size + 1])
  precision[0, 0], precision[1:, 1:] = 0.5, smooth.T @ smooth
  factor = np.linalg.cholesky(precision)
  return np.linalg.solve(factor.T, rng.normal(size=[size + 1, num])).T


def _bernoulli_glm(theta, rng):
  """The number of spikes, and their sums with the stimulus."""
  design = _design()
  spikes = rng.random([len(theta), 100]) < special.expit(theta @ design.T)
  return spikes @ design


def _runge_kutta(slope, state, num, step):
  """States after each of `num` steps of fourth order, and the first one."""
  yield state
  for _ in range(num):
    a = slope(state)
    b = slope(state + 0.5 * step * a)
    c = slope(state + 0.5 * step * b)
    d = slope(state + step * c)
    state = state + step / 6.0 * (a + 2.0 * b + 2.0 * c + d)
    yield state


def _sir(theta, rng):
  """The infected of a thousand, each 17 days."""
  total, per_day = 1e6, 5
  infect, recover = theta.T

  def slope(state):
    susceptible, log_infected = state
    rate = infect * susceptible / total
    return np.stack([-rate * np.exp(log_infected), rate - recover])

  start = np.stack([np.full(len(theta), total - 1), np.zeros(len(theta))])
  states = _runge_kutta(slope, start, 160 * per_day, 1.0 / per_day)
  infected = [
      np.exp(state[1]) for i, state in enumerate(states)
      if i % (17 * per_day) == 0
  ]
  probability = np.clip(np.stack(infected, axis=1) / total, 0.0, 1.0)
  return rng.binomial(1000, probability).astype(np.float64)


def _lotka_volterra(theta, rng):
  """Prey and predators, each 2.1 units of time, with noise."""
  grow, eaten, die, eat = theta.T
  steps = 105

  def slope(state):
    prey, predators = np.exp(state)
    return np.stack([grow - eaten * predators, eat * prey - die])

  start = np.repeat(np.log([[30.0], [1.0]]), len(theta), axis=1)
  states = _runge_kutta(slope, start, 9 * steps, 2.1 / steps)
  logs = np.stack([s for i, s in enumerate(states) if i % steps == 0], axis=-1)
  logs = np.clip(logs, math.log(1e-10), math.log(1e4))
  logs = logs.transpose([1, 0, 2]).reshape([len(theta), 20])
  return np.exp(rng.normal(logs, 0.1))


def _log_normal(loc, scale, simulate):
  return Simulator(
      lambda num, rng: np.exp(rng.normal(loc, scale, [num, len(loc)])),
      simulate,
      ('positive',),
  )


SIMULATORS = {
    'two_moons': _box(2, 1.0, _two_moons),
    'gaussian_linear': Simulator(
        lambda num, rng: rng.normal(0.0, math.sqrt(0.1), [num, 10]),
        _gaussian_linear,
    ),
    'gaussian_linear_uniform': _box(10, 1.0, _gaussian_linear),
    'gaussian_mixture': _box(2, 10.0, _gaussian_mixture),
    'slcp': _box(5, 3.0, _slcp),
    'bernoulli_glm': Simulator(_bernoulli_prior, _bernoulli_glm),
    'sir': _log_normal([math.log(0.4), math.log(0.125)], [0.5, 0.2], _sir),
    'lotka_volterra': _log_normal(
        [-0.125, -3.0, -0.125, -3.0], 0.5, _lotka_volterra
    ),
}
