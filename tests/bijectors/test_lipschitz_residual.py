import numpy as np
import pytest
from support import registry
from support.residuals import Linear
from support.residuals import contractions
from support.residuals import network
from support.residuals import points
from support.residuals import solve
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions


@pytest.mark.parametrize('lipschitz', [0.9, 0.99])
@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
def test_worst_contractions_are_solved_to_the_tolerance(lipschitz, dtype):
  # What rounding permits: an ulp of `y`, up to `1 / (1-L)` as large as `x`,
  # moves the certificate by this.
  resolution = dtype.as_numpy_dtype(1) - np.nextafter(
      dtype.as_numpy_dtype(1), dtype.as_numpy_dtype(0)
  )
  tolerance = 8.0 * float(resolution) / (1 - lipschitz) ** 2
  sizes = np.array([0.1, 1.0, 1.0, 9.0, 99.0])[:, np.newaxis]
  x = sizes * np.random.default_rng(0).normal(size=(5, 6))
  # One after the other along a dimension of the batch.
  matrices = np.stack(list(contractions(6, lipschitz).values()))[:, np.newaxis]
  x = tf.constant(np.broadcast_to(x, [3, 5, 6]), dtype)
  bijector = fo.bijectors.LipschitzResidual(
      Linear(matrices, lipschitz, dtype), tolerance=tolerance
  )
  y, bound = solve(bijector, x)
  stored = np.float64(bijector.network.matrix)
  want = np.linalg.solve(np.eye(6) + stored, np.float64(x)[..., np.newaxis])
  error = np.linalg.norm(y - want[..., 0], axis=-1)
  scale = np.maximum(1.0, np.linalg.norm(x, axis=-1))
  assert np.all(error <= tolerance * scale)
  assert np.all(error <= bound)
  # And the bound is worth something.
  assert np.all(bound <= 10 * tolerance * scale)


def test_a_loose_tolerance_stops_early_and_says_so():
  matrix = contractions(6, 0.95)['rotation']
  x = points(7, 6)
  errors = []
  for tolerance in (1e-2, 1e-6, 1e-10):
    bijector = fo.bijectors.LipschitzResidual(
        Linear(matrix, 0.95), tolerance=tolerance
    )
    y, bound = solve(bijector, x)
    want = np.linalg.solve(np.eye(6) + matrix, x.numpy().T).T
    errors.append(np.linalg.norm(y - want, axis=1).max())
    scale = np.maximum(1.0, np.linalg.norm(x, axis=1))
    # The allowance for rounding is on top.
    assert np.all(bound <= 1.1 * tolerance * scale)
    assert errors[-1] <= np.max(bound)
  assert errors[0] > 1e-6 and errors[2] < 1e-9


def test_steps_that_are_cut_off_show_in_the_bound():
  matrix = contractions(6, 0.99)['rotation']
  bijector = fo.bijectors.LipschitzResidual(
      Linear(matrix, 0.99), max_iterations=2
  )
  x = points(4, 6)
  y, bound = bijector.forward_with_error(x)
  want = np.linalg.solve(np.eye(6) + matrix, x.numpy().T).T
  error = np.linalg.norm(y - want, axis=1)
  assert np.all(error > 1e-3) and np.all(error <= bound)


def test_a_sample_does_not_depend_on_the_others():
  bijector = fo.bijectors.LipschitzResidual(network())
  x = points(4)
  spoiled = tf.concat([x[:2], [[np.nan] * 4], 1e9 * x[3:]], axis=0)
  forward = tf.function(bijector.forward)
  y = forward(spoiled).numpy()
  np.testing.assert_allclose(y[:2], forward(x)[:2], rtol=1e-12)
  assert np.all(np.isnan(y[2])) and np.all(np.isfinite(y[3]))


@pytest.mark.parametrize('log_det', ['exact', 'series', 'lanczos'])
def test_one_evaluation_of_the_network_gives_the_log_prob(log_det, monkeypatch):
  bijector = fo.bijectors.LipschitzResidual(network(), log_det=log_det)
  calls = []
  run = fo.networks.DenseConditioner.__call__
  monkeypatch.setattr(
      fo.networks.DenseConditioner,
      '__call__',
      lambda self, x: calls.append(1) or run(self, x),
  )
  flow = tfd.TransformedDistribution(
      tfd.MultivariateNormalDiag(tf.zeros([4], tf.float64)), bijector
  )
  flow.log_prob(points(), bijector_kwargs={'seed': 3})
  assert len(calls) == 1


@pytest.mark.parametrize('log_det', ['exact', 'series'])
def test_gradients_of_the_solution(log_det):
  branch = network()
  bijector = fo.bijectors.LipschitzResidual(branch, log_det=log_det)
  x, weights = points(), points(seed=1)
  sources = [x, *branch.trainable_variables]

  @tf.function
  def gradients(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      loss = tf.reduce_sum(weights * bijector.forward(x))
    return tape.gradient(loss, [x, *branch.trainable_variables])

  got = gradients(x)
  # By the implicit function theorem, dense, in numpy.
  y = tf.identity(tf.function(bijector.forward)(x))
  with tf.GradientTape() as tape:
    tape.watch(y)
    value = y + branch(y)
  jacobian = tape.batch_jacobian(value, y).numpy()
  adjoint = np.linalg.solve(
      np.swapaxes(jacobian, 1, 2), weights.numpy()[..., np.newaxis]
  )[..., 0]
  np.testing.assert_allclose(got[0], adjoint, atol=1e-10)
  with tf.GradientTape() as tape:
    value = -tf.reduce_sum(adjoint * branch(y))
  want = tape.gradient(value, sources[1:])
  for a, b in zip(got[1:], want, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-10)
  assert max(np.abs(t).max() for t in want) > 1e-2


def test_second_derivatives_of_the_solution_are_refused():
  bijector = fo.bijectors.LipschitzResidual(network())
  x = points()
  with tf.GradientTape() as outer:
    outer.watch(x)
    with tf.GradientTape() as tape:
      tape.watch(x)
      loss = tf.reduce_sum(tf.square(bijector.forward(x)))
    gradient = tf.reduce_sum(tape.gradient(loss, x))
  with pytest.raises(LookupError, match='first derivatives'):
    outer.gradient(gradient, x)


def test_convolutional_networks_serve_as_they_are():
  branch = registry.randomize(
      fo.networks.ConvConditioner(2, 4, 2, lipschitz=0.8)
  )
  bijector = fo.bijectors.LipschitzResidual(
      branch, event_ndims=3, log_det='series', num_terms=30, num_probes=8
  )
  shape = [2, 3, 3, 2]
  y = tf.random.stateless_normal(shape, [0, 1])
  x = tf.identity(bijector.inverse(y))
  np.testing.assert_allclose(bijector.forward(x), y, atol=1e-4)
  log_det = tf.function(
      lambda seed: bijector.inverse_log_det_jacobian(y, seed=seed)
  )
  got = np.stack([log_det(tf.constant([0, i])) for i in range(12)])
  exact = fo.bijectors.LipschitzResidual(branch, event_ndims=3)
  want = exact.inverse_log_det_jacobian(tf.identity(y))
  error = got.std(axis=0, ddof=1) / np.sqrt(len(got))
  assert np.all(np.abs(got.mean(axis=0) - want) < 5 * error + 1e-3)


def test_bad_arguments():
  make = fo.bijectors.LipschitzResidual
  good = Linear(np.eye(2), 0.5)
  for bad in (Linear(np.eye(2), 1.0), lambda x: x):
    with pytest.raises(ValueError, match=r'`network`.*below 1'):
      make(bad)
  with pytest.raises(ValueError, match=r'`Linear\.lipschitz`.*nan'):
    make(Linear(np.eye(2), np.nan))
  for kwargs in (
      {'log_det': 'power'},
      {'num_terms': 0},
      {'num_probes': 0},
      {'event_ndims': 0},
      {'tolerance': 0.0},
      {'max_iterations': 0},
      {'stop_probability': 0.0},
      {'stop_probability': 0.75},
      {'seed': 0.5},
  ):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
      make(good, **kwargs)
  make(good, stop_probability=0.74)
  wide = Linear(np.ones([3, 2]), 0.5)
  with pytest.raises(ValueError, match='keep the shape'):
    make(wide, log_det='series').inverse(points(3, 2))


def test_the_constant_holds_for_weights_that_come_later():
  """A layer that starts at zero has norm 0 then, not ever after."""
  layer = fo.lipschitz.LipschitzDense(
      2, 2, zero_initial=True, lipschitz=0.9, dtype=tf.float64
  )
  bijector = fo.bijectors.LipschitzResidual(layer)
  layer.trainable_variables[-1].assign(-5.0 * np.eye(2))
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  np.testing.assert_allclose(bounds, [10.0, 1.9])
  x = tf.constant([[1.0, -2.0]], tf.float64)
  y, error = bijector.forward_with_error(x)
  # y - 0.9 y = x.
  assert np.linalg.norm(y - 10.0 * x) <= error[0] < 1e-10


def test_what_float32_cannot_square_is_not_solved():
  network = fo.networks.DenseConditioner(
      2, 8, 2, lipschitz=0.9, activation='smooth_max_min', zero_initial=False
  )
  bijector = fo.bijectors.LipschitzResidual(network)
  y = bijector.forward(np.float64([[1e20, 1e20], [1e15, 1e15]]))
  assert np.all(np.isnan(y[0])) and np.all(np.isfinite(y[1]))
  np.testing.assert_allclose(bijector.inverse(y[1:]), [[1e15, 1e15]], rtol=1e-5)
