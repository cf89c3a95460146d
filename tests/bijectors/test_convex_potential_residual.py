import numpy as np
import pytest
from support import jacobians
from support import probes
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.internal import stochastic_log_det


def make(size=4, units=6, scale=0.7, seed=0, **kwargs):
  layer = fo.lipschitz.LipschitzDense(size, units, dtype=tf.float64)
  bijector = fo.bijectors.ConvexPotentialResidual(layer, **kwargs)
  return registry.randomize(bijector, scale, seed)


def points(num=3, size=4, seed=0):
  return tf.constant(np.random.default_rng(seed).normal(size=(num, size)))


def convolution(kernel_size=3):
  layer = fo.lipschitz.LipschitzConv2D(
      2, 3, kernel_size=kernel_size, dtype=tf.float64
  )
  return registry.randomize(
      fo.bijectors.ConvexPotentialResidual(layer, 0.2, 5.0), 0.7
  )


@pytest.mark.parametrize('kind', ['dense', 'convolution', 'even kernel'])
def test_jacobians_are_symmetric_and_bounded(kind):
  if kind == 'dense':
    bijector, shape = make(smallest=0.2, largest=5.0), (8, 4)
  else:
    bijector = convolution(2 if kind == 'even kernel' else 3)
    shape = (8, 4, 3, 2)
  y = tf.constant(3.0 * np.random.default_rng(0).normal(size=shape))
  matrices = jacobians.jacobian_of(bijector.inverse)(y)
  np.testing.assert_allclose(
      matrices, np.swapaxes(matrices, 1, 2), atol=1e-12
  )
  values = np.linalg.eigvalsh(matrices)
  assert values.min() >= 0.2 - 1e-12 and values.max() <= 5.0 + 1e-12
  assert values.max() - values.min() > 0.5


def test_both_bounds_are_attained():
  # Far out all units are on, or all off.
  layer = fo.lipschitz.LipschitzDense(2, 2, dtype=tf.float64)
  bijector = fo.bijectors.ConvexPotentialResidual(layer, 0.1, 7.0)
  on = layer.effective_kernel().numpy().sum(axis=1) * 100.0
  matrices = jacobians.jacobian_of(bijector.inverse)(tf.constant([on, -on]))
  np.testing.assert_allclose(matrices[0], 7.0 * np.eye(2), atol=1e-9)
  np.testing.assert_allclose(matrices[1], 0.1 * np.eye(2), atol=1e-9)


def test_a_new_one_is_near_the_identity():
  layer = fo.lipschitz.LipschitzDense(3, 3, dtype=tf.float64)
  bijector = fo.bijectors.ConvexPotentialResidual(layer)
  zero = tf.zeros([1, 3], tf.float64)
  np.testing.assert_allclose(bijector.inverse(zero), 0)
  matrices = jacobians.jacobian_of(bijector.inverse)(zero)
  np.testing.assert_allclose(matrices, [np.eye(3)], atol=1e-9)


@pytest.mark.parametrize('units', [1, 4, 9])
def test_both_sides_of_sylvester(units):
  bijector = make(4, units, smallest=0.1, largest=3.0)
  y = points()
  want = np.linalg.slogdet(jacobians.jacobian_of(bijector.inverse)(y))[1]
  np.testing.assert_allclose(
      bijector.inverse_log_det_jacobian(tf.identity(y)), want, atol=1e-10
  )


@pytest.mark.parametrize('units', [2, 6])
def test_gradients_where_units_are_off(units):
  bijector = make(4, units)
  y = tf.constant(-1e4 * np.ones([2, 4]))
  with tf.GradientTape() as tape:
    tape.watch(y)
    value = tf.reduce_sum(bijector.inverse_log_det_jacobian(y))
  gradients = tape.gradient(value, [y, *bijector.trainable_variables])
  assert all(np.all(np.isfinite(g)) for g in gradients)


def test_lanczos_equals_the_exact_one_with_weighted_gradients():
  exact = make()
  estimated = exact.copy(log_det='lanczos', num_terms=4)
  variables = exact.trainable_variables
  weights = tf.constant([1.0, -2.0, 5.0], tf.float64)

  def run(log_det):
    x = points()
    with tf.GradientTape() as tape:
      tape.watch(x)
      value = log_det(x)
      loss = tf.reduce_sum(weights * value)
    return [value, *tape.gradient(loss, [x, *variables])]

  got = run(
      lambda x: stochastic_log_det.value_and_log_det(
          estimated._map,
          x,
          1,
          probes.orthogonal_probes(x),
          estimated._lanczos,
      )[1]
  )
  want = run(exact.inverse_log_det_jacobian)
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_lanczos_of_images_is_unbiased():
  exact = convolution()
  estimated = exact.copy(log_det='lanczos', num_terms=16)
  y = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 4, 2)))
  log_det = tf.function(
      lambda seed: estimated.inverse_log_det_jacobian(y, seed=seed)
  )
  got = np.stack([log_det(tf.constant([0, i])) for i in range(200)])
  want = exact.inverse_log_det_jacobian(tf.identity(y))
  error = got.std(axis=0, ddof=1) / np.sqrt(len(got))
  assert np.all(error > 0)
  assert np.all(np.abs(got.mean(axis=0) - want) < 4.5 * error)


@pytest.mark.parametrize('condition', [10.0, 1e4])
def test_solutions_are_within_their_bounds(condition):
  bijector = make(smallest=condition**-0.5, largest=condition**0.5)
  y = 10.0 * points(6)
  x = tf.identity(bijector.inverse(y))
  # In graphs: eager loops are slow.
  back, bound = tf.function(bijector.forward_with_error)(x)
  error = np.linalg.norm(back - y, axis=1)
  assert np.all(error <= bound)
  assert np.all(bound < 1e-12 * condition * 100)
  loose = bijector.copy(tolerance=1e-3)
  back, bound = tf.function(loose.forward_with_error)(x)
  error = np.linalg.norm(back - y, axis=1)
  scale = np.maximum(1.0, np.linalg.norm(x, axis=1))
  assert np.all(error <= bound) and np.all(bound <= 1.01e-3 * scale)


@pytest.mark.parametrize('scale', [1.0, 1e-3])
def test_bounds_in_float32_hold_for_the_solution_in_float64(scale, rng):
  """Near zero, where what a hidden unit adds up is large beside its value."""
  bijector = fo.bijectors.ConvexPotentialResidual(
      fo.lipschitz.LipschitzDense(1, 32)
  )
  kernel = bijector.layer.effective_kernel().numpy().astype(np.float64)
  # A new one: no biases, gains of 1, and slopes of 1/3 at 0.
  offset = np.log(0.5)

  def function(y):
    hidden = np.logaddexp(0.0, y @ kernel + offset) - np.log1p(np.exp(offset))
    return 0.5 * y + 1.5 * hidden @ kernel.T

  x = (scale * rng.normal(size=(2000, 1))).astype(np.float32)
  y = x.astype(np.float64)
  for _ in range(100):
    y -= 0.8 * (function(y) - x)
  np.testing.assert_allclose(function(y), x, rtol=1e-12, atol=1e-15)
  found, bound = bijector.forward_with_error(x)
  error = np.linalg.norm(found - y, axis=1)
  assert np.all(error <= bound)
  assert np.all(bound < 3e-5)


def test_gradients_of_the_solution_do_not_depend_on_the_solver():
  exact = make()
  variables = exact.trainable_variables
  x, weights = points(), points(seed=1)
  results = []
  for bijector in (exact, exact.copy(log_det='lanczos')):
    with tf.GradientTape() as tape:
      tape.watch(x)
      loss = tf.reduce_sum(weights * bijector.forward(tf.identity(x)))
    results.append(tape.gradient(loss, [x, *variables]))
  for a, b in zip(*results, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-11)
  # And is the inverse of the Jacobian, which is symmetric.
  y = tf.identity(tf.function(exact.forward)(x))
  want = np.linalg.solve(
      jacobians.jacobian_of(exact.inverse)(y), weights.numpy()[..., np.newaxis]
  )[..., 0]
  np.testing.assert_allclose(results[0][0], want, atol=1e-10)


@pytest.mark.parametrize(
    ('size', 'units', 'constants'),
    [(1, 2, (0.5, 2.0)), (3, 8, (0.05, 20.0)), (4, 8, (0.9, 1.2))],
)
def test_the_identity_to_start_with(size, units, constants):
  bijector = fo.bijectors.ConvexPotentialResidual(
      fo.lipschitz.LipschitzDense(size, units, dtype=tf.float64),
      *constants,
      conditioner=fo.networks.DenseConditioner(
          0, 4, units + size, conditioning_features=2, dtype=tf.float64
      ),
  )
  bijector.initialize_identity(seed=3)
  y, c = 3.0 * points(6, size), points(6, 2, seed=1)
  x, log_det = fo.bijectors.inverse_and_log_det(bijector, y, c)
  np.testing.assert_allclose(x, y, atol=1e-12)
  np.testing.assert_allclose(log_det, np.zeros(6), atol=1e-12)
  # One that is not linear in the weights: the first step bends it.
  registry.randomize(bijector, 0.1)
  x = bijector.inverse(tf.identity(y), conditioning=c)
  assert np.abs(x - y).max() > 1e-3


def test_curvatures_of_a_million_to_one():
  """Newton's steps are short there, and many."""
  bijector = fo.bijectors.ConvexPotentialResidual(
      fo.lipschitz.LipschitzDense(4, 8, dtype=tf.float64),
      smallest=1e-3,
      largest=1e3,
      max_iterations=50,
  )
  rng = np.random.default_rng(0)
  for variable in bijector.trainable_variables:
    variable.assign_add(10.0 * rng.normal(size=variable.shape))
  x = 1e4 * np.random.default_rng(3).normal(size=[32, 4])
  there = bijector.inverse(tf.identity(bijector.forward(x)))
  np.testing.assert_allclose(there, x, rtol=1e-6)


def test_an_identity_that_there_is_not():
  bijector = fo.bijectors.ConvexPotentialResidual
  dense = fo.lipschitz.LipschitzDense
  for layer, constants, message in (
      (dense(3, 4), (0.5, 2.0), '`layer`'),
      (dense(2, 5), (0.5, 2.0), '`layer`'),
      (dense(2, 4, use_bias=False), (0.5, 2.0), '`bias`'),
      (fo.lipschitz.LipschitzConv2D(2, 4), (0.5, 2.0), '`layer`'),
      (dense(2, 4), (0.5, 1.4), '`smallest` and `largest`'),
      (dense(2, 4), (1.0, 2.0), '`smallest` and `largest`'),
  ):
    made = bijector(layer, *constants)
    before = layer.effective_kernel().numpy()
    with pytest.raises(ValueError, match=message):
      made.initialize_identity()
    np.testing.assert_array_equal(layer.effective_kernel(), before)


def test_what_is_not_a_number_does_not_stop_the_others():
  bijector = make(3, 8)
  x = points(4, 3).numpy()
  x[1], x[2, 0] = np.nan, np.inf
  y = tf.function(bijector.forward)(tf.constant(x)).numpy()
  assert not np.isfinite(y[1:3]).all(axis=1).any()
  np.testing.assert_allclose(
      bijector.inverse(tf.constant(y[[0, 3]])), x[[0, 3]], atol=1e-9
  )


def test_bad_arguments():
  layer = fo.lipschitz.LipschitzDense(2, 2)
  bijector = fo.bijectors.ConvexPotentialResidual
  for kwargs in (
      {'smallest': 0.0},
      {'smallest': 2.0},
      {'largest': np.inf},
      {'largest': np.nan},
      {'log_det': 'series'},
      {'num_terms': 0},
      {'num_probes': 0},
      {'tolerance': -1.0},
      {'seed': 'a'},
  ):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
      bijector(layer, **kwargs)

  class Mine(fo.lipschitz.LipschitzDense):
    lipschitz = 1.0

  with pytest.raises(ValueError, match=r'`layer`.*no subclass'):
    bijector(Mine(2, 2))
  with pytest.raises(ValueError, match=r'`layer`.*no subclass'):
    bijector('a layer')
  with pytest.raises(ValueError, match=r'`layer`.*at most 1'):
    bijector(fo.lipschitz.LipschitzDense(2, 2, lipschitz=2.0))
  coarse = fo.lipschitz.LipschitzConv2D(1, 2, compute_dtype=tf.bfloat16)
  with pytest.raises(ValueError, match=r'`layer`.*got bfloat16'):
    bijector(coarse)
  with pytest.raises(ValueError, match='layer'):
    bijector(layer).copy(layer=layer)


def test_vectors_of_a_size_that_is_not_known(rng):
  bijector = registry.ENTRIES['ConvexPotentialResidual'].make(tf.float64)
  size = registry.ENTRIES['ConvexPotentialResidual'].data_shape[-1]
  y = rng.normal(size=[3, size])
  inverse = tf.function(
      bijector.inverse,
      input_signature=[tf.TensorSpec([None, None], tf.float64)],
  )
  np.testing.assert_allclose(inverse(y), bijector.inverse(y))
