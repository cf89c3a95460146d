"""What image flows of a common layout start with, against other libraries."""

import numpy as np
import pytest
from scipy import stats
from sklearn import linear_model
import tensorflow as tf

import tfp_flowopt as fo

RNG = np.random.default_rng(0)
BITS = 5


def _images(num, rng):
  """Two classes of 4x4 images with means and covariances of their own."""
  labels = rng.integers(2, size=num)
  roots = np.random.default_rng(1).normal(size=[2, 16, 16]) / 4.0
  means = np.random.default_rng(2).uniform(8, 24, size=[2, 16])
  x = means[labels] + 3.0 * np.einsum(
      'nij,nj->ni', roots[labels], rng.normal(size=[num, 16])
  )
  x = np.clip(x, 0, 31).astype(np.uint8).reshape([num, 4, 4, 1])
  return x, labels


def _dequantized(images, rng):
  x = (images + rng.uniform(size=images.shape)) / 2**BITS - 0.5
  return x.astype(np.float32)


IMAGES, LABELS = _images(4000, RNG)
X = _dequantized(IMAGES, RNG)
TEST, TEST_LABELS = _images(1000, RNG)
TEST = _dequantized(TEST, RNG)


def _flow(**kwargs):
  return fo.image_flow(
      [4, 4, 1], **{
          'num_levels': 1, 'num_steps': 2, 'hidden_channels': 4,
          'conditioning': 2, **kwargs,
      }
  )


def _bits(flow, x, conditioning):
  kwargs = {'bijector_kwargs': {'conditioning': conditioning}}
  return float(
      np.mean(fo.bits_per_dim(flow.log_prob(x, **kwargs), 16, BITS))
  )


@pytest.mark.parametrize('gaussianize_marginals', [False, True])
@pytest.mark.parametrize('whitening', ['pointwise', 'dense'])
def test_step_0_is_as_predicted(whitening, gaussianize_marginals):
  flow = _flow(
      whitening=whitening, gaussianize_marginals=gaussianize_marginals
  )
  predicted = fo.initialize_at_optimum(flow, X, bits=BITS, conditioning=LABELS)
  assert _bits(flow, X, LABELS) == pytest.approx(predicted, abs=2e-3)


def test_dense_it_is_the_normal_of_each_class():
  flow = _flow(whitening='dense')
  fo.initialize_at_optimum(flow, X, bits=BITS, conditioning=LABELS)
  exact = np.zeros(len(TEST))
  for k in (0, 1):
    rows = X[LABELS == k].reshape([-1, 16])
    own = TEST_LABELS == k
    exact[own] = stats.multivariate_normal.logpdf(
        TEST[own].reshape([-1, 16]), rows.mean(axis=0), np.cov(rows.T)
    )
  exact = np.mean(fo.bits_per_dim(exact, 16, BITS))
  assert _bits(flow, TEST, TEST_LABELS) == pytest.approx(exact, abs=0.02)
  # Samples have the moments of their class.
  samples = flow.sample(
      4000, seed=1, bijector_kwargs={'conditioning': np.ones(4000, np.int64)}
  )
  rows = X[LABELS == 1].reshape([-1, 16])
  samples = samples.numpy().reshape([-1, 16])
  np.testing.assert_allclose(samples.mean(0), rows.mean(0), atol=0.02)
  np.testing.assert_allclose(
      np.cov(samples.T), np.cov(rows.T), atol=0.1 * rows.var(0).max()
  )


def test_each_storey_gains():
  bits = {}
  for whitening in ('pointwise', 'dense'):
    for given in (None, LABELS):
      flow = _flow(whitening=whitening)
      fo.initialize_at_optimum(flow, X, bits=BITS, conditioning=given)
      bits[whitening, given is not None] = _bits(flow, TEST, TEST_LABELS)
  assert bits['pointwise', True] < bits['pointwise', False] - 0.1
  assert bits['dense', False] < bits['pointwise', False] - 0.1
  assert bits['dense', True] < min(
      bits['pointwise', True], bits['dense', False]
  ) - 0.1


@pytest.mark.parametrize('whitening', ['pointwise', 'dense'])
def test_features_shift_as_least_squares_do(whitening):
  features = RNG.normal(size=[len(X), 3]).astype(np.float32)
  x = X + (features @ RNG.normal(size=[3, 16])).reshape(X.shape) / 50.0
  flow = _flow(conditioning=[3], whitening=whitening)
  fo.initialize_at_optimum(flow, x, bits=BITS, conditioning=features)
  expected = linear_model.LinearRegression().fit(
      features.astype(np.float64), x.reshape([-1, 16])
  )
  shift = flow.bijector.before_levels['shift'].bijector
  standard = flow.bijector.condition_curves.inverse(
      features[:, np.newaxis, np.newaxis]
  )
  np.testing.assert_allclose(np.mean(standard, axis=0), 0.0, atol=1e-6)
  np.testing.assert_allclose(np.std(standard, axis=0), 1.0, atol=1e-5)
  np.testing.assert_allclose(
      tf.squeeze(standard) @ tf.transpose(shift.matrix) + shift.shift,
      expected.predict(features),
      atol=1e-6,
  )


def test_a_data_set_of_pairs_is_the_arrays():
  pairs = tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(300)
  flows = [_flow(whitening='dense') for _ in range(2)]
  predicted = [
      fo.initialize_at_optimum(flows[0], X, bits=BITS, conditioning=LABELS),
      fo.initialize_at_optimum(flows[1], pairs, bits=BITS),
  ]
  assert predicted[0] == pytest.approx(predicted[1], abs=1e-6)
  a, b = (_bits(flow, TEST, TEST_LABELS) for flow in flows)
  assert a == pytest.approx(b, abs=1e-5)


def test_certificates_hold_and_inverses_are_exact():
  distribution = _flow(whitening='dense', gaussianize_marginals=True)
  fo.initialize_at_optimum(distribution, X, bits=BITS, conditioning=LABELS)
  flow = distribution.bijector
  y, kwargs = tf.constant(TEST[:50]), {'conditioning': TEST_LABELS[:50]}
  x = flow.inverse(y, **kwargs)
  np.testing.assert_allclose(
      flow.forward(tf.identity(x), **kwargs), y, atol=1e-5
  )
  bounds = fo.lipschitz.lipschitz_bounds(flow)
  near = y + 1e-3 * RNG.normal(size=y.shape)
  ratios = np.linalg.norm(flow.inverse(near, **kwargs) - x, axis=-1)
  ratios /= np.linalg.norm((near - y).numpy().reshape([50, -1]), axis=-1)
  assert 1 / bounds.forward < ratios.min() and ratios.max() < bounds.inverse
  # What the data alone choose takes nothing of a budget.
  assert bounds.inverse > 10 * flow.bounds_by_part().nonlinear.inverse


@pytest.mark.parametrize('whitening', ['pointwise', 'dense'])
def test_what_is_not_finite_is_refused(whitening):
  x = X.copy()
  x[7, 1, 2, 0] = np.nan
  flow = _flow(whitening=whitening)
  with pytest.raises(tf.errors.InvalidArgumentError, match='must be finite'):
    fo.initialize_at_optimum(flow, x, bits=BITS, conditioning=LABELS)
  assert not flow.bijector.initialized.numpy()


def test_refusals():
  flow = _flow()
  for kwargs, message in (
      ({'conditioning': LABELS[:5]}, 'one for each of 4000 images'),
      ({'conditioning': LABELS / 2.0}, 'integer labels'),
  ):
    with pytest.raises(ValueError, match=message):
      fo.initialize_at_optimum(flow, X, bits=BITS, **kwargs)
  with pytest.raises(tf.errors.InvalidArgumentError, match='labels from 0'):
    fo.initialize_at_optimum(flow, X, bits=BITS, conditioning=LABELS + 1)
  with pytest.raises(ValueError, match='made without'):
    fo.initialize_at_optimum(
        _flow(conditioning=None), X, bits=BITS, conditioning=LABELS
    )
  with pytest.raises(ValueError, match="'coarse' is for images of any"):
    fo.image_flow([128, 128, 3], whitening='dense')
  assert not flow.bijector.initialized.numpy()
