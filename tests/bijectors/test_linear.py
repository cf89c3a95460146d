import numpy as np
import pytest
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


def test_depth_to_space_is_tensorflows(rng):
  x = tf.constant(rng.normal(size=(2, 3, 4, 12)))
  np.testing.assert_array_equal(
      fo.bijectors.DepthToSpace(2).forward(x), tf.nn.depth_to_space(x, 2)
  )


@pytest.mark.parametrize(
    'shape, match', [((5, 4, 3), 'height'), ((4, 5, 3), 'width')]
)
def test_depth_to_space_names_what_does_not_fit(shape, match):
  with pytest.raises(ValueError, match=match):
    fo.bijectors.DepthToSpace(2).inverse_event_shape(shape)


def test_act_norm_normalises(rng):
  x = tf.constant(rng.normal(size=(50, 4, 4, 3)) * [1.0, 2.0, 3.0] + 5.0)
  bijector = fo.bijectors.ActNorm(3, dtype=tf.float64)
  np.testing.assert_array_equal(bijector.inverse(x), x)
  bijector.initialize(*tf.nn.moments(x, [0, 1, 2]))
  z = bijector.inverse(tf.identity(x))
  np.testing.assert_allclose(tf.reduce_mean(z, [0, 1, 2]), 0.0, atol=1e-12)
  np.testing.assert_allclose(tf.math.reduce_std(z, [0, 1, 2]), 1.0)
  with pytest.raises(ValueError, match='variance'):
    bijector.initialize([0.0] * 3, [1.0, 0.0, 1.0])
  with pytest.raises(ValueError, match='mean'):
    bijector.initialize([0.0, np.nan, 0.0], [1.0] * 3)


def test_scales_cannot_leave_their_range():
  bijector = registry.randomize(
      fo.bijectors.InvertibleConv1x1(4, log_range=0.5, dtype=tf.float64)
  )
  bijector.initialize(singular_values=[1e-3, 0.1, 1.0, 50.0])
  registry.randomize(bijector, scale=1e6)
  ratio = np.exp(bijector.log_singular_values) / [1e-3, 0.1, 1.0, 50.0]
  assert np.all(np.abs(np.log(ratio)) <= 0.5 + 1e-12)
  assert np.any(np.abs(np.log(ratio)) > 0.49)
  # However large the weights, the orthogonal factors are orthogonal.
  left = bijector.left
  np.testing.assert_allclose(
      tf.matmul(left, left, transpose_a=True), np.eye(4), atol=1e-9
  )


def test_what_is_not_trained_has_no_trained_variables(rng):
  bijector = fo.bijectors.InvertibleConv1x1(
      4, trainable=False, dtype=tf.float64
  )
  assert not bijector.trainable_variables
  left, right = registry.rotation(4, 0), registry.rotation(4, 1)
  s = np.array([1e-3, 0.1, 1.0, 50.0])
  bijector.initialize(left, s, right, [1.0, 2.0, 3.0, 4.0])
  assert not bijector.copy().trainable_variables
  y = rng.normal(size=(2, 4, 5, 4))
  np.testing.assert_allclose(
      bijector.copy().inverse(y),
      (y - [1.0, 2.0, 3.0, 4.0]) @ (left @ np.diag(s) @ right.T).T,
      rtol=1e-9,
  )


def test_conv_is_the_matrix_it_says(rng):
  u, v = registry.rotation(3, 0), registry.rotation(3, 1)
  s = np.array([0.5, 1.0, 4.0])
  bijector = fo.bijectors.InvertibleConv1x1(3, dtype=tf.float64)
  bijector.initialize(u, s, v, [1.0, 2.0, 3.0])
  y = rng.normal(size=(2, 4, 5, 3))
  matrix = u @ np.diag(s) @ v.T
  want = np.einsum('ij,...j->...i', matrix, y - [1.0, 2.0, 3.0])
  np.testing.assert_allclose(bijector.inverse(y), want, atol=1e-12)
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  np.testing.assert_allclose(bounds, [2.0, 4.0], rtol=1e-12)


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'left': np.ones([3, 3])}, 'left.*orthogonal'),
        ({'right': np.full([3, 3], np.nan)}, 'right.*orthogonal'),
        ({'singular_values': [1.0, 0.0, 1.0]}, 'singular_values'),
        ({'left': np.eye(4)}, r'left.*shape \[3, 3\]'),
        ({'shift': [0.0, np.nan, 0.0]}, 'shift'),
    ],
)
def test_conv_names_what_does_not_fit(arguments, match):
  with pytest.raises(ValueError, match=match):
    fo.bijectors.InvertibleConv1x1(3).initialize(**arguments)


def test_initialising_forgets_cached_values():
  y = tf.ones([2, 4, 4, 3])
  act_norm = fo.bijectors.ActNorm(3)
  conv = fo.bijectors.InvertibleConv1x1(3)
  for bijector, initialize in (
      (act_norm, lambda: act_norm.initialize([0.0] * 3, [9.0] * 3)),
      (conv, lambda: conv.initialize(singular_values=[1 / 3] * 3)),
  ):
    kept = bijector.inverse(y)
    bijector.inverse_log_det_jacobian(y, event_ndims=3)
    initialize()
    np.testing.assert_allclose(bijector.inverse(y), kept / 3, rtol=1e-6)
    np.testing.assert_allclose(
        bijector.inverse_log_det_jacobian(y, event_ndims=3),
        -48 * np.log(3),
        rtol=1e-6,
    )


def test_other_channels_are_refused():
  for bijector in (
      fo.bijectors.ActNorm(3),
      fo.bijectors.InvertibleConv1x1(3),
  ):
    for function in (bijector.forward, bijector.inverse):
      with pytest.raises(ValueError, match='shape'):
        function(tf.zeros([1, 2, 2, 1]))


def test_copies_cannot_change_what_the_weights_are_made_for():
  for bijector in (
      fo.bijectors.ActNorm(3),
      fo.bijectors.InvertibleConv1x1(3),
      fo.bijectors.ImageFlow([8, 8, 3], 2, 1, 8),
  ):
    with pytest.raises(ValueError, match='dtype'):
      bijector.copy(dtype=tf.float64)
    assert bijector.copy(name='other').name == 'other'


def test_nearly_orthogonal_matrices_are_made_orthogonal():
  bijector = fo.bijectors.InvertibleConv1x1(3, dtype=tf.float64)
  bijector.initialize(left=(1 + 4e-5) * registry.rotation(3, 0))
  left = bijector.left
  np.testing.assert_allclose(
      tf.matmul(left, left, transpose_a=True), np.eye(3), atol=1e-14
  )


def test_log_range_must_be_positive():
  with pytest.raises(ValueError, match='log_range'):
    fo.bijectors.ActNorm(3, log_range=0.0)


def test_factor_out_keeps_what_travels_first(rng):
  y = rng.normal(size=(2, 3, 4, 5))
  inner = fo.bijectors.FactorOut([3, 4, 2])
  bijector = fo.bijectors.FactorOut([3, 4, 5], 3, inner)
  z = bijector.inverse(y)
  np.testing.assert_array_equal(z[:, :24], y[..., :2].reshape(2, -1))
  np.testing.assert_array_equal(z[:, 24:], y[..., 2:].reshape(2, -1))
  with pytest.raises(ValueError, match='num_factored'):
    fo.bijectors.FactorOut([3, 4, 5], 6)
  with pytest.raises(ValueError, match='next_level'):
    fo.bijectors.FactorOut([3, 4, 5], 3)
  for shape in ([2, 3], [2, 2, None]):
    with pytest.raises(ValueError, match='event_shape'):
      fo.bijectors.FactorOut(shape)


@pytest.mark.parametrize('name', ['ActNorm', 'InvertibleConv1x1'])
def test_vectors_are_images_of_one_position(name, rng):
  images, vectors = (
      registry.randomize(
          getattr(fo.bijectors, name)(3, dtype=tf.float64, event_ndims=ndims)
      )
      for ndims in (3, 1)
  )
  y = rng.normal(size=(5, 3))
  np.testing.assert_allclose(
      vectors.inverse(y), images.inverse(y[:, None, None])[:, 0, 0]
  )
  np.testing.assert_allclose(
      np.broadcast_to(vectors.inverse_log_det_jacobian(y), [5]),
      np.broadcast_to(
          images.inverse_log_det_jacobian(y[:, None, None]), [5]
      ),
  )
  with pytest.raises(ValueError, match='`event_ndims=1`'):
    images.inverse(y)


def test_couplings_know_vectors_by_their_conditioner():
  for make in (
      lambda net: fo.bijectors.AffineCoupling(net),
      lambda net: fo.bijectors.SplineCoupling(net, num_bins=2),
  ):
    coupling = make(fo.networks.DenseConditioner(1, 4, 2))
    assert coupling.inverse(tf.ones([5, 2])).shape == [5, 2]
    assert make(fo.networks.ConvConditioner(1, 2, 2)).inverse(
        tf.ones([5, 4, 4, 2])
    ).shape == [5, 4, 4, 2]
    with pytest.raises(ValueError, match='`event_ndims=1`'):
      make(lambda x: tf.concat([x, x], -1)).inverse(tf.ones([5, 2]))
