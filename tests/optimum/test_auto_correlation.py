import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo


def images(rng, n):
  x = rng.normal(size=(n, 4, 6, 3))
  return x + np.roll(x, 1, axis=1) + [1.0, 2.0, 3.0]


@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('block_size', [1, 2])
def test_batches_equal_the_whole(rng, centered, block_size):
  x = images(rng, 23)
  stream = fo.AutoCorrelation('pointwise', (4, 6, 3), centered, block_size)
  update = tf.function(
      stream.update,
      input_signature=[tf.TensorSpec([None, 4, 6, 3], tf.float64)],
  )
  for batch in np.split(x, [1, 8, 20]):
    update(batch)
  arguments = {'lipschitz': (0.1, 3.0), 'noise_variance': 0.01}
  want = fo.likelihood_optimum(
      x, 'pointwise', centered, block_size=block_size, **arguments
  )
  for got, value in zip(stream.optimum(**arguments), want, strict=True):
    np.testing.assert_allclose(got, value, rtol=1e-12)


def test_dense_with_a_large_mean(rng):
  x = rng.normal(size=(1000, 3)) + 1e4
  stream = fo.AutoCorrelation('dense', 3)
  for batch in np.split(x, 10):
    stream.update(batch)
  want = fo.likelihood_optimum(x - 1e4)
  np.testing.assert_allclose(
      stream.optimum(rank=2).log_likelihood,
      fo.likelihood_optimum(x - 1e4, rank=2).log_likelihood,
      rtol=1e-10,
  )
  np.testing.assert_allclose(
      stream.optimum().eigenvalues, want.eigenvalues, rtol=1e-10
  )
  assert stream.optimum(dtype=tf.float32).log_det.dtype == tf.float32


def test_checkpoint_restores_it(rng, tmp_path):
  x = rng.normal(size=(50, 3))
  stream = fo.AutoCorrelation('dense', 3)
  stream.update(x[:20])
  path = tf.train.Checkpoint(stream=stream).save(str(tmp_path / 'c'))
  other = fo.AutoCorrelation('dense', 3)
  tf.train.Checkpoint(stream=other).restore(path).assert_consumed()
  other.update(x[20:])
  np.testing.assert_allclose(
      other.optimum().log_likelihood,
      fo.likelihood_optimum(x).log_likelihood,
      rtol=1e-12,
  )


def test_a_bad_batch_leaves_it_as_it_was(rng):
  x = rng.normal(size=(50, 3))
  stream = fo.AutoCorrelation('dense', 3)
  with pytest.raises(tf.errors.InvalidArgumentError, match='No data'):
    stream.optimum()
  stream.update(x)
  before = stream.optimum().log_likelihood.numpy()
  with pytest.raises(tf.errors.InvalidArgumentError, match='x` has non-fin'):
    stream.update(np.full([4, 3], np.nan))
  with pytest.raises(tf.errors.InvalidArgumentError, match='empty'):
    stream.update(np.zeros([0, 3]))
  with pytest.raises(ValueError, match='x'):
    stream.update(np.zeros([4, 2]))
  assert stream.optimum().log_likelihood.numpy() == before
  with pytest.raises(tf.errors.InvalidArgumentError, match='too few'):
    few = fo.AutoCorrelation('dense', 3)
    few.update(x[:3])
    few.optimum()


@pytest.mark.parametrize('batch', [4, None])
def test_a_bad_batch_in_a_graph_leaves_it_as_it_was(rng, batch):
  stream = fo.AutoCorrelation('dense', 3)
  update = tf.function(
      stream.update, input_signature=[tf.TensorSpec([batch, 3], tf.float64)]
  )
  update(rng.normal(size=(4, 3)))
  before = [v.numpy() for v in stream.variables]
  for _ in range(20):
    with pytest.raises(tf.errors.InvalidArgumentError, match='non-finite'):
      update(np.full([4, 3], np.inf))
  for value, variable in zip(before, stream.variables, strict=True):
    np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    'arguments, match',
    [
        (('spectral', (4, 4, 3)), 'individual'),
        (('circulant', (4, 4)), r'\[H, W, C\]'),
        (('dense', (4, 4, 3)), r'\[D\]'),
        (('pointwise', (4, 3)), r'\[H, W, C\]'),
        (('pointwise', (4, None, 3)), 'fully known'),
        (('pointwise', (4, 5, 3), True, 2), 'divide'),
    ],
)
def test_bad_arguments_are_named(arguments, match):
  with pytest.raises(ValueError, match=match):
    fo.AutoCorrelation(*arguments)
