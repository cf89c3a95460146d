"""The optimum under a condition, against least squares and densities."""

import math

import numpy as np
import pytest
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo

N, D, F, K = 60, 3, 2, 4


@pytest.fixture(name='vectors')
def _vectors(rng):
  c = rng.normal(size=(N, F)) * [1.0, 30.0] + [5.0, -2.0]
  x = c @ rng.normal(size=(F, D)) + rng.normal(size=(N, D)) @ rng.normal(
      size=(D, D)
  )
  return x + 7.0, c


@pytest.fixture(name='labelled')
def _labelled(rng):
  labels = rng.integers(K - 1, size=N)  # of one class there is nothing
  return rng.normal(size=(N, D)) + rng.normal(size=(K, D))[labels], labels


def least_squares(x, c, centered=True):
  """`B`, `b` and residuals, by numpy's `lstsq` with a column of ones."""
  design = np.concatenate([c, np.ones([len(c), 1])], 1) if centered else c
  solution = np.linalg.lstsq(design, x, rcond=None)[0]
  shift = solution[-1] if centered else np.zeros(x.shape[1])
  return solution[: c.shape[1]].T, shift, x - design @ solution


def gain(x, c, centered=True):
  """The mutual information of jointly Gaussian vectors, by determinants."""
  joint = np.concatenate([x, c], axis=1)
  joint = joint - joint.mean(0) if centered else joint
  second = joint.T @ joint / len(x)
  size = x.shape[1]
  return 0.5 * sum(
      sign * np.linalg.slogdet(part)[1]
      for sign, part in (
          (1, second[:size, :size]),
          (1, second[size:, size:]),
          (-1, second),
      )
  )


@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'rank': 1},
        {'lipschitz': (0.3, 0.7)},
        {'noise_variance': 0.1},
    ],
    ids=lambda options: next(iter(options), 'free'),
)
def test_it_is_the_optimum_of_the_residuals(vectors, centered, options):
  x, c = vectors
  matrix, shift, residuals = least_squares(x, c, centered)
  best = fo.likelihood_optimum(x, centered=centered, conditioning=c, **options)
  want = numpy_optimum.optimum(residuals, centered=False, **options)
  np.testing.assert_allclose(best.log_likelihood, want[0], rtol=1e-10)
  np.testing.assert_allclose(best.log_det, want[1], rtol=1e-10)
  np.testing.assert_allclose(best.shift_matrix, matrix, rtol=1e-10, atol=1e-10)
  np.testing.assert_allclose(best.shift, shift, rtol=1e-10, atol=1e-10)
  alone = fo.likelihood_optimum(x, centered=centered, **options)
  np.testing.assert_allclose(
      best.mutual_information,
      best.log_likelihood - alone.log_likelihood,
      rtol=1e-10,
  )
  assert best.mutual_information > 0.01
  if not options:
    np.testing.assert_allclose(
        best.mutual_information, gain(x, c, centered), rtol=1e-10
    )


def test_it_is_linear_regression(vectors):
  linear_model = pytest.importorskip('sklearn.linear_model')
  x, c = vectors
  fitted = linear_model.LinearRegression().fit(c, x)
  best = fo.likelihood_optimum(x, conditioning=c)
  np.testing.assert_allclose(best.shift_matrix, fitted.coef_, rtol=1e-10)
  np.testing.assert_allclose(best.shift, fitted.intercept_, rtol=1e-10)
  residuals = x - fitted.predict(c)
  want, _ = numpy_optimum.optimum(residuals)
  np.testing.assert_allclose(best.log_likelihood, want, rtol=1e-10)


@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('one_hot', [True, False])
def test_of_labels_the_shift_is_the_mean_of_the_class(
    labelled, centered, one_hot
):
  x, labels = labelled
  given = {'conditioning': labels.astype(np.uint8), 'num_classes': K}
  if one_hot:
    given = {'conditioning': np.eye(K)[labels]}
  best = fo.likelihood_optimum(x, centered=centered, **given)
  means = np.stack([x[labels == k].mean(0) for k in range(K - 1)])
  np.testing.assert_allclose(
      np.transpose(best.shift_matrix)[: K - 1] + best.shift, means, atol=1e-10
  )
  want, _ = numpy_optimum.optimum(x - means[labels], centered=False)
  np.testing.assert_allclose(best.log_likelihood, want, rtol=1e-10)
  # One less than there are classes with data, if centred.
  design = np.eye(K)[labels][:, : K - 1 - centered]
  corrected = {'centered': centered, 'bias_correction': True}
  np.testing.assert_allclose(
      fo.likelihood_optimum(x, **given, **corrected).log_det,
      fo.likelihood_optimum(x, conditioning=design, **corrected).log_det,
      rtol=1e-9,
  )
  if not one_hot:
    # A class without data has the mean of all.
    assert not np.any(best.shift_matrix[:, K - 1])


@pytest.mark.parametrize('scale', [1e-9, 1.0, 1e9])
def test_singular_conditions(vectors, scale):
  """Constant, duplicated and dependent columns change nothing, in any unit."""
  x, c = vectors
  more = np.stack(
      [np.full(N, 3.1), c[:, 0], c[:, 0] - 2.0 * c[:, 1], np.zeros(N)], axis=1
  )
  singular = np.concatenate([c, scale * more], axis=1)
  want = fo.likelihood_optimum(x, conditioning=c)
  got = fo.likelihood_optimum(x, conditioning=singular)
  stream = fo.AutoCorrelation('dense', D, conditioning=[6])
  for rows in np.split(np.arange(N), 4):
    stream.update(x[rows], singular[rows])
  for best in (got, stream.optimum()):
    np.testing.assert_allclose(
        best.log_likelihood, want.log_likelihood, rtol=1e-9
    )
    prediction = singular @ np.transpose(best.shift_matrix) + best.shift
    np.testing.assert_allclose(
        prediction,
        c @ np.transpose(want.shift_matrix) + want.shift,
        atol=1e-7,
    )
  # It counts once for the bias, too.
  np.testing.assert_allclose(
      fo.likelihood_optimum(
          x, conditioning=singular, bias_correction=True
      ).log_likelihood,
      fo.likelihood_optimum(
          x, conditioning=c, bias_correction=True
      ).log_likelihood,
      rtol=1e-9,
  )


def test_the_bias_is_that_of_fewer_vectors(rng):
  """Of Gaussian residuals, over many draws."""
  n, count = 12, 4000
  c = rng.normal(size=(n, 3))
  x = rng.normal(size=(count, n, 2)) + c @ rng.normal(size=(3, 2))
  best = fo.likelihood_optimum(x, conditioning=c, bias_correction=True)
  free = fo.likelihood_optimum(x, conditioning=c)
  # True residual covariance: the identity, of log-determinant 0.
  error = np.std(best.log_det) / math.sqrt(count)
  assert abs(np.mean(best.log_det)) < 5.0 * error
  assert np.mean(free.log_det) > 20.0 * error
  alone = fo.likelihood_optimum(x[3], conditioning=c)
  np.testing.assert_allclose(free.log_likelihood[3], alone.log_likelihood)
  assert free.mutual_information.shape == [count]


def test_pointwise_is_dense_with_the_condition_of_the_image(rng):
  x, c = rng.normal(size=(9, 4, 6, 2)), rng.normal(size=(9, 2))
  x += c[:, np.newaxis, np.newaxis, :1]
  blocks = numpy_optimum.blocks(x, 2)
  want = fo.likelihood_optimum(
      blocks.reshape(-1, 8), conditioning=np.repeat(c, 6, axis=0)
  )
  got = fo.likelihood_optimum(x, 'pointwise', block_size=2, conditioning=c)
  np.testing.assert_allclose(got.log_likelihood, 6 * want.log_likelihood)
  np.testing.assert_allclose(
      got.mutual_information, 6 * want.mutual_information
  )


def test_few_long_vectors(rng):
  """Fewer than dimensions: inner products suffice, with a noise floor."""
  x, c = rng.normal(size=(8, 20)), rng.normal(size=(8, 2))
  options = {'noise_variance': 0.1}
  _, _, residuals = least_squares(x, c)
  best = fo.likelihood_optimum(x, conditioning=c, **options)
  want, _ = numpy_optimum.optimum(residuals, **options)
  np.testing.assert_allclose(best.log_likelihood, want, rtol=1e-10)
  alone = fo.likelihood_optimum(x, **options).log_likelihood
  np.testing.assert_allclose(
      best.mutual_information, best.log_likelihood - alone, rtol=1e-9
  )


@pytest.mark.parametrize('jit_compile', [False, True])
@pytest.mark.parametrize('kind', ['vectors', 'labels'])
def test_in_a_graph(vectors, kind, jit_compile):
  x, c = vectors
  given = {}
  if kind == 'labels':
    c, given = (c[:, 0] > 5.0).astype(np.int64), {'num_classes': 2}

  @tf.function(jit_compile=jit_compile, autograph=False)
  def function(x, c):
    best = fo.likelihood_optimum(x, conditioning=c, **given)
    return best, best.mutual_information, best.shift_matrix

  shape = [None, F] if kind == 'vectors' else [None]
  if not jit_compile:
    function = function.get_concrete_function(
        tf.TensorSpec([None, D], tf.float64), tf.TensorSpec(shape, c.dtype)
    )
  best, information, matrix = function(tf.constant(x), tf.constant(c))
  want = fo.likelihood_optimum(x, conditioning=c, **given)
  np.testing.assert_allclose(best.log_likelihood, want.log_likelihood, 1e-9)
  np.testing.assert_allclose(information, want.mutual_information, 1e-9)
  np.testing.assert_allclose(matrix, want.shift_matrix, rtol=1e-7)
  with pytest.raises(ValueError, match=r'returned by a `tf\.function`'):
    best.distribution()


def test_gradients_equal_finite_differences(vectors):
  """Also by a condition that is singular, where `B` has none."""
  x, c = (tf.constant(v) for v in vectors)
  rng = np.random.default_rng(1)
  directions = [rng.normal(size=v.shape) for v in (x, c)]

  def value(step):
    moved = c + step * directions[1]
    best = fo.likelihood_optimum(
        x + step * directions[0],
        conditioning=tf.concat([moved, moved], axis=1),
    )
    return best.log_likelihood

  step = tf.zeros([], tf.float64)
  with tf.GradientTape() as tape:
    tape.watch(step)
    result = value(step)
  np.testing.assert_allclose(
      tape.gradient(result, step),
      (value(1e-5) - value(-1e-5)) / 2e-5,
      rtol=1e-6,
  )


def test_gradient_descent_reaches_it_and_no_more(rng):
  c = rng.normal(size=(N, F)) + 0.3
  mix = np.linalg.qr(rng.normal(size=(D, D)))[0] * [1.5, 1.0, 0.6]
  x = rng.normal(size=(N, D)) @ mix.T + c @ rng.normal(size=(F, D)) + 0.5
  weights = [tf.Variable(np.eye(D))] + [
      tf.Variable(np.zeros(shape)) for shape in ([D, F], [D])
  ]

  def log_likelihood():
    matrix, slope, shift = weights
    center = tf.matmul(c, slope, transpose_b=True) + shift
    z = tf.matmul(x - center, matrix, transpose_b=True)
    square = tf.reduce_mean(tf.reduce_sum(z**2, axis=-1))
    log_det = tf.linalg.slogdet(matrix)[1]
    return log_det - 0.5 * square - 0.5 * D * math.log(2.0 * math.pi)

  @tf.function
  def train(steps):
    highest = log_likelihood()
    for _ in tf.range(steps):
      with tf.GradientTape() as tape:
        loss = -log_likelihood()
      gradients = tape.gradient(loss, weights)
      for weight, gradient in zip(weights, gradients, strict=True):
        weight.assign_sub(0.1 * gradient)
      highest = tf.maximum(highest, log_likelihood())
    return highest

  best = fo.likelihood_optimum(x, conditioning=c)
  start = log_likelihood()
  highest = train(tf.constant(3000))
  assert start < best.log_likelihood - 0.3
  assert best.log_likelihood - 1e-4 < log_likelihood()
  assert highest <= best.log_likelihood + 1e-9
  # More than any flow that does not see the condition.
  assert highest > fo.likelihood_optimum(x).log_likelihood + 0.1
  np.testing.assert_allclose(weights[1], best.shift_matrix, atol=0.02)


def test_it_is_worth_nothing_or_more(rng):
  x = rng.normal(size=(N, D))
  independent = np.ones([N, 1])  # tells nothing at all
  best = fo.likelihood_optimum(x, conditioning=independent)
  assert 0.0 <= best.mutual_information < 1e-12
  assert fo.likelihood_optimum(x).mutual_information is None
  assert fo.likelihood_optimum(x).shift_matrix is None
