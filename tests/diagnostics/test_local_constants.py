import itertools

import numpy as np
import pytest
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors
local_lipschitz = fo.diagnostics.local_lipschitz


def singular_values(bijector, x):
  """Of the dense Jacobian of `inverse`, descending, `[N, D]`."""
  # Only the weights are constant.
  with fo.lipschitz.frozen(bijector):
    matrices = jacobians.jacobian_of(bijector.inverse)(x)
  return np.linalg.svd(matrices, compute_uv=False)


def data(entry, num, scale=1.0):
  rng = np.random.default_rng(0)
  return tf.constant(scale * rng.normal(size=(num, *entry.data_shape)))


# The Jacobian itself, and Lanczos' method.
each_method = pytest.mark.parametrize('num_steps', [None, 32])


@pytest.mark.parametrize(
    'name, num_steps',
    [
        *itertools.product(
            ['DepthToSpace', 'InvertibleConv1x1', 'AffineCoupling'], [None, 32]
        ),
        # The part of a flow whose gradients are its own, which take long to
        # trace. Flows, by the Jacobian: tests/bijectors/test_conditioning.py.
        ('RepeatedSteps', 32),
    ],
)
def test_equal_to_the_dense_jacobian(name, num_steps):
  entry = registry.ENTRIES[name]
  x = data(entry, 3, scale=2.0)
  bijector = entry.make(tf.float64)
  want = singular_values(bijector, x)
  local = local_lipschitz(bijector, x, num_steps)
  np.testing.assert_allclose(local.inverse, want[:, 0], rtol=1e-6)
  np.testing.assert_allclose(local.forward, 1 / want[:, -1], rtol=1e-6)
  np.testing.assert_allclose(
      local.condition, want[:, 0] / want[:, -1], rtol=1e-6
  )
  certified = fo.lipschitz.lipschitz_bounds(bijector)
  assert np.all(local.inverse <= certified.inverse * (1 + 1e-12))
  assert np.all(local.forward <= certified.forward * (1 + 1e-12))


@each_method
def test_float32_in_a_graph_with_a_dynamic_batch(num_steps):
  entry = registry.ENTRIES['AffineCoupling']
  x = data(entry, 4)
  want = singular_values(entry.make(tf.float64), x)
  bijector = entry.make(tf.float32)
  compiled = tf.function(
      lambda x: local_lipschitz(bijector, x, num_steps),
      input_signature=[tf.TensorSpec([None, *entry.data_shape])],
  )
  for n in (4, 1):
    local = compiled(tf.cast(x[:n], tf.float32))
    assert local.inverse.dtype == tf.float32
    np.testing.assert_allclose(local.inverse, want[:n, 0], rtol=1e-4)
    np.testing.assert_allclose(local.forward, 1 / want[:n, -1], rtol=1e-4)


@each_method
def test_a_single_event(num_steps):
  entry = registry.ENTRIES['InvertibleConv1x1']
  bijector, x = entry.make(tf.float64), data(entry, 2)
  one, two = (local_lipschitz(bijector, x[:n], num_steps) for n in (1, 2))
  assert one.inverse.shape == one.forward.shape == [1]
  np.testing.assert_allclose(one.inverse, two.inverse[:1], rtol=1e-6)
  np.testing.assert_allclose(one.forward, two.forward[:1], rtol=1e-6)


def ill_conditioned(dtype, condition):
  """A dense matrix with singular values 1 to 1 / condition, as a bijector."""
  matrix = (
      registry.rotation(30, 1)
      @ np.diag(np.geomspace(1.0, 1.0 / condition, 30))
      @ registry.rotation(30, 2)
  )
  # `inverse` must not amplify rounding errors by the condition: use the
  # matrices of both directions as they are.
  class Dense(tfb.Bijector):
    def __init__(self):
      super().__init__(forward_min_event_ndims=1, dtype=dtype)
      self.matrix = tf.constant(matrix, dtype)
      self.other = tf.constant(np.linalg.inv(matrix), dtype)

    def _inverse(self, y):
      return tf.linalg.matvec(self.matrix, y)

    def _forward(self, x):
      return tf.linalg.matvec(self.other, x)

  return Dense()


@each_method
@pytest.mark.parametrize(
    'dtype, condition', [(tf.float64, 1e12), (tf.float32, 1e6)]
)
def test_the_smallest_singular_value_keeps_its_digits(
    dtype, condition, num_steps
):
  # From J^T J it would have none: its smallest eigenvalue is below rounding.
  bijector = ill_conditioned(dtype, condition)
  x = tf.ones([2, 30], dtype)
  local = local_lipschitz(bijector, x, num_steps)
  rtol = 1e-3
  np.testing.assert_allclose(local.inverse, [1.0, 1.0], rtol=rtol)
  np.testing.assert_allclose(local.forward, [condition] * 2, rtol=rtol)


def test_estimates_are_from_below_and_rise(rng):
  values = rng.uniform(0.5, 2.0, size=400)
  bijector = tfb.Scale(tf.constant(1 / values))
  x = tf.constant(rng.normal(size=(3, 400)))
  before = np.zeros(3)
  for num_steps in (1, 4, 16, 64):
    local = local_lipschitz(bijector, x, num_steps)
    assert np.all(local.inverse <= values.max() * (1 + 1e-12))
    assert np.all(local.forward <= (1 / values).max() * (1 + 1e-12))
    assert np.all(local.inverse > before)
    before = local.inverse.numpy()
  assert np.all(before > values.max() * (1 - 1e-3))


def test_large_events_are_estimated(rng):
  values = rng.uniform(0.5, 2.0, size=1025)
  x = tf.constant(rng.normal(size=(2, 1025)))
  for size, exact in ((1024, True), (1025, False)):
    bijector = tfb.Scale(tf.constant(1 / values[:size]))
    local = local_lipschitz(bijector, x[:, :size])
    error = 1 - local.inverse / values[:size].max()
    assert np.all(np.abs(error) < 1e-12) == exact
    assert np.all(error < 0.05)


def test_more_steps_than_dimensions_change_nothing():
  # The Krylov space is exhausted after one, two and three steps.
  for values in ([2.0, 2.0, 2.0], [2.0, 0.5, 0.5], [3.0, 2.0, 0.1]):
    for dtype in (tf.float32, tf.float64):
      scale = tfb.Scale(tf.constant(1 / np.array(values), dtype))
      local = local_lipschitz(scale, tf.ones([5, 3], dtype), 50)
      np.testing.assert_allclose(local.inverse, [max(values)] * 5, rtol=1e-5)
      np.testing.assert_allclose(
          local.forward, [1 / min(values)] * 5, rtol=1e-5
      )


def test_values_differ_between_events_and_repeat_with_the_seed(rng):
  x = tf.constant(rng.normal(size=(4, 3)))
  bijector = tfb.Invert(tfb.Tanh())  # inverse = tanh, slope 1 - tanh^2
  local = local_lipschitz(bijector, x, 32, seed=(1, 2))
  slopes = 1 - np.tanh(x) ** 2
  np.testing.assert_allclose(local.inverse, slopes.max(axis=1), rtol=1e-9)
  np.testing.assert_allclose(local.forward, 1 / slopes.min(axis=1), rtol=1e-6)
  again = local_lipschitz(bijector, x, 32, seed=(1, 2))
  np.testing.assert_array_equal(local.inverse, again.inverse)
  # One step depends on the start, and so on the seed.
  one, other = (local_lipschitz(bijector, x, 1, seed=(0, i)) for i in (0, 1))
  assert np.all(one.inverse != other.inverse)


class Loop(tfb.Bijector):
  """`y -> 2 y`, three times, in a loop, by a function with its own gradient."""

  def __init__(self):
    super().__init__(forward_min_event_ndims=1)

  def _repeat(self, factor, x):
    @tf.custom_gradient
    def double(x):
      return factor * x, lambda dy: factor * dy

    return tf.while_loop(
        lambda i, x: i < 3,
        lambda i, x: (i + 1, double(x)),
        (0, x),
        maximum_iterations=3,
    )[1]

  def _forward(self, x):
    return self._repeat(0.5, x)

  def _inverse(self, y):
    return self._repeat(2.0, y)


@pytest.mark.parametrize('num_steps', [None, 4])
def test_loops_and_custom_gradients(num_steps):
  local = local_lipschitz(Loop(), tf.ones([2, 3]), num_steps)
  np.testing.assert_allclose(local.inverse, [8.0, 8.0], rtol=1e-6)
  np.testing.assert_allclose(local.forward, [0.125, 0.125], rtol=1e-6)


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'num_steps': 0}, 'num_steps'),
        ({'num_steps': 2.0}, 'num_steps'),
        ({'x': np.zeros([2, 3], np.int32)}, 'float32 or float64'),
        ({'x': np.zeros([2, 3])}, 'batch axis'),
    ],
)
def test_bad_arguments_are_named(arguments, match):
  good = {'bijector': fo.bijectors.ActNorm(3), 'x': np.zeros([2, 4, 4, 3])}
  # Of another type than the bijector's, which is the one that counts.
  assert local_lipschitz(**good).inverse.dtype == tf.float32
  with pytest.raises(ValueError, match=match):
    local_lipschitz(**(good | arguments))


@pytest.mark.parametrize('num_steps', [None, 6])
@pytest.mark.parametrize('scale', [1e-18, 1e-10, 1e10, 1e18])
def test_squares_out_of_range(num_steps, scale):
  diagonal = np.float32(scale * np.linspace(1.0, 2.0, 6))
  found = fo.diagnostics.local_lipschitz(
      tfb.Scale(diagonal), np.ones([1, 6], np.float32), num_steps
  )
  np.testing.assert_allclose(found.forward, 2.0 * scale, rtol=1e-3)
  np.testing.assert_allclose(found.inverse, 1.0 / scale, rtol=1e-3)


@pytest.mark.parametrize('num_steps', [None, 4])
def test_what_is_not_finite_is_alone(num_steps):
  x = np.float32([[np.nan, 2.0], [-1.0, 2.0], [1.0, 2.0]])
  found = fo.diagnostics.local_lipschitz(tfb.Exp(), x, num_steps)
  np.testing.assert_array_equal(
      np.isfinite(found.forward), [False, False, True]
  )
  np.testing.assert_allclose(found.forward[2], 2.0, rtol=1e-5)
