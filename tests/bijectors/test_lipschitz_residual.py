import numpy as np
import pytest
from support import probes
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.internal import power_series
from tfp_flowopt.internal import stochastic_log_det

tfd = tfp.distributions


class Linear(tf.Module):
  """`x -> matrix x`."""

  def __init__(self, matrix, lipschitz, dtype=tf.float64):
    super().__init__()
    self.matrix = tf.Variable(tf.constant(matrix, dtype))
    self.lipschitz = lipschitz

  def __call__(self, x):
    return tf.linalg.matvec(self.matrix, x)


def contractions(size, lipschitz):
  return {
      'reflection': -lipschitz * np.eye(size),
      'rotation': lipschitz * registry.rotation(size, 0),
      'quarter turns': lipschitz
      * np.kron(np.eye(size // 2), [[0.0, 1.0], [-1.0, 0.0]]),
  }


def solve(bijector, x):
  """`forward_with_error(x)`, in a graph: eager loops are slow."""
  return tf.function(bijector.forward_with_error)(x)


def network(size=4, lipschitz=0.8, scale=0.4, dtype=tf.float64):
  return registry.randomize(
      fo.networks.DenseConditioner(
          size,
          6,
          size,
          lipschitz=lipschitz,
          activation='smooth_max_min',
          dtype=dtype,
      ),
      scale,
  )


def points(num=3, size=4, seed=0):
  return tf.constant(np.random.default_rng(seed).normal(size=(num, size)))


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


def exact_log_det(branch, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = x + branch(x)
  jacobian = tape.batch_jacobian(y, x)
  return tf.linalg.logdet(tf.matmul(jacobian, jacobian, transpose_a=True)) / 2


def weighted_gradients(log_det, x, variables):
  """Of the log-determinants weighted by 1, -2, 5, ... and the input."""
  weights = tf.constant([1.0, -2.0, 5.0], tf.float64)
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = log_det(x)
    loss = tf.reduce_sum(weights * value)
  return value, tape.gradient(
      loss, [x, *variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
  )


@pytest.mark.parametrize('log_det', ['series', 'lanczos'])
def test_value_and_weighted_gradients_are_those_of_the_exact_one(log_det):
  branch = network()
  bijector = fo.bijectors.LipschitzResidual(
      branch, log_det=log_det, num_terms=4 if log_det == 'lanczos' else 150
  )
  estimator = (
      bijector._lanczos if log_det == 'lanczos' else bijector._series(None)
  )

  def estimate(x):
    return stochastic_log_det.value_and_log_det(
        branch, x, 1, probes.orthogonal_probes(x), estimator
    )[1]

  variables = branch.trainable_variables
  got = tf.function(
      lambda x: weighted_gradients(estimate, x, variables)
  )(points())
  want = weighted_gradients(
      lambda x: exact_log_det(branch, x), points(), variables
  )
  np.testing.assert_allclose(got[0], want[0], atol=1e-8)
  assert np.abs(want[0]).min() > 1e-3
  for a, b in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-8)
  # The dense one, too.
  got = weighted_gradients(
      fo.bijectors.LipschitzResidual(branch).inverse_log_det_jacobian,
      points(),
      variables,
  )
  for a, b in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize('num_terms', [1, 20])
def test_bias_of_the_series(num_terms):
  lipschitz, size = 0.9, 6
  bijector = fo.bijectors.LipschitzResidual(
      # Any probe of signs gives the exact trace of a multiple of I.
      Linear(-lipschitz * np.eye(size), lipschitz),
      log_det='series',
      num_terms=num_terms,
  )
  got = bijector.inverse_log_det_jacobian(points(3, size))
  bias = np.abs(got - size * np.log(1 - lipschitz))
  bound = bijector.series_bias_bound(size)
  assert np.all(bias <= bound)
  assert np.all(bias >= 0.3 * bound)
  assert bound == pytest.approx(
      size * 0.9 ** (num_terms + 1) / ((num_terms + 1) * 0.1)
  )


def estimates(bijector, x, variables, num=400):
  """Values and weighted gradients for many seeds, as `[num, ...]`."""

  @tf.function
  def run(seed):
    value, gradients = weighted_gradients(
        lambda x: bijector.inverse_log_det_jacobian(x, seed=seed), x, variables
    )
    return tf.concat(
        [tf.reshape(t, [-1]) for t in [value, *gradients]], axis=0
    )

  return np.stack([run(tf.constant([7, i])) for i in range(num)])


def test_roulette_is_unbiased_and_the_short_series_is_not():
  branch = Linear(contractions(4, 0.9)['reflection'] * 0.99, 0.9)
  branch.matrix.assign_add(0.05 * registry.rotation(4, 1))
  branch.lipschitz = float(np.linalg.norm(branch.matrix, ord=2)) + 1e-6
  value, gradients = weighted_gradients(
      lambda x: exact_log_det(branch, x), points(), [branch.matrix]
  )
  want = np.concatenate([np.ravel(t) for t in [value, *gradients]])
  scores = {}
  for log_det in ('roulette', 'series'):
    bijector = fo.bijectors.LipschitzResidual(
        branch, log_det=log_det, num_terms=2
    )
    got = estimates(bijector, points(), [branch.matrix])
    error = got.std(axis=0, ddof=1) / np.sqrt(len(got)) + 1e-9
    scores[log_det] = np.abs((got.mean(axis=0) - want) / error).max()
  # 31 numbers: 4.5 standard errors are less than once in 4000 runs.
  assert scores['roulette'] < 4.5
  assert scores['series'] > 20


def test_roulette_terms_are_geometric():
  draws = np.array([
      power_series.num_roulette_terms(3, 0.25, tf.constant([1, i]))
      for i in range(600)
  ])
  assert draws.min() == 3
  for k in (4, 5, 8):
    reached, q = np.mean(draws >= k), 0.75 ** (k - 3)
    assert abs(reached - q) < 4 * np.sqrt(q * (1 - q) / len(draws))


def test_lanczos_converges_faster_than_the_series():
  size, lipschitz = 64, 0.9
  basis = registry.rotation(size, 1)
  values = np.random.default_rng(0).uniform(-lipschitz, lipschitz, size)
  branch = Linear(basis @ np.diag(values) @ basis.T, lipschitz)
  want = np.linalg.slogdet(np.eye(size) + branch.matrix.numpy())[1]
  x = points(1, size)
  errors = {}
  for log_det in ('lanczos', 'series'):
    bijector = fo.bijectors.LipschitzResidual(
        branch, log_det=log_det, num_terms=24
    )
    estimator = (
        bijector._lanczos if log_det == 'lanczos' else bijector._series(None)
    )
    _, got = stochastic_log_det.value_and_log_det(
        branch, x, 1, probes.orthogonal_probes(x), estimator
    )
    errors[log_det] = abs(float(got[0]) - want) / size
  assert errors['lanczos'] < 1e-4
  assert errors['lanczos'] < 0.2 * errors['series']


def test_seeds():
  bijector = fo.bijectors.LipschitzResidual(
      network(), log_det='roulette', num_terms=1, seed=3
  )
  y = points()

  def log_det(seed=None):
    kwargs = {} if seed is None else {'seed': seed}
    return bijector.inverse_log_det_jacobian(tf.identity(y), **kwargs).numpy()

  np.testing.assert_array_equal(log_det(), log_det())
  np.testing.assert_array_equal(log_det(), log_det([0, 3]))
  np.testing.assert_array_equal(log_det(5), log_det(tf.constant([0, 5])))
  assert np.abs(log_det(5) - log_det(6)).max() > 1e-3
  # Also for one and the same input, and through a distribution.
  first = bijector.inverse_log_det_jacobian(y, seed=1)
  assert np.abs(
      first - bijector.inverse_log_det_jacobian(y, seed=2)
  ).max() > 1e-3
  flow = tfd.TransformedDistribution(
      tfd.MultivariateNormalDiag(tf.zeros([4], tf.float64)), bijector
  )
  got = flow.log_prob(y, bijector_kwargs={'seed': tf.constant([0, 1])})
  base = flow.distribution.log_prob(bijector.inverse(y))
  np.testing.assert_allclose(got, base + first, rtol=1e-12)
  for bad in ('a', 1.5, [1, 2, 3]):
    with pytest.raises(ValueError, match='seed'):
      bijector.inverse(y, seed=bad)


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
