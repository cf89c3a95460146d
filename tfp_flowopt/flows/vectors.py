"""The closed-form start of flows of vectors."""

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.flows import elliptical
from tfp_flowopt.flows import whitening
from tfp_flowopt.internal import event_arrays
from tfp_flowopt.internal import module_tree

__all__ = ['initialize_vectors']

# Rows that are read at once.
_BATCH = 65536
# What curves, of components or of the radius, must gain: nats a component. In a
# table of fewer vectors a component than this, anything; in others training
# goes further, and has to undo what they bend.
_FEW, _CURVES_GAIN, _RADIUS_GAIN = 100, 0.3, 0.1


def initialize_vectors(distribution, data, conditioning, lipschitz):
  """Puts a `VectorFlow` at its closed-form optimum.

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
  features = None
  if flow.shift is not None:
    features = flow.features(conditioning).numpy()
    center, scale = features.mean(axis=0), features.std(axis=0)
    # What does not vary is left alone.
    scale = np.where(scale > 1e-6 * np.abs(center), scale, 1.0)
    features = (features - center) / scale
  size = flow.latent_size
  unit = size if len(y) >= _FEW * size else 0.0

  def start(knots):
    gain = _RADIUS_GAIN * unit if flow.radius is not None else np.inf
    return _start(flow, y, features, lipschitz, knots, gain)

  starts = []
  if flow.marginals is None or flow.gaussianize_marginals is None:
    starts.append(start(None))
  if flow.marginals is not None:
    knots = optimum.gaussian_curves(y, flow.marginals.inputs.shape[1])
    starts.append(start(knots))
  bends = starts[-1][-1] > starts[0][-1] + _CURVES_GAIN * unit
  knots, best, reached = starts[-1 if bends else 0]
  if knots is not None:
    flow.marginals.initialize(*knots)
  if features is not None:
    flow.standardize(center, scale)
    flow.shift.matrix.assign(tf.cast(best.matrix, flow.dtype))
  curve, linear = best.curve, best.whitening
  flow.whiten.initialize(
      left=np.eye(flow.latent_size),
      singular_values=linear.scales * np.exp(curve.log_scale),
      right=linear.eigenvectors,
      shift=linear.mean,
  )
  if flow.radius is not None:
    # The curve is one of latents before they are scaled.
    radius = np.exp(curve.log_radius + curve.log_scale)
    flow.radius.initialize([curve.log_slope], [radius])
  flow.mark_initialized()
  return log_likelihood + reached


def _start(flow, y, features, lipschitz, knots, gain):
  """`knots`, the `EllipticalMap` after these curves, and the log-likelihood."""
  log_likelihood = 0.0
  if knots is not None:
    # A copy: nothing is changed before all is known.
    curves = module_tree.with_leaves(
        flow.marginals,
        [flow.marginals.inputs, flow.marginals.outputs],
        [tf.cast(values, flow.dtype) for values in knots],
    )
    y, log_likelihood = _mapped(curves, y)
  best = elliptical.elliptical_map(
      y,
      np.zeros([len(y), 0]) if features is None else features,
      gain,
      lambda moments: whitening.whitening_map(
          moments,
          lipschitz,
          np.zeros([flow.latent_size]),
          flow.steps.num_steps,
          flow.dtype,
      ),
  )
  return knots, best, log_likelihood + best.log_likelihood


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

