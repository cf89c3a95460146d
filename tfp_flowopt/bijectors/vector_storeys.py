"""What stands before the steps of a `VectorFlow`, set from data."""

import tensorflow as tf

from tfp_flowopt.bijectors import conditional_shift
from tfp_flowopt.bijectors import dense_affine
from tfp_flowopt.bijectors import marginal_gaussianization as marginals
from tfp_flowopt.bijectors import radial_scaling
from tfp_flowopt.bijectors import vector_layers
from tfp_flowopt.lipschitz import bounds

__all__ = ['build_storeys', 'support_bounds']

# Of `radius`, as a logarithm: a little more than is chosen from data.
_SLOPE_BOUND = 4.5


def build_storeys(
    size, condition, num_knots, feature_knots, with_radius, log_range, dtype
):
  """Marginals, condition curves, shift, two whitenings, and radius.

  Each is `None` where there is none. `num_knots` are those of the marginals,
  `None` for none, and `feature_knots` those of the condition curves.
  """
  columns = curves = shift = of_classes = radius = None
  if num_knots is not None:
    columns = marginals.MarginalGaussianization(
        size, num_knots, event_ndims=1, dtype=dtype
    )
  if condition is not None:
    num_features = condition.num_channels
    # A line is enough for labels.
    knots = 2 if condition.is_labels else feature_knots
    curves = marginals.MarginalGaussianization(
        num_features, knots, dtype, 1, name='condition_curves'
    )
    matrix = tf.zeros([size, num_features], dtype)
    shift = conditional_shift.ConditionalShift(
        tf.Variable(matrix, name='shift_matrix')
    )
  whiten = vector_layers.linear(size, log_range, dtype, 'whiten')
  classes = condition and condition.num_classes
  if classes and classes * size**2 <= dense_affine.MOST_NUMBERS:
    of_classes = dense_affine.DenseAffine(
        size, classes, dtype, name='whiten_classes'
    )
  if with_radius:
    radius = radial_scaling.RadialScaling(
        num_terms=1, slope_bound=_SLOPE_BOUND, event_ndims=1, dtype=dtype
    )
  return columns, curves, shift, whiten, of_classes, radius


def support_bounds(support):
  """Constants of a support or `None`: infinite where they are not known."""
  return bounds.ISOMETRY if support is None else bounds.known_bounds(support)
