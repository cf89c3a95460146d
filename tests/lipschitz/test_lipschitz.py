import numpy as np
import pytest
from support import adversary
from support import convolutions
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.lipschitz import bounds

lip = fo.lipschitz


@pytest.mark.parametrize('name', convolutions.KERNELS)
def test_rescaled_kernels_have_norm_one(rng, name):
  for shape in [(3, 3, 2, 4), (3, 3, 4, 2), (1, 3, 3, 3), (5, 5, 1, 2),
                (2, 2, 2, 2), (1, 1, 4, 6)]:
    raw = tf.constant(convolutions.KERNELS[name](rng, shape))
    kernel = lip.almost_orthogonal(raw)
    assert kernel.shape == shape
    for padding in ('SAME', 'VALID', 'CIRCULAR'):
      for size in (5, 6):
        matrix = convolutions.operator(kernel, size, padding)
        norm = np.linalg.norm(matrix, ord=2)
        assert norm <= 1 + 1e-12, (shape, padding, size)
        if name == 'small':  # it never scales up
          assert norm < 0.5


def test_an_orthonormal_kernel_is_kept():
  kernel = np.zeros([3, 3, 4, 4])
  kernel[1, 1] = registry.rotation(4, 0)
  np.testing.assert_allclose(
      lip.almost_orthogonal(tf.constant(kernel)), kernel, rtol=1e-12
  )


def test_dense_kernels(rng):
  for shape in [(5, 8), (8, 5), (1, 4)]:
    kernel = lip.almost_orthogonal(tf.constant(3 * rng.normal(size=shape)))
    norm = np.linalg.norm(kernel, ord=2)
    assert 0.3 < norm <= 1 + 1e-12
  with pytest.raises(ValueError, match='kernel'):
    lip.almost_orthogonal(tf.zeros([3, 3, 3]))


def test_a_zero_kernel_has_a_finite_gradient():
  kernel = tf.Variable(tf.zeros([3, 3, 2, 2]))
  with tf.GradientTape() as tape:
    y = tf.reduce_sum(lip.almost_orthogonal(kernel))
  np.testing.assert_array_equal(tape.gradient(y, kernel), np.ones([3, 3, 2, 2]))


@pytest.mark.parametrize('scale', [0.1, 1.0, 100.0])
def test_conditioner_constant_against_an_adversary(scale):
  network = fo.networks.ConvConditioner(
      2, 6, 3, lipschitz=2.5, dtype=tf.float64
  )
  registry.randomize(network, scale)
  assert 2.5 < network.lipschitz < 2.5 * (1 + 1e-12)
  found = max(
      adversary.largest_expansion(network, (4, 4, 2)),
      adversary.largest_local_expansion(network, (4, 4, 2)),
  )
  assert 0.1 * 2.5 * min(scale, 1.0) < found <= 2.5 * (1 + 1e-9)


def test_conditioner_starts_at_zero(rng):
  network = fo.networks.ConvConditioner(2, 6, 3)
  x = tf.constant(rng.normal(size=(2, 4, 4, 2)), tf.float32)
  np.testing.assert_array_equal(network(x), np.zeros([2, 4, 4, 3]))
  assert network.lipschitz == pytest.approx(4.0, rel=1e-3)
  assert network.lipschitz > 4.0  # float32 weights: enlarged
  with pytest.raises(ValueError, match='hidden_channels'):
    fo.networks.ConvConditioner(2, 5, 3)
  with pytest.raises(ValueError, match='lipschitz'):
    fo.networks.ConvConditioner(2, 6, 3, lipschitz=0.0)


def test_dense_layer(rng):
  layer = lip.LipschitzDense(3, 5, dtype=tf.float64)
  x = rng.normal(size=(2, 7, 3))
  y = layer(x)
  # The initial kernel has orthonormal rows: an isometry.
  np.testing.assert_allclose(
      np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1)
  )
  assert 1 < layer.lipschitz < 1 + 1e-12


def test_max_min_sorts_pairs():
  x = tf.constant([[1.0, 5.0, 3.0, 2.0]])
  np.testing.assert_array_equal(lip.max_min(x), [[3.0, 5.0, 1.0, 2.0]])


def test_orthogonal_is_the_cayley_transform(rng):
  base = registry.rotation(5, 3)
  q = lip.Orthogonal(5, dtype=tf.float64)
  q.assign(base)
  np.testing.assert_allclose(q(), base, atol=1e-12)
  skew = np.tril(rng.uniform(-4.0, 4.0, size=(5, 5)), -1) / np.sqrt(5)
  skew -= skew.T
  target = base @ (np.eye(5) - skew) @ np.linalg.inv(np.eye(5) + skew)
  assert np.abs(target - base).max() > 0.1
  lower = np.tril(skew[1:, :-1]) * np.sqrt(5)
  (variable,) = q.trainable_variables
  variable.assign(
      tfp.math.fill_triangular_inverse(10 * np.arctanh(lower / 10))
  )
  np.testing.assert_allclose(q(), target, atol=1e-9)


@pytest.mark.parametrize('size', [2, 3, 24, 97])
def test_orthogonal_in_single_precision_with_any_weights(size, rng):
  q = lip.Orthogonal(size)
  (variable,) = q.trainable_variables
  for scale in (1.0, 1e3, 1e9, 1e30):
    variable.assign(scale * rng.normal(size=variable.shape))
    with tf.GradientTape() as tape:
      value = q()
    np.testing.assert_allclose(
        tf.matmul(value, value, transpose_a=True), np.eye(size), atol=2e-5
    )
    assert np.all(np.isfinite(tape.gradient(value, variable)))


def test_algebra():
  a, b = lip.LipschitzBounds(2.0, 3.0), lip.LipschitzBounds(5.0, 0.5)
  assert a.inverted() == (3.0, 2.0)
  assert a.then(b) == (10.0, 1.5)
  assert a.beside(b) == (5.0, 3.0)
  assert 2.0 < a.inflated(tf.float64).forward < 2.0 * (1 + 1e-12)
  assert a.inflated(tf.float32).forward > 2.0


@pytest.mark.parametrize('c', [0.0, 1e-9, 0.3, 5.0, 1e6])
@pytest.mark.parametrize('d', [1e-6, 0.5, 1.0, 2.7, 1e6])
def test_coupling_norm_is_the_spectral_norm(c, d):
  from tfp_flowopt.lipschitz import bounds

  want = np.linalg.norm([[1.0, 0.0], [c, d]], ord=2)
  np.testing.assert_allclose(bounds.coupling_norm(c, d), want, rtol=1e-12)


@pytest.mark.parametrize('rows', [100, 300])
@pytest.mark.parametrize('scale', [1e-200, 1.0, 1e200])
def test_the_norm_of_a_matrix_of_many_rows(rows, scale, rng):
  matrix = scale * (rng.normal(size=[rows, 280]) + 1.0)
  norm = np.linalg.svd(matrix, compute_uv=False)[0]
  found = bounds.largest_singular_value(matrix)
  assert norm <= found <= norm * (1.0 + 1e-9)
  assert bounds.largest_singular_value(np.zeros([rows, 280])) == 0
  assert bounds.largest_singular_value(np.zeros([rows, 0])) == 0
  matrix[3, 4] = np.nan
  assert bounds.largest_singular_value(matrix) == np.inf
