"""The densities of the plane that flows are measured against."""

import math

from harness import plane
import numpy as np
import pytest
from scipy import stats

_CELLS, _EXTENT = 160, 5.5


@pytest.mark.parametrize('name', list(plane.TARGETS))
def test_densities_are_those_of_the_samples(name):
  """By the counts of cells of a coarse grid, and by the entropy."""
  target = plane.TARGETS[name]
  x = target.sample(20000, np.random.default_rng(0))
  side = 2.0 * _EXTENT / _CELLS
  axis = -_EXTENT + side * (np.arange(_CELLS) + 0.5)
  grid = np.stack(np.meshgrid(axis, axis, indexing='ij'), axis=-1)
  density = np.exp(target.log_prob(grid.reshape(-1, 2)))
  cells = density.reshape(20, 8, 20, 8).sum(axis=(1, 3)) * side**2
  # The edges of the checkerboard are not those of the grid.
  assert cells.sum() == pytest.approx(1.0, abs=0.01)
  edges = np.linspace(-_EXTENT, _EXTENT, 21)
  counts, _, _ = np.histogram2d(*x.T, bins=[edges, edges])
  sigma = np.sqrt(20000 * cells + 1.0)
  slack = 20000 * (0.01 if name == 'checkerboard' else 1e-4)
  assert np.all(np.abs(counts - 20000 * cells) < 5.0 * sigma + slack)
  log_prob = target.log_prob(x)
  error = log_prob.std() / math.sqrt(len(x))
  assert abs(plane.entropy(target, 200) + log_prob.mean()) < 5.0 * error + 1e-3


def test_a_mixture_is_that_of_scipy():
  target = plane.TARGETS['eight Gaussians']
  x = target.sample(100, np.random.default_rng(0))
  angle = np.arange(8) * math.pi / 4
  density = np.mean([
      stats.multivariate_normal(3 * np.array(c), 0.09).pdf(x)
      for c in zip(np.cos(angle), np.sin(angle), strict=True)
  ], axis=0)
  np.testing.assert_allclose(target.log_prob(x), np.log(density))


def test_a_turn_keeps_the_density_of_arms():
  """By the Jacobian of the turn, in differences."""
  x = np.array([[1.5, 0.2], [2.4, -0.3]])

  def turned(x):
    angle = 0.25 * np.exp(0.5 * np.hypot(*x.T))
    z = (x[:, 0] + 1j * x[:, 1]) * np.exp(1j * angle)
    return np.stack([z.real, z.imag], axis=1)

  steps = 1e-6 * np.eye(2)
  jacobian = np.stack(
      [(turned(x + d) - turned(x - d)) / 2e-6 for d in steps], axis=-1
  )
  np.testing.assert_allclose(np.linalg.det(jacobian), 1.0, rtol=1e-6)
  back = []
  for arm in np.arange(5) * 0.4 * math.pi:
    z = (x[:, 0] + 1j * x[:, 1]) * np.exp(-1j * arm)
    back.append(np.stack([z.real, z.imag], axis=1))
  own = np.mean([
      stats.norm(2.0, 0.6).pdf(b[:, 0]) * stats.norm(0.0, 0.2).pdf(b[:, 1])
      for b in back
  ], axis=0)
  found = plane.TARGETS['pinwheel'].log_prob(turned(x))
  np.testing.assert_allclose(np.exp(found), own)
