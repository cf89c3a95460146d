"""The closed-form start of flows of vectors."""

from typing import NamedTuple
import warnings

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.flows import class_maps
from tfp_flowopt.flows import elliptical
from tfp_flowopt.flows import whitening
from tfp_flowopt.internal import event_arrays
from tfp_flowopt.internal import module_tree

__all__ = ['initialize_vectors']

# Rows that are read at once.
_BATCH = 65536
# What curves must gain to be there, nats a component. In a table of fewer
# vectors a component than this, those of vectors and of the radius need to gain
# nothing; in others training goes further, and has to undo what they bend.
_FEW, _CURVES_GAIN, _RADIUS_GAIN, _CONDITION_GAIN = 100, 0.3, 0.1, 0.1


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
  if len(x) < 2:
    raise ValueError(
        f'Argument `data` must hold two vectors at least, got {len(x)}.'
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
    # As they are: curves not fitted yet would round what is small.
    features = flow.conditioning.features(conditioning, flow.dtype).numpy()
  if lipschitz is None:
    _warn_of_few(y, features)
  best = _best_start(flow, y, features, lipschitz)
  if flow.marginals is not None:
    knots = best.knots
    if knots is None:
      # The identity, whose knots are among the data: others would round them.
      inputs, _ = _line(y, flow.marginals.inputs.shape[1])
      knots = inputs, inputs
    flow.marginals.initialize(*knots)
  if features is not None:
    flow.condition_curves.initialize(*best.condition_knots)
    flow.shift.matrix.assign(tf.cast(best.elliptical.matrix, flow.dtype))
  curve, linear = best.elliptical.curve, best.elliptical.whitening
  # In the plane, steps transform one axis given the other: with the symmetric
  # root of the precision these are near those of the data.
  in_plane = flow.latent_size == 2
  left = linear.eigenvectors if in_plane else np.eye(flow.latent_size)
  flow.whiten.initialize(
      left=left,
      singular_values=linear.scales * np.exp(curve.log_scale),
      right=linear.eigenvectors,
      shift=linear.mean,
  )
  classes = best.elliptical.classes
  if classes is not None:
    matrices = left @ classes.matrices @ left.T
    flow.whiten_classes.initialize(matrices, flow.whiten_classes.shifts)
  if flow.radius is not None:
    # The curve is one of latents before they are scaled.
    radius = np.exp(curve.log_radius + curve.log_scale)
    flow.radius.initialize([curve.log_slope], [radius])
  flow.mark_initialized()
  return log_likelihood + best.log_likelihood


def _warn_of_few(y, features):
  """Says so if data leave a direction in which they do not vary at all."""
  num, size = y.shape
  rank = 0
  if features is not None and num <= size + features.shape[1]:
    centred = features - features.mean(axis=0)
    rank = int(np.linalg.matrix_rank(centred))
  if num - rank - 1 < size:
    given = f' and a condition of rank {rank}' if rank else ''
    warnings.warn(
        f'Argument `data` has {num} vectors for {size} components{given}: in '
        'some direction nothing is left of them, and others will have a far '
        'lower likelihood. Give more data, or `lipschitz`.',
        stacklevel=4,
    )


class _Start(NamedTuple):
  """Knots of `marginals` and `condition_curves`, what follows, and nats."""

  knots: tuple
  condition_knots: tuple
  elliptical: elliptical.EllipticalMap
  log_likelihood: float


def _best_start(flow, y, features, lipschitz):
  """The `_Start` with those curves that gain enough."""
  size = flow.latent_size
  unit = size if len(y) >= _FEW * size else 0.0
  radius_gain = _RADIUS_GAIN * unit if flow.radius is not None else np.inf

  def start(knots, condition_knots, **kwargs):
    return _start(flow, y, features, knots, condition_knots, lipschitz,
                  radius_gain, **kwargs)

  curves = None
  if flow.marginals is not None:
    curves = optimum.gaussian_curves(y, flow.marginals.inputs.shape[1])
  line, num_knots = None, 0
  if features is not None:
    num_knots = flow.condition_curves.inputs.shape[1]
    line = _line(features, num_knots)
  always = flow.gaussianize_marginals
  best = start(curves if always else None, line)
  if num_knots > 2:
    found = start(best.knots, optimum.gaussian_curves(features, num_knots))
    if found.log_likelihood > best.log_likelihood + _CONDITION_GAIN * size:
      best = found
  choices = [best]
  if curves is not None and not always:
    found = start(curves, best.condition_knots)
    if found.log_likelihood > best.log_likelihood + _CURVES_GAIN * unit:
      # What is a shape of all vectors together may be one of no class.
      best, choices = found, [found, best]
  if flow.whiten_classes is None:
    return best
  by_class = class_maps.rows_by_class(
      y, features.argmax(axis=1), features.shape[1]
  )
  return max(
      (
          start(*found[:2], by_class=by_class, without=found.elliptical)
          for found in choices
      ),
      key=lambda found: found.log_likelihood,
  )


def _start(flow, y, features, knots, condition_knots, lipschitz, radius_gain,
           **kwargs):
  """The `_Start` with these knots."""
  log_likelihood = 0.0
  if knots is not None:
    y, log_likelihood = _mapped(_with_knots(flow.marginals, knots), y)
  is_bounded = lipschitz is not None
  if not is_bounded:
    lipschitz = _bounds(y)
  given = np.zeros([len(y), 0])
  if features is not None:
    curves = _with_knots(flow.condition_curves, condition_knots)
    given, _ = _mapped(curves, features)
  num_steps = flow.steps.num_steps if flow.steps else 0
  best = elliptical.elliptical_map(
      y,
      given,
      radius_gain,
      lambda moments, noise: whitening.whitening_map(
          moments, lipschitz, noise, num_steps, flow.dtype
      ),
      np.finfo(flow.dtype.as_numpy_dtype).eps,
      is_bounded,
      **kwargs,
  )
  log_likelihood += best.log_likelihood
  return _Start(knots, condition_knots, best, log_likelihood)


def _bounds(y):
  """`(0, M)`, `M` 1e3 divided by the least scale of a column that varies."""
  y = np.asarray(y, np.float64)
  scale = y.std(axis=0)
  varies = scale > 1e-6 * np.abs(y.mean(axis=0))
  return 0.0, 1e3 / np.min(scale[varies], initial=1.0)


def _line(features, num_knots):
  """Knots that standardise."""
  center, scale = features.mean(axis=0), features.std(axis=0)
  # What does not vary is left alone.
  scale = np.where(scale > 1e-6 * np.abs(center), scale, 1.0)
  outputs = np.tile(np.linspace(-1.0, 1.0, num_knots), [len(center), 1])
  return center[:, np.newaxis] + scale[:, np.newaxis] * outputs, outputs


def _with_knots(curves, knots):
  """A copy with other knots: nothing is changed before all is known."""
  return module_tree.with_leaves(
      curves,
      [curves.inputs, curves.outputs],
      [tf.cast(values, curves.dtype) for values in knots],
  )


def _mapped(bijector, x):
  """`inverse(x)`, and the mean log-determinant."""
  values, total = [], 0.0
  for i in range(0, len(x), _BATCH):
    value, log_det = _inverse_and_log_det(bijector, x[i : i + _BATCH])
    values.append(value.numpy())
    # It may be one number for all.
    log_dets = tf.broadcast_to(tf.cast(log_det, tf.float64), [len(value)])
    total += float(tf.reduce_sum(log_dets))
  return np.concatenate(values), total / len(x)


def _inverse_and_log_det(bijector, x):
  if isinstance(bijector, bijectors.JointBijector):
    return bijectors.inverse_and_log_det(bijector, x)
  x = tf.constant(x)
  return (
      bijector.inverse(x),
      bijector.inverse_log_det_jacobian(tf.identity(x), event_ndims=1),
  )

