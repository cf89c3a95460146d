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


@pytest.mark.parametrize('shape', [(400, 301), (2, 300, 256)])
def test_large_matrices_by_panels(rng, shape):
  x = rng.normal(size=shape) + 0.5 * rng.normal(size=(*shape[:-1], 1))
  got = fo.likelihood_optimum(x)
  for index in np.ndindex(shape[:-2]):
    want, _ = numpy_optimum.optimum(x[index])
    np.testing.assert_allclose(got.log_likelihood[index], want, rtol=1e-10)
    values = np.linalg.eigvalsh(np.cov(x[index].T, bias=True))[::-1]
    np.testing.assert_allclose(got.eigenvalues[index], values, rtol=1e-9)


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


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
def test_scales_at_an_eigenvalue_of_zero(dtype):
  eigenvalues = tf.constant([4.0, 0.0], dtype)
  with tf.GradientTape() as tape:
    tape.watch(eigenvalues)
    log_scales = fo.optimum.optimal_log_scales(eigenvalues, None, (0.0, 1e3))
  np.testing.assert_allclose(log_scales, np.log([0.5, 1e3]), rtol=1e-6)
  gradient = tape.gradient(log_scales, eigenvalues)
  np.testing.assert_allclose(gradient, [-1 / 8, 0.0])
  assert fo.optimum.optimal_log_scales(eigenvalues)[1] == math.inf


def test_bits_per_dim():
  # A density of 1 / 2^-8 per dimension is 0 bits; half of it is 1 bit.
  assert fo.bits_per_dim(10 * math.log(256.0), 10) == pytest.approx(0)
  assert fo.bits_per_dim(10 * math.log(16.0), 10, bits=5) == pytest.approx(1)
  with pytest.raises(ValueError, match='event_size'):
    fo.bits_per_dim(1.0, 0)
  with pytest.raises(ValueError, match='bits'):
    fo.bits_per_dim(1.0, 1, bits=-1)
