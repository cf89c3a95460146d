import math

import numpy as np
import pytest
from sklearn.decomposition import PCA
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}


def correlated(rng, shape, dtype=np.float64):
  d = shape[-1]
  mix = rng.normal(size=(d, d)) * np.geomspace(1.0, 0.05, d)
  return (rng.normal(size=shape) @ mix + rng.normal(size=d)).astype(dtype)


@pytest.mark.parametrize('dtype', [np.float64, np.float32])
@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('shape', [(50, 1), (40, 7), (3, 60, 5), (2, 3, 30, 4)])
def test_dense_equals_numpy(rng, shape, centered, dtype):
  x = correlated(rng, shape, dtype)
  got = fo.likelihood_optimum(x, centered=centered)
  assert got.log_likelihood.dtype == dtype
  assert got.eigenvalues.shape == shape[:-2] + shape[-1:]
  assert np.all(np.diff(got.eigenvalues) <= 0)
  for index in np.ndindex(shape[:-2]):
    want, log_det = numpy_optimum.optimum(x[index], centered)
    np.testing.assert_allclose(
        got.log_likelihood[index], want, rtol=TOLERANCE[dtype]
    )
    np.testing.assert_allclose(
        got.log_det[index], log_det, rtol=TOLERANCE[dtype], atol=1e-10
    )


@pytest.mark.parametrize('dtype', [np.float64, np.float32])
@pytest.mark.parametrize('noise_variance', [0.0, 0.3])
def test_every_rank_and_bound_equals_numpy(rng, dtype, noise_variance):
  x = correlated(rng, (80, 6), dtype)
  scales = np.linalg.eigvalsh(np.cov(x.T, bias=True)) ** -0.5
  middle = float(np.median(scales))
  bounds = [
      None,
      (1e-9, 1e9),  # clips none
      (1e-9, middle),  # some, above
      (middle, math.inf),  # some, below
      (middle / 1.1, middle * 1.1),  # both ends
      (middle, middle),  # all
      (0.0, math.inf),
  ]
  for rank in [None, 1, 2, 3, 4, 5, 6]:
    for lipschitz in bounds:
      got = fo.likelihood_optimum(
          x, rank=rank, lipschitz=lipschitz, noise_variance=noise_variance
      )
      want, log_det = numpy_optimum.optimum(
          x, True, rank, lipschitz, noise_variance
      )
      rtol = TOLERANCE[dtype]
      np.testing.assert_allclose(got.log_likelihood, want, rtol=rtol)
      np.testing.assert_allclose(got.log_det, log_det, rtol=rtol, atol=1e-5)


@pytest.mark.parametrize('shape', [(200, 5), (60, 20), (1000, 12)])
def test_equals_scikit_learn(rng, shape):
  n, d = shape
  x = correlated(rng, shape)
  for q in range(1, d + 1):
    pca = PCA(n_components=q).fit(x)
    # Its covariance is R n / (n - 1): each eigenvalue is larger by that.
    factor = n / (n - 1)
    score = pca.score(x) + 0.5 * d * (math.log(factor) + 1 / factor - 1)
    got = fo.likelihood_optimum(x, rank=q).log_likelihood
    np.testing.assert_allclose(got, score, rtol=1e-10)
    got32 = fo.likelihood_optimum(x.astype(np.float32), rank=q).log_likelihood
    np.testing.assert_allclose(got32, score, rtol=1e-4)


def test_rank_is_monotone(rng):
  x = correlated(rng, (100, 8))
  values = [
      fo.likelihood_optimum(x, rank=q).log_likelihood.numpy()
      for q in range(1, 9)
  ]
  assert np.all(np.diff(values) >= 0)
  np.testing.assert_allclose(
      values[-1], fo.likelihood_optimum(x).log_likelihood, rtol=1e-12
  )


@pytest.mark.parametrize('block_size', [1, 2, 4])
@pytest.mark.parametrize('centered', [True, False])
def test_images_equal_numpy(rng, block_size, centered):
  x = correlated(rng, (9, 8, 12, 2))
  x = x + 0.5 * np.roll(x, 1, axis=2)
  n, _, _, c = x.shape
  vectors = numpy_optimum.blocks(x, block_size)
  positions = vectors.shape[1]
  got = fo.likelihood_optimum(
      x, 'pointwise', centered=centered, block_size=block_size
  )
  want, log_det = numpy_optimum.optimum(
      vectors.reshape(n * positions, -1), centered
  )
  np.testing.assert_allclose(got.log_likelihood, positions * want, rtol=1e-10)
  np.testing.assert_allclose(got.log_det, positions * log_det, rtol=1e-10)

  got = fo.likelihood_optimum(
      x,
      'individual',
      centered=centered,
      block_size=block_size,
      lipschitz=(0.1, 10.0),
  )
  assert got.log_likelihood.shape == (n,)
  assert got.eigenvalues.shape == (n, block_size**2 * c)
  for i in range(n):
    want, log_det = numpy_optimum.optimum(
        vectors[i], centered, lipschitz=(0.1, 10.0)
    )
    np.testing.assert_allclose(
        got.log_likelihood[i], positions * want, rtol=1e-10
    )


def test_individual_is_not_below_pointwise(rng):
  x = correlated(rng, (20, 8, 8, 3)) * rng.uniform(0.2, 2, size=(20, 1, 1, 1))
  pointwise = fo.likelihood_optimum(x, 'pointwise', centered=False)
  individual = fo.likelihood_optimum(x, 'individual', centered=False)
  assert np.mean(individual.log_likelihood) > pointwise.log_likelihood


def test_centering_survives_a_large_mean(rng):
  x = rng.normal(size=(500, 4))
  want = fo.likelihood_optimum(x).log_likelihood
  got = fo.likelihood_optimum(x + 1e4).log_likelihood
  np.testing.assert_allclose(got, want, rtol=1e-10)


def mean_log_likelihood(a, covariance):
  """Mean log-likelihood of the centred linear flows `a` [..., D, D]."""
  d = covariance.shape[-1]
  _, log_det = np.linalg.slogdet(a)
  trace = np.einsum('...ij,jk,...ik->...', a, covariance, a)
  return log_det - 0.5 * trace - 0.5 * d * np.log(2 * np.pi)


def random_matrices(rng, num, d, lower, upper):
  def orthogonal():
    return np.linalg.qr(rng.normal(size=(num, d, d)))[0]

  s = np.exp(rng.uniform(np.log(lower), np.log(upper), size=(num, d)))
  s = np.where(rng.uniform(size=s.shape) < 0.3, lower, s)
  s = np.where(rng.uniform(size=s.shape) < 0.3, upper, s)
  return orthogonal() * s[:, np.newaxis, :] @ orthogonal()


@pytest.mark.parametrize('d', [1, 2, 5])
def test_constrained_optimum_is_never_beaten(rng, d):
  x = correlated(rng, (100, d))
  covariance = np.cov(x.T, bias=True).reshape(d, d)
  middle = np.median(np.linalg.eigvalsh(covariance)) ** -0.5
  bounds = (0.6 * middle, 1.5 * middle)
  best = fo.likelihood_optimum(x, lipschitz=bounds).log_likelihood.numpy()
  values = mean_log_likelihood(
      random_matrices(rng, 10_000, d, *bounds), covariance
  )
  assert values.max() <= best + 1e-9
  # The search is not blind: wider bounds do beat it.
  wide = mean_log_likelihood(
      random_matrices(rng, 10_000, d, 0.1 * middle, 10 * middle), covariance
  )
  if d == 2:
    assert wide.max() > best


@pytest.mark.parametrize('lipschitz', [None, (0.5, 2.5)])
def test_gradient_ascent_reaches_it(rng, lipschitz):
  d = 4
  x = rng.normal(size=(300, d)) * [3.0, 1.0, 0.6, 0.2]
  x = x @ np.linalg.qr(rng.normal(size=(d, d)))[0]
  covariance = np.cov(x.T, bias=True)
  a = np.linalg.qr(rng.normal(size=(d, d)))[0]
  for _ in range(20_000):
    gradient = np.linalg.inv(a).T - a @ covariance
    u, s, v = np.linalg.svd(a + 0.01 * gradient)
    if lipschitz is not None:
      s = np.clip(s, *lipschitz)
    a = u * s @ v
  best = fo.likelihood_optimum(x, lipschitz=lipschitz).log_likelihood.numpy()
  reached = mean_log_likelihood(a, covariance)
  assert best - 1e-4 < reached <= best + 1e-9


def test_graph_with_unknown_number_of_events(rng):
  calls = []

  @tf.function(input_signature=[tf.TensorSpec([None, 5], tf.float64)])
  def dense(x):
    calls.append(0)
    return fo.likelihood_optimum(x, rank=3)

  @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
  def pointwise(x):
    return fo.likelihood_optimum(x, 'pointwise', block_size=2)

  for n in (20, 35):
    x = correlated(rng, (n, 5))
    np.testing.assert_allclose(
        dense(x).log_likelihood,
        numpy_optimum.optimum(x, rank=3)[0],
        rtol=1e-10,
    )
    images = correlated(rng, (n, 4, 4, 3), np.float32)
    vectors = numpy_optimum.blocks(images, 2).reshape(-1, 12)
    np.testing.assert_allclose(
        pointwise(images).log_likelihood,
        4 * numpy_optimum.optimum(vectors)[0],
        rtol=1e-4,
    )
  assert len(calls) == 1
  with pytest.raises(tf.errors.InvalidArgumentError, match='noise_variance'):
    dense(np.zeros([5, 5]))


@pytest.mark.parametrize(
    'arguments',
    [{}, {'lipschitz': (0.5, 1.5)}, {'rank': 2}, {'noise_variance': 0.1}],
)
def test_gradient_equals_finite_differences(rng, arguments):
  x = correlated(rng, (30, 4))
  direction = rng.normal(size=x.shape)

  def value(x):
    return fo.likelihood_optimum(x, **arguments).log_likelihood

  v = tf.Variable(x)
  with tf.GradientTape() as tape:
    y = value(v)
  slope = np.sum(tape.gradient(y, v) * direction)
  step = 1e-5
  rise = value(x + step * direction) - value(x - step * direction)
  np.testing.assert_allclose(slope, rise / (2 * step), rtol=1e-6)


def test_gradient_is_finite_at_equal_eigenvalues():
  x = np.concatenate([np.eye(3), -np.eye(3)])
  v = tf.Variable(x)
  with tf.GradientTape() as tape:
    y = fo.likelihood_optimum(v).log_likelihood
  # d L / d x_n = -R^-1 x_n / N, with R = I / 3.
  np.testing.assert_allclose(tape.gradient(y, v), -x / 2, atol=1e-12)


@pytest.mark.parametrize('graph', [False, True])
@pytest.mark.parametrize('n', [2, 4, 5])
def test_too_few_data_is_an_error_with_remedies(rng, n, graph):
  x = rng.normal(size=(n, 5))

  def call(**arguments):
    def function(x):
      return fo.likelihood_optimum(x, **arguments).log_likelihood

    if graph:
      function = tf.function(
          function, input_signature=[tf.TensorSpec([None, None], tf.float64)]
      )
    return function(x)

  for arguments in ({}, {'lipschitz': (0.1, math.inf)}, {'rank': 5}):
    if graph and 'rank' in arguments:
      continue  # with an unknown D, rank 5 is not known to be no remedy
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r'(?s)noise_variance.*lipschitz.*rank',
    ):
      call(**arguments)
  assert np.isfinite(call(noise_variance=0.1))
  assert np.isfinite(call(lipschitz=(0.0, 10.0)))
  if n > 2:
    assert np.isfinite(call(rank=1))
  else:
    with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
      call(rank=1)


def test_duplicated_dimension_is_an_error_with_remedies(rng):
  x = rng.normal(size=(100, 4))
  x[:, 3] = x[:, 1]
  with pytest.raises(tf.errors.InvalidArgumentError, match='noise_variance'):
    fo.likelihood_optimum(x)
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
    fo.likelihood_optimum(np.ones([10, 2, 2, 3]), 'pointwise')
  assert np.isfinite(fo.likelihood_optimum(x, rank=2).log_likelihood)


VALID = np.random.default_rng(0).normal(size=(9, 2))


@pytest.mark.parametrize(
    'x, arguments, match',
    [
        (np.full([9, 2], np.nan), {}, 'x` has non-finite'),
        (np.full([9, 2], np.inf), {}, 'x` has non-finite'),
        (np.zeros([0, 2]), {}, 'empty'),
        (np.zeros([0, 4, 4, 1]), {'structure': 'pointwise'}, 'empty'),
        (np.zeros([5]), {}, r'\[\.\.\., N, D\]'),
        (np.zeros([5, 2]), {'structure': 'pointwise'}, r'\[N, H, W, C\]'),
        (np.zeros([5, 4, 4, 1]), {'structure': 'circular'}, 'structure'),
        (np.zeros([9, 2], np.int32), {}, 'float32 or float64'),
        (np.zeros([9, 2]), {'lipschitz': (2.0, 1.0)}, 'm <= M'),
        (np.zeros([9, 2]), {'lipschitz': (-1.0, 1.0)}, '0 <= m'),
        (np.zeros([9, 2]), {'lipschitz': (0.0, 0.0)}, 'M > 0'),
        (np.zeros([9, 2]), {'lipschitz': (math.nan, 1.0)}, 'lipschitz'),
        (np.zeros([9, 2]), {'lipschitz': 3.0}, 'lipschitz'),
        (np.zeros([9, 2]), {'rank': 0}, r'1\.\.2'),
        (np.zeros([9, 2]), {'rank': 3}, r'1\.\.2'),
        (VALID, {'noise_variance': -1.0}, 'noise_variance` must be'),
        (VALID, {'noise_variance': math.nan}, 'noise_variance` must be'),
        (VALID, {'noise_variance': math.inf}, 'noise_variance` must be'),
        (VALID, {'noise_variance': tf.constant(-0.1)}, 'noise_variance` must'),
        (VALID, {'noise_variance': tf.constant(math.nan)}, 'noise_variance'),
        (VALID, {'rank': 1.5}, 'rank'),
        (VALID, {'block_size': 2.0}, 'block_size'),
        (np.zeros([9, 2]), {'block_size': 2}, 'block_size'),
        (
            np.zeros([5, 4, 4, 1]),
            {'structure': 'pointwise', 'block_size': 3},
            'divide',
        ),
        (
            np.zeros([5, 4, 4, 1]),
            {'structure': 'pointwise', 'block_size': 0},
            'block_size',
        ),
    ],
)
def test_bad_input_is_named(x, arguments, match):
  with pytest.raises(
      (ValueError, tf.errors.InvalidArgumentError), match=match
  ):
    fo.likelihood_optimum(x, **arguments)


def test_rank_out_of_range_with_an_unknown_dimension(rng):
  @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float64)])
  def optimum(x):
    return fo.likelihood_optimum(x, rank=5, lipschitz=(0.1, 10.0))

  assert np.isfinite(optimum(rng.normal(size=(50, 5))).log_likelihood)
  with pytest.raises(tf.errors.InvalidArgumentError, match='rank'):
    optimum(rng.normal(size=(50, 4)))


def test_a_noise_floor_below_rounding_is_no_remedy(rng):
  x = 1e3 * rng.normal(size=(100, 4))
  x[:, 3] = x[:, 0] + x[:, 1]
  with pytest.raises(tf.errors.InvalidArgumentError, match='below rounding'):
    fo.likelihood_optimum(x, noise_variance=1e-12)
  want = numpy_optimum.optimum(x, noise_variance=1e-3)[0]
  got = fo.likelihood_optimum(x, noise_variance=1e-3).log_likelihood
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_extreme_bounds(rng):
  x = rng.normal(size=(100, 3))
  unbounded = fo.likelihood_optimum(x).log_likelihood
  for upper in (1e90, 1e170, math.inf):
    got = fo.likelihood_optimum(x, lipschitz=(1e-170, upper)).log_likelihood
    np.testing.assert_allclose(got, unbounded, rtol=1e-12)
  small = fo.likelihood_optimum(x, lipschitz=(0.0, 1e-170)).log_det
  np.testing.assert_allclose(small, 3 * math.log(1e-170), rtol=1e-12)


def test_bits_per_dim():
  # A density of 1 / 2^-8 per dimension is 0 bits; half of it is 1 bit.
  assert fo.bits_per_dim(10 * math.log(256.0), 10) == pytest.approx(0)
  assert fo.bits_per_dim(10 * math.log(16.0), 10, bits=5) == pytest.approx(1)
  with pytest.raises(ValueError, match='event_size'):
    fo.bits_per_dim(1.0, 0)
  with pytest.raises(ValueError, match='bits'):
    fo.bits_per_dim(1.0, 1, bits=-1)
