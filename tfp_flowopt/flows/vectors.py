"""The closed-form start of flows of vectors."""

from typing import NamedTuple
import warnings

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.flows import class_maps
from tfp_flowopt.flows import elliptical
from tfp_flowopt.flows import held_out
from tfp_flowopt.flows import lines
from tfp_flowopt.flows import radial_curve
from tfp_flowopt.flows import whitening
from tfp_flowopt.internal import event_arrays
from tfp_flowopt.internal import module_tree

__all__ = ['initialize_vectors']

# Rows that are read at once.
_BATCH = 65536
# What curves must gain to be there, nats a component. In a table of fewer
# vectors a component than this they need to gain nothing; in others training
# goes further, and has to undo what they bend. With fewer vectors a component
# and feature, gains are those of held-out vectors.
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


class _Start(NamedTuple):
  """What the flow starts with.

  Attributes:
    is_curved: Whether there are curves of vectors.
    is_bent: Whether those of features are no lines.
    shrinkage: The `Shrinkage` of a table of few vectors, or `None`.
    knots: Of `marginals`, if any.
    condition_knots: Of `condition_curves`, if any.
    elliptical: The `EllipticalMap` of what arrives.
    log_likelihood: Mean over the data, nats.
  """

  is_curved: bool
  is_bent: bool
  shrinkage: held_out.Shrinkage | None
  knots: tuple | None
  condition_knots: tuple | None
  elliptical: elliptical.EllipticalMap
  log_likelihood: float

  @property
  def value(self):
    """What starts are chosen by: of held-out vectors where these are few."""
    if self.shrinkage is None:
      return self.log_likelihood
    return self.shrinkage.log_likelihood


def _best_start(flow, y, features, lipschitz):
  """The `_Start` with those curves that gain enough."""
  size = flow.latent_size
  unit = size if len(y) >= _FEW * size else 0.0
  radius_gain = _RADIUS_GAIN * unit if flow.radius is not None else np.inf
  table, folds = y, []
  if features is not None:
    table = np.concatenate([y, features], axis=1)
  if len(y) < _FEW * table.shape[1]:
    folds = held_out.held_out_rows(table)
    if not folds and lipschitz is None:
      warnings.warn(
          f'Argument `data` has {len(y)} vectors, of which too few differ to '
          'hold some out: others will have a far lower likelihood. Give more '
          'data, or `lipschitz`.',
          stacklevel=4,
      )

  def start(*args, **kwargs):
    return _start(
        flow, y, features, lipschitz, radius_gain, *args, **kwargs
    )

  def found(*args):
    if not folds:
      return start(*args)
    shrinkage = held_out.shrinkage(
        [_fold(flow, y, features, lipschitz, rows, *args) for rows in folds],
        lambda radii, log_scales: radial_curve.best_curve(
            radii, size, radius_gain, log_scales, lipschitz is not None
        ),
    )
    return start(*args, shrinkage)

  always = flow.gaussianize_marginals
  best = found(bool(always), False)
  if features is not None and flow.condition_curves.inputs.shape[1] > 2:
    bent = found(best.is_curved, True)
    if bent.value > best.value + _CURVES_GAIN * unit:
      best = bent
  choices = [best]
  if flow.marginals is not None and not always:
    curved = found(True, best.is_bent)
    if curved.value > best.value + _CURVES_GAIN * unit:
      # What is a shape of all vectors together may be one of no class.
      best, choices = curved, [curved, best]
  if flow.whiten_classes is None:
    return best
  by_class = class_maps.rows_by_class(
      y, features.argmax(axis=1), features.shape[1]
  )
  return max(
      (
          start(*choice[:3], by_class=by_class, without=choice.elliptical)
          for choice in choices
      ),
      key=lambda start: start.log_likelihood,
  )


def _start(
    flow,
    y,
    features,
    lipschitz,
    radius_gain,
    is_curved,
    is_bent,
    shrinkage=None,
    **kwargs,
):
  """The `_Start` with these curves."""
  knots, condition_knots = _knots(flow, y, features, is_curved, is_bent)
  y, given, log_likelihood = _curved(flow, y, features, knots, condition_knots)
  best = elliptical.elliptical_map(
      y,
      given,
      radius_gain,
      _whitening_map(flow, y, lipschitz),
      _eps(flow),
      lipschitz is not None,
      shrinkage=shrinkage,
      **kwargs,
  )
  log_likelihood += best.log_likelihood
  return _Start(
      is_curved,
      is_bent,
      shrinkage,
      knots,
      condition_knots,
      best,
      log_likelihood,
  )


def _whitening_map(flow, y, lipschitz):
  """Function of moments, and noise that arrives, of the `WhiteningMap`."""
  if lipschitz is None:
    lipschitz = _bounds(y)
  num_steps = flow.steps.num_steps if flow.steps else 0
  return lambda moments, noise: whitening.whitening_map(
      moments, lipschitz, noise, num_steps, flow.dtype
  )


def _eps(flow):
  return np.finfo(flow.dtype.as_numpy_dtype).eps


def _fold(flow, y, features, lipschitz, is_held_out, is_curved, is_bent):
  """The `Fold` of these rows."""
  others = ~is_held_out
  knots = _knots(
      flow,
      y[others],
      None if features is None else features[others],
      is_curved,
      is_bent,
  )
  y_curved, given = np.zeros(y.shape), None
  for rows in (others, is_held_out):
    part, given_part, log_det = _curved(
        flow, y[rows], None if features is None else features[rows], *knots
    )
    if given is None:
      given = np.zeros([len(y), given_part.shape[1]])
    y_curved[rows], given[rows] = part, given_part
  limited = None
  # Large covariances of few rows stay away from limits that are not given.
  if lipschitz is not None or np.count_nonzero(others) >= y.shape[1]:
    whitening_map = _whitening_map(flow, y_curved, lipschitz)
    squares = np.mean(np.square(given), axis=0)

    def limited(mean, covariance, matrix):
      return whitening_map(
          whitening.moments_of(mean, covariance),
          elliptical.rounding_noise(matrix, squares, _eps(flow)),
      )

  return held_out.Fold(is_held_out, y_curved, given, log_det, limited)


def _knots(flow, y, features, is_curved, is_bent):
  """Knots of the curves of vectors and of features, or `None`."""
  knots = condition_knots = None
  if is_curved:
    knots = optimum.gaussian_curves(y, flow.marginals.inputs.shape[1])
  if features is not None:
    fit = optimum.gaussian_curves if is_bent else _line
    condition_knots = fit(features, flow.condition_curves.inputs.shape[1])
  return knots, condition_knots


def _curved(flow, y, features, knots, condition_knots):
  """Vectors and features through their curves; mean log-determinant."""
  log_det, given = 0.0, np.zeros([len(y), 0])
  if knots is not None:
    y, log_det = _mapped(_with_knots(flow.marginals, knots), y)
  if features is not None:
    curves = _with_knots(flow.condition_curves, condition_knots)
    given, _ = _mapped(curves, features)
  return y, given, log_det


def _bounds(y):
  """`(0, M)`, `M` 1e3 divided by the least scale of a column that varies."""
  y = np.asarray(y, np.float64)
  scale = y.std(axis=0)
  varies = scale > 1e-6 * np.abs(y.mean(axis=0))
  return 0.0, 1e3 / np.min(scale[varies], initial=1.0)


def _line(features, num_knots):
  """Knots that standardise."""
  return lines.standard_line(
      features.mean(axis=0), features.std(axis=0), num_knots
  )


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

