"""The simulator of `simulator_posterior.py`, and its exact posterior."""

import math

import numpy as np

__all__ = ['exact_posterior', 'simulate']


def _noise(rng, num):
  """Points of a crescent, `[num, 2]`."""
  angle = rng.uniform(-0.5 * math.pi, 0.5 * math.pi, num)
  radius = rng.normal(0.1, 0.01, num)
  return np.stack(
      [radius * np.cos(angle) + 0.25, radius * np.sin(angle)], axis=1
  )


def simulate(theta, rng):
  """Observations `[N, 2]` of parameters `[N, 2]`."""
  total, difference = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
  mean = np.stack([-np.abs(total), difference], axis=1) / math.sqrt(2.0)
  return mean + _noise(rng, len(theta))


def exact_posterior(x, num, rng):
  """Draws `[num, 2]` of the posterior of one observation `[2]`."""
  draws = np.zeros([0, 2])
  while len(draws) < num:
    first, second = (np.asarray(x) - _noise(rng, num)).T * math.sqrt(2.0)
    # The crescents of both signs are as likely.
    total = np.where(rng.random(num) < 0.5, -1.0, 1.0) * np.abs(first)
    theta = 0.5 * np.stack([total - second, total + second], axis=1)
    inside = np.all(np.abs(theta) < 1.0, axis=1) & (first <= 0.0)
    draws = np.concatenate([draws, theta[inside]])
  return draws[:num]
