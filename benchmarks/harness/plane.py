"""Densities in the plane that are known, to measure flows against."""

from collections.abc import Callable
import math
from typing import NamedTuple

import numpy as np
from scipy import special

__all__ = ['TARGETS', 'Target', 'entropy']

# Points whose density is computed at once, and nodes along a curve.
_CHUNK, _NODES = 1000, 400


class Target(NamedTuple):
  """A density of the plane, within about 4 of the origin.

  Attributes:
    sample: Function of a number `N` and a `np.random.Generator`: `[N, 2]`.
    log_prob: Function of `[N, 2]`: log-densities `[N]`, in nats.
    entropy: In nats, where it is known in closed form; else `None`.
  """

  sample: Callable
  log_prob: Callable
  entropy: float | None = None


def _gaussians():
  """Eight of standard deviation 0.3, on a circle of radius 3."""
  angle = np.arange(8) * (math.pi / 4)
  return _curve(
      lambda u: 3.0 * _polar(angle[np.minimum((8 * u).astype(int), 7)]),
      0.3,
      (np.arange(8) + 0.5) / 8,
      np.full([8], 0.125),
  )


def _checkerboard():
  """Uniform on eight of the sixteen squares of [-4, 4]^2."""

  def sample(num, rng):
    column = rng.integers(0, 4, num)
    row = 2 * rng.integers(0, 2, num) + column % 2
    corner = 2.0 * np.stack([column, row], axis=1) - 4.0
    return corner + 2.0 * rng.uniform(size=(num, 2))

  def log_prob(x):
    column, row = np.floor((x.T + 4.0) / 2.0)
    inside = np.all(np.abs(x) < 4.0, axis=1) & ((column + row) % 2 == 0)
    return np.where(inside, -math.log(32.0), -np.inf)

  return Target(sample, log_prob, math.log(32.0))


def _spirals():
  """Two of one and a half turns, with noise of 0.1."""

  def curve(u):
    # Denser on both halves of [0, 1] by the distance from the middle.
    t = 2.0 * u - 1.0
    angle = 3.0 * math.pi * np.sqrt(np.abs(t))
    return np.sign(t)[:, np.newaxis] * angle[:, np.newaxis] * _polar(-angle) / 3

  nodes, weights = np.polynomial.legendre.leggauss(_NODES)
  # In the angle, which has density proportional to itself.
  root = 0.5 * (nodes + 1.0)
  half = 0.5 * weights * root
  u = np.concatenate([0.5 + 0.5 * root**2, 0.5 - 0.5 * root**2])
  return _curve(curve, 0.1, u, np.concatenate([half, half]))


def _moons():
  """Two half circles, with noise of 0.2 (0.1 before they are scaled)."""

  def curve(u):
    angle = 2.0 * math.pi * u
    lower = u >= 0.5
    centre = np.where(lower[:, np.newaxis], [1.0, 1.0], [-1.0, -1.0])
    return 2.0 * _polar(angle) + centre * [1.0, -0.5] * [1.0, -1.0]

  nodes, weights = np.polynomial.legendre.leggauss(_NODES)
  first = 0.25 * (nodes + 1.0)
  half = 0.25 * weights
  return _curve(
      curve,
      0.2,
      np.concatenate([first, first + 0.5]),
      np.concatenate([half, half]),
  )


def _curve(curve, noise, nodes, weights):
  """Points of a curve of `[0, 1]`, with normal noise.

  The density is an integral along the curve, a sum over `nodes`.
  """
  centres = curve(nodes)

  def sample(num, rng):
    points = curve(rng.uniform(size=num))
    return points + noise * rng.normal(size=(num, 2))

  def log_prob(x):
    found = []
    for i in range(0, len(x), _CHUNK):
      own = x[i : i + _CHUNK]
      squares = np.sum(own**2, axis=1)[:, np.newaxis] - 2.0 * own @ centres.T
      exponents = -0.5 * (squares + np.sum(centres**2, axis=1)) / noise**2
      found.append(special.logsumexp(exponents, b=weights, axis=1))
    return np.concatenate(found) - math.log(2.0 * math.pi * noise**2)

  return Target(sample, log_prob)


def _pinwheel():
  """Five arms; normals, turned by an angle that grows with the radius.

  Such a turn keeps areas, and so densities.
  """
  scale, arms = np.array([0.6, 0.2]), np.arange(5) * (0.4 * math.pi)

  def turned(x, arm, sign):
    radius = np.hypot(*x.T)
    angle = sign * (arm + 0.25 * np.exp(0.5 * radius))
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        [cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], axis=1
    )

  def sample(num, rng):
    points = [2.0, 0.0] + scale * rng.normal(size=(num, 2))
    return turned(points, arms[rng.integers(0, 5, num)], 1.0)

  def log_prob(x):
    squares = [
        np.sum(((turned(x, arm, -1.0) - [2.0, 0.0]) / scale) ** 2, axis=1)
        for arm in arms
    ]
    return special.logsumexp(-0.5 * np.stack(squares), axis=0) - math.log(
        5.0 * 2.0 * math.pi * np.prod(scale)
    )

  return Target(sample, log_prob)


def _rings():
  """Four circles around the origin, with noise of 0.08."""
  radii, noise = np.array([0.75, 1.5, 2.25, 3.0]), 0.08

  def sample(num, rng):
    points = _polar(2.0 * math.pi * rng.uniform(size=num))
    points *= radii[rng.integers(0, 4, num), np.newaxis]
    return points + noise * rng.normal(size=(num, 2))

  def log_prob(x):
    radius = np.hypot(*x.T)[:, np.newaxis]
    # The mean over a circle is a Bessel function, here without its exponential.
    terms = np.log(special.i0e(radius * radii / noise**2))
    terms -= 0.5 * ((radius - radii) / noise) ** 2
    return special.logsumexp(terms, axis=1) - math.log(
        4.0 * 2.0 * math.pi * noise**2
    )

  return Target(sample, log_prob)


def _polar(angle):
  return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def entropy(target, cells=300, extent=5.5):
  """Its entropy in nats, a sum over a grid where no formula is known."""
  if target.entropy is not None:
    return target.entropy
  side = 2.0 * extent / cells
  axis = -extent + side * (np.arange(cells) + 0.5)
  total = 0.0
  for y in axis:
    row = np.stack([axis, np.full([cells], y)], axis=1)
    log_prob = target.log_prob(row)
    total -= np.sum(np.exp(log_prob) * log_prob) * side**2
  return total


TARGETS = {
    'eight Gaussians': _gaussians(),
    'checkerboard': _checkerboard(),
    'two spirals': _spirals(),
    'pinwheel': _pinwheel(),
    'rings': _rings(),
    'two moons': _moons(),
}
