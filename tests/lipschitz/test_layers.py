import math

import numpy as np
import pytest
from support import adversary
from support import convolutions
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.lipschitz import activations
from tfp_flowopt.lipschitz import gram

lip = fo.lipschitz
SHAPES = [(3, 3, 2, 4), (3, 3, 4, 2), (1, 1, 4, 6)]


def conv(kernel, dtype=tf.float64, **kwargs):
  """A convolution layer with a given kernel."""
  size, _, inputs, outputs = kernel.shape
  layer = lip.LipschitzConv2D(inputs, outputs, size, dtype=dtype, **kwargs)
  layer.trainable_variables[-1].assign(tf.cast(kernel, dtype))
  return layer


def norm(kernel, size=5):
  """Operator norm of a convolution, in float64."""
  kernel = tf.constant(kernel.numpy().astype(np.float64))
  return np.linalg.norm(convolutions.operator(kernel, size, 'SAME'), ord=2)


@pytest.mark.parametrize('normalization', ['aol', 'gram', None])
def test_weights_are_assigned(rng, normalization):
  kernel, bias = 0.01 * rng.normal(size=[3, 3, 2, 4]), rng.normal(size=4)
  rate = 4.0 if normalization else 1.0
  layer = lip.LipschitzConv2D(2, 4, normalization=normalization, rate=rate)
  layer.assign(kernel)
  # Too small to be rescaled.
  np.testing.assert_allclose(layer.effective_kernel(), kernel, rtol=1e-6)
  zero = tf.zeros([1, 2, 2, 2])
  np.testing.assert_array_equal(layer(zero), np.zeros([1, 2, 2, 4]))
  layer.assign(kernel, bias)
  np.testing.assert_allclose(layer(zero)[0, 0, 1], bias, rtol=1e-6)
  with pytest.raises(ValueError, match='`bias`'):
    lip.LipschitzDense(2, 4, use_bias=False).assign(kernel[0, 0], bias)


def test_the_kernel_is_the_last_variable():
  layer = lip.LipschitzConv2D(2, 4)
  assert layer.trainable_variables[-1].shape == [3, 3, 2, 4]


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
@pytest.mark.parametrize('normalization', ['aol', 'gram'])
@pytest.mark.parametrize('name', convolutions.KERNELS)
def test_constants_against_exact_operators(rng, name, normalization, dtype):
  for shape in SHAPES:
    layer = conv(
        convolutions.KERNELS[name](rng, shape),
        dtype,
        lipschitz=0.7,
        normalization=normalization,
    )
    assert layer.lipschitz == pytest.approx(0.7, rel=3e-3)
    found = norm(layer.effective_kernel())
    assert found <= layer.lipschitz * (1 + 1e-12)
    if name == 'random':
      assert found >= 0.3 * layer.lipschitz
    if name == 'one tap' and normalization == 'aol' and shape[0] > 1:
      # Orthonormal: nothing is wasted.
      assert found == pytest.approx(0.7, rel=1e-6)


@pytest.mark.parametrize('normalization', ['aol', 'gram'])
def test_dense_constants(rng, normalization):
  for shape in [(5, 8), (8, 5), (1, 4)]:
    layer = lip.LipschitzDense(
        *shape, lipschitz=3.0, normalization=normalization, dtype=tf.float64
    )
    layer.trainable_variables[-1].assign(10.0 * rng.normal(size=shape))
    found = np.linalg.norm(layer.effective_kernel(), ord=2)
    assert 0.9 < found <= 3 * (1 + 1e-12)
    x = tf.constant(rng.normal(size=[2, 3, shape[0]]))
    np.testing.assert_allclose(
        layer(x), x.numpy() @ layer.effective_kernel(), atol=1e-12
    )
    assert layer(x[0, 0]).shape == shape[1:]


@pytest.mark.parametrize('normalization', ['aol', 'gram'])
def test_layers_against_an_adversary(rng, normalization):
  layer = conv(
      5.0 * rng.normal(size=(3, 3, 2, 3)),
      lipschitz=2.0,
      normalization=normalization,
  )
  layer.trainable_variables[0].assign([1.0, -2.0, 3.0])  # the bias
  found = adversary.largest_expansion(layer, (4, 4, 2))
  assert 0.6 < found <= 2 * (1 + 1e-9)


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
@pytest.mark.parametrize('normalization', ['aol', 'gram'])
@pytest.mark.parametrize('scale', [0.0, 1e-45, 1e-39, 1e-30, 1e-18, 1e18, 1e30])
def test_kernels_of_all_sizes(rng, normalization, dtype, scale):
  for channels in (2, 4):  # either side is the thinner one
    raw = rng.normal(size=(3, 3, channels, 3))
    raw[:, :, 1] *= 1e-3
    layer = conv(scale * raw, dtype, normalization=normalization)
    if scale > 1:
      # Beside numbers of this size, channels of zeros.
      raw[:, :, 0] = raw[..., 0] = 0.0
      mixed = conv(scale * raw, dtype, normalization=normalization)
    else:
      mixed = layer
    for each in (layer, mixed):
      with tf.GradientTape() as tape:
        kernel = each.effective_kernel()
        value = tf.reduce_sum(tf.sin(kernel))
      gradient = tape.gradient(value, each.trainable_variables[-1])
      assert np.all(np.isfinite(kernel)) and np.all(np.isfinite(gradient))
      assert norm(kernel) <= each.lipschitz
    kernel = layer.effective_kernel()
    if scale > 1:  # not lost on the way
      assert norm(kernel) > 0.3
    elif scale == 1e-30:
      np.testing.assert_array_equal(kernel, layer.trainable_variables[-1])


@pytest.mark.parametrize('normalization', ['aol', 'gram'])
def test_a_huge_kernel_is_rescaled_as_a_large_one(rng, normalization):
  raw = rng.normal(size=(3, 3, 2, 3))
  huge, large = (
      conv(scale * raw, tf.float32, normalization=normalization)
      for scale in (1e30, 1e3)
  )
  np.testing.assert_allclose(
      huge.effective_kernel(), large.effective_kernel(), rtol=1e-5
  )


@pytest.mark.parametrize('normalization', ['aol', 'gram'])
@pytest.mark.parametrize('scale', [0.03, 1.0, 10.0])
def test_gradients_equal_finite_differences(rng, normalization, scale):
  # Some channels are rescaled, some not, and the largest entry counts, too.
  layer = conv(
      scale * rng.normal(size=(3, 3, 2, 3)), normalization=normalization
  )
  weights = rng.normal(size=(3, 3, 2, 3))
  variable = layer.trainable_variables[-1]

  def value():
    return tf.reduce_sum(weights * layer.effective_kernel())

  with tf.GradientTape() as tape:
    y = value()
  gradient = tape.gradient(y, variable)
  before = variable.numpy()
  for _ in range(3):
    direction = rng.normal(size=before.shape)
    variable.assign(before + 1e-6 * scale * direction)
    above = value()
    variable.assign(before - 1e-6 * scale * direction)
    below = value()
    variable.assign(before)
    np.testing.assert_allclose(
        np.sum(gradient * direction), (above - below) / (2e-6 * scale),
        rtol=1e-5, atol=1e-8,
    )


def test_without_normalization_there_is_no_bound(rng):
  raw = 5.0 * rng.normal(size=(3, 3, 2, 3))
  layer = conv(raw, normalization=None)
  assert layer.lipschitz == math.inf
  np.testing.assert_array_equal(layer.effective_kernel(), raw)


def test_without_bias_zero_stays_zero():
  layer = lip.LipschitzConv2D(2, 4, use_bias=False)
  assert [v.shape for v in layer.variables] == [[3, 3, 2, 4]]
  np.testing.assert_array_equal(
      layer(tf.zeros([1, 4, 4, 2])), np.zeros([1, 4, 4, 4])
  )
  dense = lip.LipschitzDense(2, 4, use_bias=False)
  np.testing.assert_array_equal(dense(tf.zeros([3, 2])), np.zeros([3, 4]))


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'normalization': 'spectral'}, "normalization.*'spectral'"),
        ({'lipschitz': 0.0}, 'lipschitz.*0.0'),
        ({'lipschitz': math.nan}, 'lipschitz.*nan'),
        ({'lipschitz': math.inf}, 'lipschitz.*normalization=None'),
        ({'lipschitz': 2.0, 'normalization': None}, 'lipschitz.*2.0'),
        ({'dtype': tf.float16}, 'dtype.*float16'),
    ],
)
def test_bad_arguments_are_named(arguments, match):
  with pytest.raises(ValueError, match=match):
    lip.LipschitzDense(2, 3, **arguments)
  with pytest.raises(ValueError, match=match):
    lip.LipschitzConv2D(2, 3, **arguments)


def test_bad_sizes_and_inputs_are_named():
  assert lip.LipschitzDense(0, 1).current_lipschitz == 0.0
  with pytest.raises(ValueError, match='in_features'):
    lip.LipschitzDense(-1, 3)
  with pytest.raises(ValueError, match='kernel_size'):
    lip.LipschitzConv2D(2, 3, kernel_size=0)
  # TensorFlow would take 4 channels for two groups of 2.
  with pytest.raises(ValueError, match='`x` must have 2 channels'):
    lip.LipschitzConv2D(2, 4)(tf.zeros([1, 8, 8, 4]))
  with pytest.raises(ValueError, match='`x` must have 2 channels'):
    lip.LipschitzDense(2, 4)(tf.zeros([3, 5]))


@pytest.mark.parametrize('function', [lip.max_min, lip.smooth_max_min])
def test_max_min_needs_pairs(function):
  for shape in [(2, 3), (1,), ()]:
    with pytest.raises(ValueError, match='even number of channels'):
      function(tf.zeros(shape))


@pytest.mark.parametrize('name', activations.ACTIVATIONS)
def test_activations_have_the_constant_one(rng, name):
  function = activations.activation_function(name, 6, 'width')
  # Near the corners, on them and far away.
  x = tf.constant(
      np.concatenate([s * rng.normal(size=(20, 6)) for s in (0, 0.05, 1, 1e3)])
  )
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = function(x)
  singular_values = np.linalg.svd(
      tape.batch_jacobian(y, x), compute_uv=False
  )
  assert np.all(singular_values <= 1 + 1e-12)
  np.testing.assert_allclose(singular_values.max(), 1.0)
  if name == 'max_min':  # it loses no gradient norm, not even in ties
    np.testing.assert_allclose(singular_values, 1.0)


def test_rotated_max_min_is_max_min_between_rotations(rng):
  x = rng.normal(size=(5, 4, 8))
  x[0] = 0.0
  identity = np.eye(4)
  rotation = np.block([[identity, identity], [identity, -identity]]) / 2**0.5
  np.testing.assert_allclose(rotation @ rotation, np.eye(8), atol=1e-15)
  rotated = activations.rotated_max_min(tf.constant(x @ rotation))
  np.testing.assert_allclose(rotated @ rotation, lip.max_min(x), atol=1e-15)


def test_smooth_max_min_is_max_min_with_a_round_corner(rng):
  x = tf.constant(rng.normal(size=(100, 6)))
  difference = np.abs(lip.smooth_max_min(x) - lip.max_min(x))
  assert 0.05 < difference.max() <= 0.1
  # The slope is continuous at the corner, where that of MaxMin jumps by 1.
  at = tf.constant([[-1e-6, 1e-6], [1e-6, -1e-6]], tf.float64)
  for function, jump in ((lip.max_min, 1.0), (lip.smooth_max_min, 0.0)):
    with tf.GradientTape() as tape:
      tape.watch(at)
      y = function(at)
    left, right = tape.batch_jacobian(y, at)
    np.testing.assert_allclose(np.abs(left - right).max(), jump, atol=1e-4)


def test_the_conditioner_is_its_formula(rng):
  network = fo.networks.ConvConditioner(
      2, 4, 3, lipschitz=2.5, dtype=tf.float64
  )
  registry.randomize(network, 1.0)
  (b1, k1), (b3, k3), (b2, k2) = (
      layer.trainable_variables
      for layer in (network._first, network._last, network._middle)
  )

  def layer(x, kernel, bias):
    matrix = convolutions.operator(lip.almost_orthogonal(kernel), 4, 'SAME')
    return (x.reshape(5, -1) @ matrix).reshape(5, 4, 4, -1) + bias.numpy()

  def act(x):
    return np.concatenate([x[..., :2], np.abs(x[..., 2:])], axis=-1)

  x = rng.normal(size=(5, 4, 4, 2))
  y = layer(act(layer(act(layer(x, k1, b1)), k2, b2)), k3, 0 * b3)
  np.testing.assert_allclose(
      network(tf.constant(x)), 2.5 * y + b3.numpy(), atol=1e-12
  )


@pytest.mark.parametrize('activation', ['max_min', 'relu'])
def test_networks_with_each_activation(activation):
  network = fo.networks.ConvConditioner(
      2, 6, 3, lipschitz=1.5, activation=activation, dtype=tf.float64
  )
  registry.randomize(network, 1.0)
  found = adversary.largest_expansion(network, (4, 4, 2))
  assert 0.05 < found <= 1.5 * (1 + 1e-9)


def test_the_activation_is_the_one_asked_for():
  def network(activation, width):
    return registry.randomize(
        fo.networks.ConvConditioner(2, width, 3, activation=activation)
    )

  x = tf.random.stateless_normal([2, 4, 4, 2], [0, 1])
  assert np.abs(network('relu', 6)(x) - network('max_min', 6)(x)).max() > 1e-3
  assert network('relu', 5)(x).shape == [2, 4, 4, 3]
  with pytest.raises(ValueError, match=r"activation.*'tanh'"):
    network('tanh', 6)
  for activation, width in (('max_min', 5), ('smooth_max_min', 5), ('relu', 0)):
    with pytest.raises(ValueError, match=f'hidden_channels.*got {width}'):
      network(activation, width)
    with pytest.raises(ValueError, match=f'hidden_features.*got {width}'):
      fo.networks.DenseConditioner(2, width, 3, activation=activation)


def test_a_network_without_bounds():
  flow = fo.bijectors.ImageFlow(
      [8, 8, 3],
      2,
      1,
      8,
      lipschitz_budget=None,
      conditioner_lipschitz=math.inf,
  )
  registry.randomize(flow)
  assert fo.lipschitz.lipschitz_bounds(flow) == (math.inf, math.inf)
  network = fo.networks.ConvConditioner(2, 6, 3, math.inf, dtype=tf.float64)
  registry.randomize(network, 10.0)
  assert network.lipschitz == math.inf
  # No factor and no rescaling: far beyond any bound.
  assert adversary.largest_expansion(network, (4, 4, 2), num_steps=5) > 100


@pytest.mark.parametrize('shape', [(3, 3, 2, 4), (2, 4, 3, 2), (1, 5, 2, 2),
                                   (6, 5, 2, 3)])
def test_gram_kernels_against_loops(rng, shape):
  height, width, inputs, _ = shape
  kernel = rng.normal(size=shape)
  want = np.zeros([2 * height - 1, 2 * width - 1, inputs, inputs])
  for a, b, c, d in np.ndindex(height, width, height, width):
    want[c - a + height - 1, d - b + width - 1] += kernel[a, b] @ kernel[c, d].T
  np.testing.assert_allclose(
      gram.gram_kernel(tf.constant(kernel)), want, atol=1e-12
  )
