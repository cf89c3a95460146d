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
  rises = max_iterations and values.elbo - before >= tolerance
  if max_iterations:
    _check_maximum(normal, z, values)
  if rises:
    warnings.warn(
        f'Argument `max_iterations`: after {max_iterations} the ELBO still '
        f'rises, by {values.elbo - before:.3g} nats in the last one.',
        stacklevel=3,
    )
  return normal


def _check_maximum(normal, z, values):
  """Refuses a target that is flat, or rises for ever, in some direction.

  At a maximum of the ELBO all curvatures are 1 where the normal is N(0, I).
  """
  curvatures, vectors = _curvatures(
      _in_units(normal, values.gradients), z, normal.factor.ndim == 2
  )
  flattest = np.argmin(curvatures)
  if curvatures[flattest] > 1.01 / _STEP and values.elbo <= _LARGEST_ELBO:
    return
  direction = vectors[:, flattest]
  if normal.factor.ndim == 2:
    direction = normal.factor @ direction
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


def _curvatures(gradients, z, full):
  """Mean curvatures `[D]`, and their directions, columns `[D, D]`."""
  size = gradients.shape[1]
  if len(z) < 2 * size:
    # Too few draws for a matrix.
    return -(gradients * z).mean(axis=0), np.eye(size)
  hessian = gradients.T @ z / len(z)
  if not full:
    return -np.diag(hessian), np.eye(size)
  return np.linalg.eigh(-0.5 * (hessian + hessian.T))


def _update(normal, z, gradients, step):
  """Goes a part of the way to what solves the equations at the draws."""
  # In coordinates in which the normal is N(0, I).
  full = normal.factor.ndim == 2
  gradients = _in_units(normal, gradients)
  slope = gradients.mean(axis=0)
  # In directions that are curved upwards, by the size of it, as for a saddle.
  if len(z) < 2 * len(slope):
    # Too few draws for a matrix.
    curvatures = -(gradients * z).mean(axis=0)
    moved = slope / np.maximum(np.abs(curvatures), 1.0 / _STEP)
  else:
    hessian = gradients.T @ z / len(z)
    curvatures, vectors = np.linalg.eigh(-0.5 * (hessian + hessian.T))
    newton = np.maximum(
        np.abs(curvatures), np.where(curvatures > 0, 1e-4, 1.0 / _STEP)
    )
    moved = vectors @ (vectors.T @ slope / newton)
    if not full:
      curvatures = -np.diag(hessian)
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
