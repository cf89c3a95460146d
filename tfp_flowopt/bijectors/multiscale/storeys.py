"""What stands before the levels of an `ImageFlow`, set from data alone."""

import tensorflow as tf

from tfp_flowopt.bijectors import conditional_shift
from tfp_flowopt.bijectors import dense_affine
from tfp_flowopt.bijectors import marginal_gaussianization
from tfp_flowopt.bijectors.multiscale import whole_images

__all__ = ['build_storeys']

# Numbers of the matrices of a flow, and of a shift, at most.
_LARGEST = dense_affine.MOST_NUMBERS


def build_storeys(config, event_shape, conditioning, has_class_maps):
  """The curves, or `None`, and the dictionary `ImageFlow.before_levels`.

  With `has_class_maps` the coarsest level has a map of each class, and so its
  mean image, as far as it is coarse. Finer ones would cost more than they gain:
  where all positions had one value, such as a background, they would not.

  A `ValueError` if images are too large to be whitened as a whole.
  """
  size, channels = event_shape.num_elements(), event_shape[-1]
  is_dense = config.whitening == 'dense'
  marginals, storeys = None, {}

  def of_vectors(bijector):
    return whole_images.WholeImages(bijector, event_shape)

  if config.gaussianize_marginals:
    marginals = marginal_gaussianization.MarginalGaussianization(
        size if is_dense else channels,
        config.marginal_knots,
        config.dtype,
        1 if is_dense else 3,
    )
    storeys['marginals'] = of_vectors(marginals) if is_dense else marginals
  num_features, num_classes = 0, None
  if conditioning is not None and len(conditioning.shape) == 1:
    num_features = conditioning.num_channels
    if is_dense or has_class_maps:
      num_classes = conditioning.num_classes
  # Maps of classes have shifts of their own.
  if num_features and not num_classes and size * num_features <= _LARGEST:
    matrix, shift = (
        tf.Variable(tf.zeros(shape, config.dtype), trainable=False, name=name)
        for name, shape in (
            ('shift_matrix', [size, num_features]), ('shift', [size])
        )
    )
    storeys['shift'] = of_vectors(
        conditional_shift.ConditionalShift(matrix, shift)
    )
  if is_dense:
    if (num_classes or 1) * size**2 > _LARGEST:
      raise ValueError(
          "Argument `whitening`: 'dense' keeps matrices of at most "
          f'{_LARGEST} numbers, and {num_classes or 1} of images of shape '
          f"{event_shape} have {(num_classes or 1) * size**2}: 'coarse' is "
          'for images of any size.'
      )
    storeys['whiten'] = of_vectors(
        dense_affine.DenseAffine(size, num_classes, config.dtype)
    )
  return marginals, storeys
