"""The normal of the highest ELBO, by equations that draws solve."""

import math
from typing import NamedTuple
import warnings

import numpy as np

__all__ = ['Normal', 'Values', 'ascent']

# Factor by which a precision changes at most in an iteration.
_STEP = 16.0
# Halvings of an iteration that does not help.
_HALVINGS = 12
# Iterations after which no density of finite mass is too wide.
_MANY = 32
# An ascent that gets there does not end.
_LARGEST_ELBO = 1e30


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


def ascent(evaluate, normal, z, max_iterations, tolerance):
  """The normal after iterations, each of which raises the ELBO."""
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
  for _ in range(max_iterations):
    step, before = 1.0, values.elbo
    for _ in range(_HALVINGS):
      proposed = _update(normal, z, values.gradients, step)
      found = evaluate(proposed, z)
      if found.elbo > values.elbo:
        normal, values = proposed, found
        break
      step /= 2.0
    if values.elbo - before < tolerance:
      break
  if not max_iterations:
    return normal
  gain = values.elbo - before
  # A scale grows by 4 in an iteration: from far away it needs some.
  if gain < tolerance or max_iterations >= _MANY:
    _check_maximum(normal, z, values)
  if gain >= tolerance:
    warnings.warn(
        f'Argument `max_iterations`: after {max_iterations} the ELBO still '
        f'rises, by {gain:.3g} nats in the last one.',
        stacklevel=3,
    )
  return normal


def _check_maximum(normal, z, values):
  """Refuses a target that is flat, or rises for ever, in some direction.

  At a maximum of the ELBO all curvatures are 1 where the normal is N(0, I).
  """
  full = normal.factor.ndim == 2
  principal, vectors, diagonal = _curvatures(
      _in_units(normal, values.gradients), z
  )
  curvatures = principal if full else diagonal
  flattest = np.argmin(curvatures)
  if curvatures[flattest] > 1.01 / _STEP and values.elbo <= _LARGEST_ELBO:
    return
  direction = np.eye(len(curvatures))[flattest]
  if full:
    direction = normal.factor @ vectors[:, flattest]
  direction = direction / np.abs(direction).max()
  raise ValueError(
      'Argument `target_log_prob_fn` must be bounded above, and a log-density '
      f'of finite mass: at {values.elbo:.3g} nats the ELBO of a normal has no '
      'maximum, for the target is flat, or curved upwards, along the '
      f'unconstrained direction {np.round(direction, 2)}.'
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


def _update(normal, z, gradients, step):
  """Goes a part of the way to what solves the equations at the draws."""
  full = normal.factor.ndim == 2
  gradients = _in_units(normal, gradients)
  slope = gradients.mean(axis=0)
  principal, vectors, diagonal = _curvatures(gradients, z)
  # In directions that are curved upwards, by the size of it, as for a saddle.
  if vectors is None:
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
