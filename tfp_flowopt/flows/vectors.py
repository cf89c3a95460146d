"""The closed-form start of flows of vectors."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.flows import whitening
from tfp_flowopt.internal import event_arrays
from tfp_flowopt.internal import module_tree

__all__ = ['initialize_vectors']

# Rows that are read at once.
_BATCH = 65536


def initialize_vectors(distribution, data, conditioning, lipschitz):
  """Puts curves, shift and whitening of a `VectorFlow` at their optimum.

  Returns the mean log-likelihood of the data, in nats, by the closed forms. The
  arguments are those of `initialize_at_optimum`. The flow is unchanged after an
  error.
  """
  flow = distribution.bijector
  x, conditioning = event_arrays.checked(
      distribution, 'data', data, 'conditioning', conditioning
  )
  log_likelihood, y = 0.0, x
  if flow.support is not None:
    y, log_likelihood = _mapped(flow.support, x)
    if not np.all(np.isfinite(y)):
      raise ValueError(
          'Argument `data` is not inside of the support of the flow, or at its '
          'edge.'
      )
  knots = None
  if flow.marginals is not None:
    inputs = flow.marginals.inputs
    knots = optimum.gaussian_curves(y, inputs.shape[1])
    # A copy: nothing is changed before all is known.
    curves = module_tree.with_leaves(
        flow.marginals,
        [inputs, flow.marginals.outputs],
        [tf.cast(values, flow.dtype) for values in knots],
    )
    y, log_det = _mapped(curves, y)
    log_likelihood += log_det
  features, spec = None, None
  if flow.shift is not None:
    features = flow.features(conditioning).numpy()
    center, scale = features.mean(axis=0), features.std(axis=0)
    # What does not vary is left alone.
    scale = np.where(scale > 1e-6 * np.abs(center), scale, 1.0)
    features, spec = (features - center) / scale, [len(center)]
  correlation = optimum.AutoCorrelation(
      'dense', [flow.latent_size], conditioning=spec
  )
  for i in range(0, len(y), _BATCH):
    rows = slice(i, i + _BATCH)
    correlation.update(y[rows], None if spec is None else features[rows])
  moments = correlation.moments()
  best = whitening.whitening_map(
      moments,
      lipschitz,
      np.zeros([flow.latent_size]),
      flow.steps.num_steps,
      flow.dtype,
  )
  if knots is not None:
    flow.marginals.initialize(*knots)
  if features is not None:
    flow.standardize(center, scale)
    flow.shift.matrix.assign(tf.cast(moments.regression.matrix, flow.dtype))
  flow.whiten.initialize(
      left=np.eye(flow.latent_size),
      singular_values=best.scales,
      right=best.eigenvectors,
      shift=best.mean,
  )
  flow.mark_initialized()
  squares = best.scales**2 * best.eigenvalues
  return log_likelihood + float(
      np.log(best.scales).sum()
      - 0.5 * (squares.sum() + flow.latent_size * math.log(2.0 * math.pi))
  )


def _mapped(bijector, x):
  """`inverse(x)`, and the mean log-determinant."""
  values, total = [], 0.0
  for i in range(0, len(x), _BATCH):
    value, log_det = _inverse_and_log_det(bijector, x[i : i + _BATCH])
    values.append(value.numpy())
    total += float(tf.reduce_sum(tf.cast(log_det, tf.float64)))
  return np.concatenate(values), total / len(x)


def _inverse_and_log_det(bijector, x):
  if isinstance(bijector, bijectors.JointBijector):
    return bijectors.inverse_and_log_det(bijector, x)
  x = tf.constant(x)
  return (
      bijector.inverse(x),
      bijector.inverse_log_det_jacobian(tf.identity(x), event_ndims=1),
  )

