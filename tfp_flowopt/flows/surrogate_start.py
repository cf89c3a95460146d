"""The normal that a surrogate posterior starts at."""

from collections.abc import Callable
import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.flows import normal_ascent
from tfp_flowopt.flows import surrogates
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import call_target
from tfp_flowopt.internal import graphs
from tfp_flowopt.internal import types

__all__ = ['initialize_surrogate']

# Draws for few dimensions.
_LEAST_DRAWS = 1000
# As many as nobody asks for.
_FEW_DRAWS = 3


def initialize_surrogate(
    surrogate: types.TransformedDistribution,
    target_log_prob_fn: Callable[..., tf.Tensor] | None = None,
    samples: Any = None,
    num_draws: int | None = None,
    max_iterations: int = 300,
    tolerance: float = 1e-3,
    seed: types.Seed = (0, 0),
) -> float:
  """Puts a surrogate posterior at a normal: the best, or that of samples.

  **With a target**, at a normal that is a maximum of the ELBO, among all (or
  all with a diagonal covariance); of several maxima it is one that the start
  leads to. At this optimum (Opper & Archambeau 2009), for
  unconstrained parameters `y`,

  ```none
  E grad log p(y) = 0,   C^-1 = -E grad^2 log p(y),   y ~ N(m, C).
  ```

  The mean Hessian is the regression of gradients on draws, so that each
  iteration solves these equations at present draws in closed form (Salimans &
  Knowles 2013): where the target is normal, it is exact. Draws are the same in
  all iterations, and an iteration is halved until the ELBO grows; so there is
  no learning rate, and no step that makes it worse. Nothing is differentiated
  twice, and no mode is looked for: where densities have none (a funnel), the
  best normal still exists.

  **With samples**, at their mean and covariance, in unconstrained parameters:
  the optimum of their likelihood. With both, it starts there, otherwise at
  N(0, I).

  The layers are left as they are: initialise before training.

  Args:
    surrogate: From `surrogate_posterior`.
    target_log_prob_fn: As for `tfp.vi.fit_surrogate_posterior`: log-density of
      a batch of events, differentiable, up to a constant.
    samples: `[N]` events, of the structure of the surrogate's samples.
    num_draws: Number of draws, even; at least 2 D for a full covariance. By
      default 1000, or 4 D if that is more.
    max_iterations: Number of iterations at most. A `UserWarning` tells when the
      ELBO still rises after them, or ends short of a maximum.
    tolerance: What the ELBO would still gain, in nats, when iterations end.
    seed: Two integers, of the draws.

  Returns:
    Python `float`, in nats: an estimate of the ELBO of the normal by fresh
    draws; without a target, the mean log-likelihood of the unconstrained
    samples.

  Raises:
    ValueError: If an argument has a wrong value, the layers are no longer the
      identity, the target is not finite at draws of any normal around the
      start, is flat or rises for ever in some direction, or samples do not vary
      in some direction.
  """
  latents = surrogates.latent_map(surrogate)
  shift, scale = latents.bijectors[:2]
  if target_log_prob_fn is None and samples is None:
    raise ValueError(
        'Argument `target_log_prob_fn` or `samples` is needed.'
    )
  max_iterations = arguments.check_int('max_iterations', max_iterations, 0)
  tolerance = arguments.check_positive('tolerance', tolerance)
  seed = arguments.check_seed('seed', seed)
  size = shift.shift.shape[0]
  _check_fresh(surrogate, latents, size)
  normal = normal_ascent.Normal(
      np.zeros([size]), np.eye(size) if _is_full(scale) else np.ones([size])
  )
  if samples is not None:
    normal, value = _of_samples(surrogate, samples, _is_full(scale))
  if target_log_prob_fn is not None:
    least = 2 * size if _is_full(scale) else 2
    if num_draws is None:
      num_draws = max(_LEAST_DRAWS, 2 * least)
    num_draws = arguments.check_int('num_draws', num_draws, least)
    rng = np.random.default_rng(np.abs(seed.numpy()))
    evaluate = _evaluation(surrogate, target_log_prob_fn)
    z = _whitened(rng.normal(size=[num_draws // 2, size]))
    # As many data as draws would pass for one number of each.
    evaluate(normal, z[:_FEW_DRAWS])
    normal = normal_ascent.ascent(
        evaluate, normal, z, max_iterations, tolerance
    )
    value = evaluate(normal, rng.normal(size=[num_draws, size])).elbo
  (factor,) = scale.variables
  found = [
      np.asarray(part, variable.dtype.as_numpy_dtype)
      for part, variable in (
          (normal.mean, shift.shift), (_cholesky(normal.factor), factor)
      )
  ]
  if not all(np.all(np.isfinite(part)) for part in [value, *found]):
    raise ValueError(
        'Argument `target_log_prob_fn` has no finite ELBO at a normal that '
        f'{factor.dtype.name} can hold, got {value} nats.'
    )
  shift.shift.assign(found[0])
  factor.assign(found[1])
  return float(value)


def _is_full(scale):
  return isinstance(scale.scale, tf.linalg.LinearOperatorLowerTriangular)


def _cholesky(factor):
  """The lower triangular factor of the same covariance."""
  if factor.ndim == 1:
    return factor
  upper = np.linalg.qr(factor.T, mode='r')
  return upper.T * np.sign(np.diag(upper))


def _check_fresh(surrogate, latents, size):
  rest = tfp.bijectors.Chain(latents.bijectors[2:])
  z = np.random.default_rng(0).normal(size=[4, size])
  z = tf.constant(z, surrogate.distribution.dtype)
  if not np.allclose(rest.forward(z), z, atol=1e-4):
    raise ValueError(
        'Argument `surrogate` has been trained; make a new one to start again.'
    )


def _of_samples(surrogate, samples, full):
  """The normal of samples, and their mean log-likelihood."""
  y = surrogates.unconstraining(surrogate).inverse(samples)
  y = np.asarray(y, np.float64)
  num = surrogate.distribution.event_shape.num_elements()
  if y.ndim != 2 or y.shape[1] != num or not np.all(np.isfinite(y)):
    raise ValueError(
        'Argument `samples` must be a batch [N] of events inside of the '
        f'support, got vectors of shape {list(y.shape)}.'
    )
  mean, deviation, size = y.mean(axis=0), y.std(axis=0), y.shape[1]
  factor, values = deviation, np.ones([size])
  varies = np.all(deviation > 1e-12 * np.abs(mean))
  if full and varies:
    # In units of the columns.
    scaled = (y - mean) / deviation
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(y))
    roots = np.sqrt(np.maximum(values, 0.0))
    factor = deviation[:, np.newaxis] * vectors * roots
  if not varies or not np.all(values > 1e-12 * values.max()):
    raise ValueError(
        f'Argument `samples`: {len(y)} do not vary in all of {size} directions.'
    )
  log_det = np.log(values).sum() + 2.0 * np.log(deviation).sum()
  value = -0.5 * (log_det + size * math.log(2 * math.pi * math.e))
  return normal_ascent.Normal(mean, factor), value


def _whitened(z):
  """Draws and their opposites, of mean 0 and unit covariance, if it can be."""
  if len(z) >= z.shape[1]:
    # The covariance of both is z^T z / n.
    z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / len(z))).T
  else:
    z /= np.sqrt((z**2).mean(axis=0))
  return np.concatenate([z, -z])


def _one_number(num, problem):
  return (
      'Argument `target_log_prob_fn` must return one number for each of '
      f'{num} events, and {problem}. Sums over data are part of it, as of '
      '`tfd.Independent` and `tfd.Sample`.'
  )


def _evaluation(surrogate, target_log_prob_fn):
  """A function of a normal and standard draws that returns `Values`."""
  constrain = surrogates.unconstraining(surrogate)
  dtype = surrogate.distribution.dtype

  @graphs.own_graph
  def log_prob_and_gradient(y):
    with tf.GradientTape() as tape:
      tape.watch(y)
      # Another tensor, which TFP's cache has not seen.
      x = constrain.forward(tf.identity(y))
      value = call_target.call_target(target_log_prob_fn, x)
      found = getattr(value, 'dtype', None)
      if found != dtype:
        raise ValueError(
            f'Argument `target_log_prob_fn` must return {dtype.name}, got '
            f'{found.name if found else value}.'
        )
      log_det = constrain.forward_log_det_jacobian(
          tf.identity(y), event_ndims=1
      )
      # That of no bijector is of float32.
      value += tf.cast(log_det, dtype)
    return value, tape.gradient(value, y)

  def evaluate(normal, z):
    with np.errstate(over='ignore'):  # then the ELBO is not finite
      y = tf.constant(normal.draws(z), dtype)
    try:
      value, gradients = log_prob_and_gradient(y)
    except (ValueError, tf.errors.InvalidArgumentError) as e:
      if str(e).startswith('Argument'):
        raise
      raise ValueError(_one_number(len(z), 'it failed')) from e
    value, gradients = (
        np.asarray(x, np.float64) for x in (value, gradients)
    )
    if value.shape != z.shape[:1]:
      got = f'got shape {list(value.shape)}'
      raise ValueError(_one_number(len(z), got))
    # log p - log q of each draw: no noise where they differ by a constant.
    value = value + 0.5 * np.sum(z**2 + math.log(2.0 * math.pi), axis=1)
    elbo = value.mean() + normal.log_det()
    finite = np.isfinite(elbo) and np.all(np.isfinite(gradients))
    return normal_ascent.Values(elbo if finite else -math.inf, gradients)

  return evaluate
