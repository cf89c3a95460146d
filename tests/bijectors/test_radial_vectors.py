"""RadialScaling of whole vectors."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo


def vectors(slopes=(1.5, -0.5), radii=(0.5, 2.0), **kwargs):
  bijector = fo.bijectors.RadialScaling(
      num_terms=2, event_ndims=1, dtype=tf.float64, **kwargs
  )
  bijector.initialize(slopes, radii)
  return bijector


def test_it_is_that_of_an_image_of_one_position(rng):
  bijector, y = vectors(), tf.constant(rng.normal(size=[2, 4, 5]))
  images = fo.bijectors.RadialScaling(num_terms=2, dtype=tf.float64)
  images.initialize([1.5, -0.5], [0.5, 2.0])
  x = bijector.inverse(y)
  as_images = images.inverse(y[..., tf.newaxis, tf.newaxis, :])
  np.testing.assert_allclose(x, as_images[..., 0, 0, :], rtol=1e-12)
  np.testing.assert_allclose(bijector.forward(tf.identity(x)), y, rtol=1e-9)


def test_log_det_is_that_of_the_jacobian(rng):
  bijector, y = vectors(), tf.constant(rng.normal(size=[3, 4]))
  with tf.GradientTape() as tape:
    tape.watch(y)
    x = bijector.inverse(y)
  jacobian = tape.batch_jacobian(x, y)
  np.testing.assert_allclose(
      bijector.inverse_log_det_jacobian(tf.identity(y)),
      np.linalg.slogdet(jacobian)[1],
      rtol=1e-10,
  )
  constants = fo.lipschitz.lipschitz_bounds(bijector)
  singular = np.linalg.svd(jacobian, compute_uv=False)
  assert singular.max() <= constants.inverse
  assert 1.0 / singular.min() <= constants.forward


def test_initial_values_are_those_given():
  bijector = vectors()
  np.testing.assert_allclose(bijector.log_slopes(), [1.5, -0.5], rtol=1e-12)
  # Quiet vectors are scaled by both slopes, loud ones by none.
  quiet, loud = (
      tf.fill([1, 3], tf.constant(v, tf.float64)) for v in (1e-9, 1e9)
  )
  np.testing.assert_allclose(bijector.inverse(quiet) / quiet, np.exp(1.0))
  np.testing.assert_allclose(bijector.inverse(loud) / loud, 1.0)


@pytest.mark.parametrize(
    'call, name',
    [
        (lambda: vectors(slopes=(5.0, 0.0)), 'values'),
        (lambda: vectors(radii=(0.0, 1.0)), 'radii'),
        (lambda: vectors(tile_size=2), 'tile_size'),
        (lambda: fo.bijectors.RadialScaling(event_ndims=2), 'event_ndims'),
    ],
)
def test_arguments_are_checked(call, name):
  with pytest.raises(ValueError, match=f'`{name}`'):
    call()
