"""No more vectors than dimensions: inner products instead of a large matrix."""

import numpy as np
import pytest
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo

REMEDIES = [
    {'noise_variance': 0.1},
    {'rank': 1},
    {'lipschitz': (0.2, 3.0)},
    {'rank': 2, 'noise_variance': 0.1, 'lipschitz': (0.0, 2.0)},
]


@pytest.mark.parametrize('options', REMEDIES)
@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('shape', [(3, 8), (7, 8), (8, 8), (2, 3, 5, 9)])
def test_dense_equals_numpy(rng, shape, centered, options):
  x = rng.normal(size=shape) @ rng.normal(size=shape[-1:] * 2) + 1.0
  got = fo.likelihood_optimum(x, centered=centered, **options)
  assert got.eigenvalues.shape == shape[:-2] + shape[-1:]
  for index in np.ndindex(shape[:-2]):
    want, log_det = numpy_optimum.optimum(x[index], centered, **options)
    np.testing.assert_allclose(got.log_likelihood[index], want, rtol=1e-10)
    np.testing.assert_allclose(got.log_det[index], log_det, rtol=1e-10)
    b = x[index].mean(0) * centered
    matrix = (x[index] - b).T @ (x[index] - b) / shape[-2]
    np.testing.assert_allclose(
        got.eigenvalues[index],
        np.linalg.eigvalsh(matrix)[::-1] + options.get('noise_variance', 0.0),
        rtol=1e-10,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    'structure, options',
    [
        ('dense', REMEDIES[0]),
        ('dense', REMEDIES[3]),
        ('pointwise', REMEDIES[1]),
        ('individual', REMEDIES[2]),
    ],
)
def test_it_is_the_same_with_the_large_matrix(rng, structure, options):
  """In a graph that does not know how many vectors there are."""
  x = rng.normal(size=(3, 4, 4, 3)) + 0.5
  block_size = 1
  if structure == 'dense':
    x = x.reshape(6, 24)
  else:
    block_size = 2 if structure == 'individual' else 4

  def value_and_gradient(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      best = fo.likelihood_optimum(
          x, structure, block_size=block_size, **options
      )
      value = tf.reduce_sum(best.log_likelihood)
    return *best, tape.gradient(value, x)

  large = tf.function(
      value_and_gradient,
      input_signature=[tf.TensorSpec([None] * x.ndim, tf.float64)],
  )
  for got, want in zip(
      value_and_gradient(tf.constant(x)), large(x), strict=True
  ):
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('options', [{}, REMEDIES[0], REMEDIES[3]])
def test_no_tensor_is_as_large_as_the_matrix(options):
  size = 40_000
  graph = (
      tf.function(lambda x: fo.likelihood_optimum(x, **options))
      .get_concrete_function(tf.TensorSpec([10, size], tf.float32))
      .graph
  )
  sizes = [
      tensor.shape.num_elements() or 0
      for operation in graph.get_operations()
      for tensor in operation.outputs
      if tensor.shape.is_fully_defined()
  ]
  assert 10 * size <= max(sizes) < 100 * size


def test_long_vectors_equal_numpy(rng):
  x = rng.normal(size=(10, 4000)).astype(np.float32)
  with pytest.raises(tf.errors.InvalidArgumentError, match='too few vectors'):
    fo.likelihood_optimum(x)
  values = np.zeros(4000)
  values[:10] = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2 / 10
  values += 0.1
  got = fo.likelihood_optimum(x, noise_variance=0.1)
  np.testing.assert_allclose(got.eigenvalues, values, rtol=1e-4)
  np.testing.assert_allclose(
      got.log_det, -0.5 * np.log(values).sum(), rtol=1e-5
  )
  with pytest.raises(tf.errors.InvalidArgumentError, match='below rounding'):
    fo.likelihood_optimum(1e3 * x, noise_variance=1e-12)


@pytest.mark.parametrize(
    'known, options', [(True, {}), (False, {'bias_correction': True})]
)
def test_as_many_vectors_as_dimensions_without_a_mean(rng, known, options):
  function = tf.function(
      lambda x: fo.likelihood_optimum(x, centered=False, **options),
      input_signature=[tf.TensorSpec([5 if known else None, 5], tf.float64)],
  )
  x = rng.normal(size=(5, 5)) + 2.0
  want, _ = numpy_optimum.optimum(x, False)
  got = function(x).log_likelihood
  if options:
    assert np.isfinite(got) and got < want
  else:
    np.testing.assert_allclose(got, want, rtol=1e-10)
  stream = fo.AutoCorrelation('dense', 5, centered=False)
  stream.update(x[:4])
  with pytest.raises(tf.errors.InvalidArgumentError, match='need N >= D'):
    stream.optimum(**options)
  stream.update(x[4:])
  np.testing.assert_allclose(
      stream.optimum(**options).log_likelihood, got, rtol=1e-10
  )
  with pytest.raises(tf.errors.InvalidArgumentError, match='need N > D'):
    fo.likelihood_optimum(x)
