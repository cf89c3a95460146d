"""The normal of the highest ELBO, by equations that draws solve."""

import math
from typing import NamedTuple
import warnings

import numpy as np

__all__ = ['Normal', 'Values', 'ascent']

# Factor by which a precision changes at most in an iteration.
_STEP = 16.0
# Halvings of an iteration that does not help.
_HALVINGS = 60
# Largest ratio of gains, one to the next, that is believed.
_MOST_RATIO = 0.99
# Iterations of little gain, one after the other, after which none gains more.
_MOST_SMALL = 4
# Iterations after which no density of finite mass is too wide.
_MANY = 32
# An ascent that gets there does not end.
_LARGEST_ELBO = 1e30
# Nor does one that has widened a normal as much, where the target is flat; one
# that meets upward curvature on its way has not.
_WIDENED = 1e4
# Iterations to one maximum of a target that may well have others.
_ROUGH = 100
# What is lacking of a maximum, in tolerances, where an ascent has come to one.
_LACKING = 100.0
# Nats of each dimension that the scales of coordinates may lack, to start with.
_SCALES_TOLERANCE = 0.01


class Normal(NamedTuple):
  """A normal by mean `[D]` and factor of its covariance, `[D, D]` or `[D]`."""

  mean: np.ndarray
  factor: np.ndarray

  def draws(self, z):
    """Its draws, of standard ones `[N, D]`."""
    if self.factor.ndim == 1:
      return self.mean + z * self.factor
    return self.mean + z @ self.factor.T

  def log_det(self):
    """Log-determinant of the factor."""
    if self.factor.ndim == 1:
      return np.log(self.factor).sum()
    return np.linalg.slogdet(self.factor)[1]


class Values(NamedTuple):
  """What draws of a normal say of a target."""

  elbo: float
  gradients: np.ndarray


class _Climbed(NamedTuple):
  """Where iterations ended.

  Attributes:
    normal: The `Normal`.
    values: Its `Values`.
    left: What the ELBO would still gain, in nats.
    num_iterations: How many these were.
  """

  normal: Normal
  values: Values
  left: float
  num_iterations: int


# Where the target is flat a normal overflows, with an ELBO that is not finite.
@np.errstate(over='ignore', invalid='ignore')
def ascent(evaluate, normal, z, max_iterations, tolerance):
  """The normal after iterations, each of which raises the ELBO.

  One whose covariance is diagonal to start with, and is to be full, is first
  the best of diagonal ones, until each coordinate has its scale. Where this
  takes long the target has many maxima, and the one that the start leads to
  without this detour may be the higher one.
  """
  start = normal.factor
  scales = np.diag(start) if start.ndim == 2 else None
  if scales is None or np.any(start - np.diag(scales)):
    best = _climb(evaluate, normal, z, max_iterations, tolerance)
  else:
    first = _climb(
        evaluate,
        normal._replace(factor=scales),
        z,
        max_iterations,
        max(tolerance, _SCALES_TOLERANCE * len(scales)),
    )
    diagonal = first.normal._replace(factor=np.diag(first.normal.factor))
    best = _climb(evaluate, diagonal, z, max_iterations, tolerance)
    if first.num_iterations + best.num_iterations > _ROUGH:
      direct = _climb(evaluate, normal, z, max_iterations, tolerance)
      best = max(best, direct, key=lambda climbed: climbed.values.elbo)
  normal, values, left, _ = best
  if not max_iterations:
    return normal
  # A scale grows by 4 in an iteration: from far away it needs some.
  if left < tolerance or max_iterations >= _MANY:
    _check_maximum(normal, start, z, values)
  lacking = _lacking(normal, z, values)
  if left < tolerance and lacking > _LACKING * tolerance:
    warnings.warn(
        'Argument `target_log_prob_fn`: no iteration raises the ELBO of '
        f'{values.elbo:.3g} nats any more, which is {lacking:.3g} nats or more '
        'below a maximum: the target is too rough, or too large for its type; '
        'start at `samples`.',
        stacklevel=4,  # of errstate, too
    )
  if left >= tolerance:
    warnings.warn(
        f'Argument `max_iterations`: after {max_iterations} the ELBO still '
        f'rises, by {left:.3g} nats or more.',
        stacklevel=4,  # of errstate, too
    )
  return normal


def _climb(evaluate, normal, z, max_iterations, tolerance):
  """What iterations lead to.

  What the ELBO would gain is the gain of the last iteration and of all after
  it, which are less and less: along a funnel each is a little less than the one
  before.
  """
  values = evaluate(normal, z)
  for _ in range(_HALVINGS):
    if math.isfinite(values.elbo):
      break
    normal = normal._replace(factor=normal.factor / 2.0)
    values = evaluate(normal, z)
  else:
    raise ValueError(
        'Argument `target_log_prob_fn` is not finite, or its gradient is not, '
        f'at draws around {normal.mean}; start at `samples`.'
    )
  left, gain, num_small, count = 0.0, math.inf, 0, 0
  for _ in range(max_iterations):
    count += 1
    step, before = 1.0, values.elbo
    gradients = _in_units(normal, values.gradients)
    slope, curved = gradients.mean(axis=0), _curvatures(gradients, z)
    for _ in range(_HALVINGS):
      proposed = [
          _update(normal, slope, curved, step, by_diagonal)
          for by_diagonal in (False, True)
      ]
      found = [(evaluate(other, z), other) for other in proposed]
      best = max(found, key=lambda pair: pair[0].elbo)
      if best[0].elbo > values.elbo:
        values, normal = best
        break
      step /= 2.0
    gain, previous = values.elbo - before, gain
    left = gain / (1.0 - min(gain / previous, _MOST_RATIO))
    # One iteration may gain little, and the next one much again.
    num_small = num_small + 1 if left < tolerance else 0
    if num_small == _MOST_SMALL or not gain:
      break
  return _Climbed(normal, values, left, count)


def _check_maximum(normal, start, z, values):
  """Refuses a target that is flat, or rises for ever, in some direction.

  At a maximum of the ELBO all curvatures are 1 where the normal is N(0, I).
  """
  full = normal.factor.ndim == 2
  principal, vectors, diagonal = _curvatures(
      _in_units(normal, values.gradients), z
  )
  curvatures = principal if full else diagonal
  if full:
    directions = normal.factor @ vectors
    widened = np.linalg.norm(np.linalg.solve(start, directions), axis=0)
  else:
    directions, widened = np.eye(len(curvatures)), normal.factor / start
  # Beside one without end, rounding makes others look flat, which stay narrow.
  widened = np.where(curvatures <= 1.01 / _STEP, widened, 0.0)
  widest = np.argmax(widened) if np.any(widened) else np.argmin(curvatures)
  if widened[widest] <= _WIDENED and values.elbo <= _LARGEST_ELBO:
    return
  direction = directions[:, widest]
  direction = direction / np.abs(direction).max()
  raise ValueError(
      'Argument `target_log_prob_fn` must be bounded above, and a log-density '
      f'of finite mass: at {values.elbo:.3g} nats the ELBO of a normal has no '
      'maximum, for the target is flat, or curved upwards, along the '
      f'unconstrained direction {np.round(direction, 2)}.'
  )


def _lacking(normal, z, values):
  """What the ELBO would gain, in nats, if it were the parabola it looks like.

  At a maximum the mean slope is 0 and all curvatures are 1.
  """
  full = normal.factor.ndim == 2
  gradients = _in_units(normal, values.gradients)
  principal, vectors, diagonal = _curvatures(gradients, z)
  slope, curvatures = gradients.mean(axis=0), diagonal
  if full:
    slope, curvatures = vectors.T @ slope, principal
  curvatures = np.maximum(curvatures, 1.0 / _STEP)
  return 0.5 * np.sum(
      slope**2 / curvatures + curvatures - 1.0 - np.log(curvatures)
  )


def _in_units(normal, gradients):
  """Gradients in coordinates in which the normal is N(0, I)."""
  if normal.factor.ndim == 2:
    return gradients @ normal.factor
  return gradients * normal.factor


def _curvatures(gradients, z):
  """Principal curvatures `[D]`, their directions (columns), and the diagonal.

  Of too few draws for a matrix the diagonal alone; the directions are `None`.
  """
  if len(z) < 2 * gradients.shape[1]:
    diagonal = -(gradients * z).mean(axis=0)
    return diagonal, None, diagonal
  hessian = gradients.T @ z / len(z)
  return (
      *np.linalg.eigh(-0.5 * (hessian + hessian.T)),
      -np.diag(hessian),
  )


def _update(normal, slope, curved, step, by_diagonal):
  """Goes a part of the way to what solves the equations at the draws.

  `curved` is of `_curvatures`, in units of the normal, as the mean slope is.
  The mean moves by Newton's step, or by that of each coordinate alone: where
  one is far steeper than others, draws confuse their curvatures with its own.
  """
  full = normal.factor.ndim == 2
  principal, vectors, diagonal = curved
  # In directions that are curved upwards, by the size of it, as for a saddle.
  if by_diagonal or vectors is None:
    moved = slope / np.maximum(np.abs(diagonal), 1.0 / _STEP)
  else:
    newton = np.maximum(
        np.abs(principal), np.where(principal > 0, 1e-4, 1.0 / _STEP)
    )
    moved = vectors @ (vectors.T @ slope / newton)
  curvatures = principal if full else diagonal
  precisions = (1.0 - step) + step * np.clip(curvatures, 1.0 / _STEP, _STEP)
  if not full:
    return Normal(
        normal.mean + step * normal.factor * moved,
        normal.factor / np.sqrt(precisions),
    )
  # The symmetric root: the same draws stay near each other.
  return Normal(
      normal.mean + step * normal.factor @ moved,
      normal.factor @ (vectors / np.sqrt(precisions)) @ vectors.T,
  )
