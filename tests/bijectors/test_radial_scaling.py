"""RadialScaling beyond the contract, and cascades of it."""

import itertools

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo
from tfp_flowopt.bijectors import base


def make(log_slopes, radii, tile_size=1, num_groups=1, dtype=tf.float64):
  """A bijector with given parameters."""
  bijector = fo.bijectors.RadialScaling(
      tile_size,
      len(log_slopes),
      slope_bound=30.0,
      num_groups=num_groups,
      dtype=dtype,
  )
  slopes, log_radii = bijector.trainable_variables
  if 'radii' in slopes.name:
    slopes, log_radii = log_radii, slopes
  # What `LogSlopes` and the guard of the radii do, undone.
  slopes.assign(3.0 * np.arctanh(np.array(log_slopes) / 30.0))
  log_radii.assign(20.0 * np.arctanh(np.log(radii) / 20.0))
  return bijector


def reference(y, log_slopes, radii, tile_size, num_groups):
  """The formula, tile by tile, in numpy."""
  x = np.array(y)
  group = y.shape[3] // num_groups
  corners = itertools.product(
      range(0, y.shape[1], tile_size),
      range(0, y.shape[2], tile_size),
      range(0, y.shape[3], group),
  )
  for i, j, c in corners:
    tile = x[:, i : i + tile_size, j : j + tile_size, c : c + group]
    for s, radius in zip(log_slopes, radii, strict=True):
      r = np.sqrt(np.mean(tile**2, axis=(1, 2, 3), keepdims=True))
      tile *= (np.exp(s) + r / radius) / (1 + r / radius)
  return x


@pytest.mark.parametrize('tile_size', [1, 2])
@pytest.mark.parametrize('num_groups', [1, 2, 6])
def test_it_is_the_formula(rng, tile_size, num_groups):
  log_slopes, radii = [1.5, -0.7, 3.0], [0.1, 1.0, 5.0]
  y = np.exp(rng.normal(size=(5, 1, 1, 1))) * rng.normal(size=(5, 4, 6, 6))
  x = make(log_slopes, radii, tile_size, num_groups).inverse(y)
  np.testing.assert_allclose(
      x, reference(y, log_slopes, radii, tile_size, num_groups), rtol=1e-12
  )


def slopes_by_gradients(bijector, direction, x, dx, weights, d_weights):
  """The slope of value and log-determinant, mixed, along a line."""
  evaluate = getattr(base, f'{direction}_and_log_det')
  mix = tf.cos(tf.reshape(tf.range(x.size, dtype=tf.float64), x.shape))

  def mixed(x):
    value, log_det = evaluate(bijector, x)
    return tf.reduce_sum(mix * value) + 0.3 * tf.reduce_sum(log_det)

  given = tf.constant(x)
  with tf.GradientTape() as tape:
    tape.watch(given)
    value = mixed(given)
  gradients = tape.gradient(value, [given, *weights])
  by_gradients = sum(
      tf.reduce_sum(g * d)
      for g, d in zip(gradients, [dx, *d_weights], strict=True)
  )
  start, step, values = [w.numpy() for w in weights], 1e-5, []
  for sign in (1.0, -1.0):
    for w, value, d in zip(weights, start, d_weights, strict=True):
      w.assign(value + sign * step * d)
    values.append(mixed(x + sign * step * dx))
  for w, value in zip(weights, start, strict=True):
    w.assign(value)
  return by_gradients, (values[0] - values[1]) / (2.0 * step)


@pytest.mark.parametrize('direction', ['forward', 'inverse'])
@pytest.mark.parametrize(('tile_size', 'num_groups'), [(1, 6), (2, 1), (2, 2)])
def test_gradients_are_those_of_the_values(
    rng, tile_size, num_groups, direction
):
  bijector = make([1.5, -0.7, 3.0], [0.1, 1.0, 5.0], tile_size, num_groups)
  weights = bijector.trainable_variables
  x = np.exp(rng.normal(size=(3, 1, 1, 1))) * rng.normal(size=(3, 4, 2, 6))
  zeros = [np.zeros_like(x), *(np.zeros(w.shape) for w in weights)]
  for i, zero in enumerate(zeros):  # of one argument at a time
    along = [*zeros[:i], rng.normal(size=zero.shape), *zeros[i + 1 :]]
    actual, desired = slopes_by_gradients(
        bijector, direction, x, along[0], weights, along[1:]
    )
    np.testing.assert_allclose(actual, desired, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('direction', ['forward', 'inverse'])
def test_gradients_of_a_cascade_are_those_of_the_values(rng, direction):
  bijector = registry.randomize(
      fo.bijectors.ScalingCascade(3, tile_sizes=(2, 1), dtype=tf.float64)
  )
  weights = bijector.trainable_variables
  x = rng.normal(size=(2, 4, 2, 3))
  actual, desired = slopes_by_gradients(
      bijector,
      direction,
      x,
      rng.normal(size=x.shape),
      weights,
      [rng.normal(size=w.shape) for w in weights],
  )
  np.testing.assert_allclose(actual, desired, rtol=1e-6, atol=1e-6)


def test_the_jacobian_has_two_eigenvalues(rng):
  bijector = make([1.2, 0.4], [0.3, 2.0])
  y = tf.constant(rng.normal(size=(1, 1, 1, 6)))
  with tf.GradientTape() as tape:
    tape.watch(y)
    x = bijector.inverse(y)
  jacobian = tape.jacobian(x, y).numpy().reshape(6, 6)
  np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-12)
  eigenvalues = np.linalg.eigvalsh(jacobian)
  ratio = x.numpy().ravel()[0] / y.numpy().ravel()[0]
  # Across the radius the ratio, five times; along it less, the slope.
  np.testing.assert_allclose(eigenvalues[1:], ratio, rtol=1e-12)
  assert 1 < eigenvalues[0] < ratio < np.exp(1.6)


@pytest.mark.parametrize('direction', ['forward', 'inverse'])
def test_a_cascade_is_its_parts(rng, direction):
  cascade = fo.bijectors.ScalingCascade(6, (2, 1), 3, dtype=tf.float64)
  for variable in cascade.trainable_variables:
    variable.assign_add(0.05 * rng.normal(size=variable.shape))
  x = tf.constant(rng.normal(size=(2, 5, 4, 2, 6)))

  def value_and_gradients(parts):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y, total = tf.identity(x), 0.0
      for part in parts():
        log_det = getattr(part, f'{direction}_log_det_jacobian')(y)
        y, total = getattr(part, direction)(y), total + log_det
      loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(tf.square(total))
    return y, total, *tape.gradient(loss, [x, *cascade.trainable_variables])

  def parts():
    return cascade.parts[:: 1 if direction == 'inverse' else -1]

  got = value_and_gradients(lambda: [cascade])
  assert got[1].shape == (2, 5)
  for a, b in zip(got, value_and_gradients(parts), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_it_makes_a_scale_mixture_more_gaussian(rng):
  """Training finds the radial map of a Gaussian scale mixture."""
  strengths = np.exp(rng.uniform(-3, 0, size=(400, 4, 4, 1)))
  y = tf.constant(strengths * rng.normal(size=(400, 4, 4, 12)), tf.float32)
  distribution = fo.bijectors.ScalingCascade(12, (1,))
  optimizer = tf_keras.optimizers.Adam(0.02)

  def negative_log_likelihood():
    x = distribution.inverse(tf.identity(y))
    log_det = distribution.inverse_log_det_jacobian(tf.identity(y))
    squares = tf.reduce_sum(tf.square(x), axis=[1, 2, 3])
    return tf.reduce_mean(0.5 * squares - log_det) / (4 * 4 * 12)

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      loss = negative_log_likelihood()
    variables = distribution.trainable_variables
    optimizer.apply_gradients(
        zip(tape.gradient(loss, variables), variables, strict=True)
    )

  optimizer.build(distribution.trainable_variables)
  for _ in range(300):
    step()
  # With the strengths known it would be 0.5 + E log strength = -1; the best
  # linear map reaches 0.5 + log(rms strength).
  linear = 0.5 + 0.5 * np.log(np.mean(strengths**2))
  assert negative_log_likelihood() < linear - 0.35


@pytest.mark.parametrize('log_slope', [-25.0, 25.0])
def test_extreme_inputs_stay_finite(log_slope):
  bijector = make([log_slope], [1.0], tile_size=2, dtype=tf.float32)
  sizes = [0.0, 1e-38, 1e-20, 1.0, 1e15, 1e17, 1e18, 1e19, 1e30]
  y = tf.constant(
      np.float32(sizes)[:, None, None, None] * np.ones((9, 2, 2, 3), 'f')
  )
  for function in (bijector.inverse, bijector.forward):
    with tf.GradientTape() as tape:
      tape.watch(y)
      value = function(y)
    assert np.all(np.isfinite(value))
    gradient = tape.gradient(value, y)
    assert np.all(np.isfinite(gradient))
    # Far out it is the identity.
    np.testing.assert_allclose(gradient[-3:], 1.0, rtol=1e-4)
  assert np.all(np.isfinite(bijector.inverse_log_det_jacobian(y)))
  assert np.all(np.isfinite(bijector.forward_log_det_jacobian(y)))


def test_tiles_must_fit():
  with pytest.raises(ValueError, match='tile_size'):
    fo.bijectors.RadialScaling(tile_size=4).inverse(tf.zeros([1, 4, 6, 3]))
  with pytest.raises(ValueError, match='num_groups'):
    fo.bijectors.RadialScaling(num_groups=2).inverse(tf.zeros([1, 4, 6, 3]))
  with pytest.raises(ValueError, match='tile_sizes'):
    fo.bijectors.ScalingCascade(3, (2, 3)).inverse(tf.zeros([1, 4, 6, 3]))


@pytest.mark.parametrize(
    'bijector',
    [fo.bijectors.RadialScaling(2), fo.bijectors.ScalingCascade(3, (2,))],
)
def test_tiles_are_not_made_of_several_images(bijector):
  unknown = tf.TensorSpec([None, None, None, 3])
  inverse = tf.function(bijector.inverse, input_signature=[unknown])
  with pytest.raises(tf.errors.InvalidArgumentError):
    inverse(tf.zeros([4, 5, 4, 3]))
  assert inverse(tf.zeros([4, 6, 4, 3])).shape == [4, 6, 4, 3]


def test_channels_alone_cost_no_more_than_one():
  """Groups act side by side: the constants are those of one of them."""
  one, many = (
      fo.lipschitz.lipschitz_bounds(make([1.0, 0.5], [1.0, 2.0], 2, groups))
      for groups in (1, 6)
  )
  assert one == many
  np.testing.assert_allclose(one.inverse, np.exp(1.5))


@pytest.mark.parametrize(
    'arguments',
    [
        {'tile_size': 0},
        {'num_groups': 0},
        {'num_terms': 0},
        {'slope_bound': 0.0},
        {'radius_range': (0.0, 1.0)},
        {'radius_range': (2.0, 1.0)},
    ],
)
def test_bad_arguments_are_named(arguments):
  name = next(iter(arguments)).replace('slope_', '')
  with pytest.raises(ValueError, match=name):
    fo.bijectors.RadialScaling(**arguments)


def test_a_cascade_needs_tiles():
  with pytest.raises(ValueError, match='tile_sizes'):
    fo.bijectors.ScalingCascade(3, ())


@pytest.mark.parametrize(
    'entry', ['RadialScaling', 'RadialScaling, tiles', 'RadialScaling, groups']
)
def test_tangent_is_the_derivative(entry):
  entry = registry.ENTRIES[entry]
  bijector = entry.make(tf.float64)
  rng = np.random.default_rng(0)
  # A tile of zeros is scaled like those near it.
  x = rng.normal(size=(2, *entry.data_shape))
  x[1, :2, :2] = 0.0
  x = tf.constant(x)
  v = tf.constant(rng.normal(size=x.shape))
  tangent = bijector.tangent(x)
  step = 1e-6
  want = (bijector.inverse(x + step * v) - bijector.inverse(x - step * v)) / (
      2 * step
  )
  got = tangent.inverse(v)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(tangent.forward(tf.identity(got)), v, rtol=1e-9)


@pytest.mark.parametrize('tile_size', [1, 2, 4, 8])
@pytest.mark.parametrize('num_groups', [None, 1, 2])
def test_jacobians_are_vectorized(tile_size, num_groups, rng):
  """TensorFlow broadcasts five axes in turn at most, and adds one here."""
  bijector = registry.randomize(fo.bijectors.RadialScaling(
      tile_size, num_groups=num_groups, dtype=tf.float64
  ))
  y = tf.constant(rng.normal(size=[2, 8, 8, 4]))
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(y)
    x = bijector.inverse(y)[:, :3, :3]
  np.testing.assert_allclose(
      tape.batch_jacobian(x, y),
      tape.batch_jacobian(x, y, experimental_use_pfor=False),
      atol=1e-12,
  )


def test_a_copy_is_checked_as_the_constructor_does():
  vectors = fo.bijectors.RadialScaling(event_ndims=1)
  with pytest.raises(ValueError, match='must be 1 for vectors, got 2'):
    vectors.copy(tile_size=2)
  assert fo.bijectors.RadialScaling().copy(tile_size=2).tile_size == 2
