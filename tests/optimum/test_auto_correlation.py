import copy
import pickle

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo


def images(rng, n):
  x = rng.normal(size=(n, 4, 6, 3))
  return x + 0.5 * np.roll(x, 1, axis=1) + [1.0, 2.0, 3.0]


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


@pytest.mark.parametrize(
    'centered, dtype', [(True, np.float32), (False, np.float64)]
)
@pytest.mark.parametrize('structure', ['dense', 'individual', 'circulant'])
def test_every_structure_in_batches(rng, structure, centered, dtype):
  x = images(rng, 23).astype(dtype)
  x = x[:, 0, :2].reshape(23, -1) if structure == 'dense' else x
  options = {'lipschitz': (0.1, 3.0), 'noise_variance': 0.01}
  at_start = options if structure == 'individual' else {}
  at_end = {} if structure == 'individual' else options
  stream = fo.AutoCorrelation(structure, x.shape[1:], centered, **at_start)
  update = tf.function(
      stream.update,
      input_signature=[tf.TensorSpec([None, *x.shape[1:]], dtype)],
  )
  for batch in np.split(x, [1, 8, 20]):
    update(batch)
  assert stream.count == 23
  want = fo.likelihood_optimum(
      x.astype(np.float64), structure, centered, **options
  )
  got = stream.optimum(**at_end)
  if structure == 'individual':
    want = fo.LikelihoodOptimum(
        np.mean(want.log_likelihood),
        np.mean(want.log_det),
        np.exp(np.mean(np.log(want.eigenvalues), axis=0)),
    )
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-11)


@pytest.mark.parametrize('structure', ['dense', 'pointwise', 'circulant'])
def test_a_mean_of_1e4_costs_nothing(rng, structure):
  x = rng.normal(size=(60, 4, 6, 2))
  x = x[:, 0].reshape(60, -1) if structure == 'dense' else x
  streams = [fo.AutoCorrelation(structure, x.shape[1:]) for _ in range(2)]
  # Each batch has a mean of its own, too.
  drift = np.linspace(0.0, 1.0, 6)
  for batch, shift in zip(np.split(x, 6), drift, strict=True):
    streams[0].update(batch + shift)
    streams[1].update(batch + shift + 1e4)
  np.testing.assert_allclose(
      streams[1].optimum().eigenvalues,
      streams[0].optimum().eigenvalues,
      rtol=1e-9,
  )


@pytest.mark.parametrize('structure', ['pointwise', 'individual', 'circulant'])
def test_merge(rng, structure):
  x = images(rng, 20)
  streams = [fo.AutoCorrelation(structure, (4, 6, 3)) for _ in range(4)]
  whole, first, second, empty = streams
  whole.update(x)
  first.update(x[:7])
  second.update(x[7:])
  first.merge(empty)
  first.merge(second)
  empty.merge(first)
  for stream in (first, empty):
    for a, b in zip(stream.optimum(), whole.optimum(), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-11)
  assert second.count == 13
  with pytest.raises(ValueError, match='centered'):
    first.merge(fo.AutoCorrelation(structure, (4, 6, 3), centered=False))
  with pytest.raises(ValueError, match='structure'):
    first.merge(fo.AutoCorrelation('dense', 3))
  with pytest.raises(ValueError, match='other'):
    first.merge(None)


@pytest.mark.parametrize('structure', ['pointwise', 'individual', 'circulant'])
def test_a_bad_batch_leaves_every_structure_as_it_was(rng, structure):
  stream = fo.AutoCorrelation(structure, (4, 6, 3))
  stream.update(images(rng, 9))
  before = [v.numpy() for v in stream.variables]
  bad = images(rng, 4)
  bad[2, 1, 1, 1] = np.nan
  for batch, error in (
      (bad, tf.errors.InvalidArgumentError),
      (bad[:0], tf.errors.InvalidArgumentError),
      (np.ones([4, 4, 5, 3]), ValueError),
      (np.ones([4, 4, 6, 3], np.int32), ValueError),
  ):
    with pytest.raises(error, match='x'):
      stream.update(batch)
  if structure == 'individual':
    with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
      stream.update(np.ones([4, 4, 6, 3]))  # a constant image has no optimum
  for value, variable in zip(before, stream.variables, strict=True):
    np.testing.assert_array_equal(variable, value)
  # Fewer images than channels are no error in a stream.
  stream.update(images(rng, 1))
  assert np.isfinite(stream.optimum().log_likelihood)


def test_where_the_constraint_is_given(rng):
  stream = fo.AutoCorrelation('individual', (4, 6, 3), noise_variance=0.1)
  stream.update(images(rng, 3))
  for options in ({'rank': 1}, {'lipschitz': (0, 1)}, {'noise_variance': 0.1}):
    with pytest.raises(ValueError, match='given to the constructor'):
      stream.optimum(**options)
    with pytest.raises(ValueError, match='given to optimum'):
      fo.AutoCorrelation('circulant', (4, 6, 3), **options)
  with pytest.raises(ValueError, match='circulant'):
    stream.optimum(frequency_pool=2)
  with pytest.raises(ValueError, match='matrix for each image'):
    stream.linear_flow()


@pytest.mark.parametrize('structure', ['pointwise', 'individual', 'circulant'])
def test_checkpoint_restores_it(rng, tmp_path, structure):
  x = images(rng, 20)
  stream = fo.AutoCorrelation(structure, (4, 6, 3))
  stream.update(x[:8])
  path = tf.train.Checkpoint(stream=stream).save(str(tmp_path / 'c'))
  other = fo.AutoCorrelation(structure, (4, 6, 3))
  tf.train.Checkpoint(stream=other).restore(path).assert_consumed()
  for a in (stream, other):
    a.update(x[8:])
  for a, b in zip(other.variables, stream.variables, strict=True):
    np.testing.assert_array_equal(a, b)
  assert other.count == 20


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


@pytest.mark.parametrize('structure', ['dense', 'individual', 'circulant'])
def test_squares_that_overflow_are_refused(rng, structure):
  shape = [9] if structure == 'dense' else [4, 6, 2]
  stream = fo.AutoCorrelation(structure, shape)
  stream.update(rng.normal(size=(20, *shape)))
  before = stream.optimum().log_likelihood.numpy()
  for large in (1e150, -1e200, 1e300):
    # Of one value, of a mean, and of what two batches differ in.
    for x in (
        rng.normal(size=(20, *shape)) * large,
        np.full([1, *shape], large),
        np.full([2, *shape], large),
    ):
      with pytest.raises(tf.errors.InvalidArgumentError, match='`x`'):
        stream.update(x)
    with pytest.raises(tf.errors.InvalidArgumentError, match='overflow'):
      fo.likelihood_optimum(rng.normal(size=(20, *shape)) * large, structure)
  assert stream.optimum().log_likelihood == before


@pytest.mark.parametrize(
    'duplicate',
    [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
)
@pytest.mark.parametrize('structure', ['dense', 'individual', 'circulant'])
def test_copies_go_on_by_themselves(rng, structure, duplicate):
  shape = [3] if structure == 'dense' else [4, 6, 2]
  constraint = {'rank': 1} if structure == 'individual' else {}
  stream = fo.AutoCorrelation(structure, shape, False, **constraint)
  x = rng.normal(size=(20, *shape))
  stream.update(x[:9])
  other = duplicate(stream)
  other.update(x[9:])
  assert stream.count == 9
  stream.update(x[9:])
  for a, b in zip(other.optimum(), stream.optimum(), strict=True):
    np.testing.assert_array_equal(a, b)
  for a, b in zip(
      duplicate(stream.optimum()), stream.optimum(), strict=True
  ):
    np.testing.assert_array_equal(a, b)
  np.testing.assert_array_equal(
      duplicate(stream.moments()).matrix, stream.moments().matrix
  )
  if structure != 'individual':
    flow = stream.linear_flow()
    np.testing.assert_array_equal(
        duplicate(flow).log_prob(x), flow.log_prob(x)
    )
  with pytest.raises(ValueError, match='centered'):
    other.merge(fo.AutoCorrelation(structure, shape))


def test_moments_larger_than_memory_are_refused():
  with pytest.raises(ValueError, match=r'`event_shape`.*GiB'):
    fo.AutoCorrelation('dense', 10**7)
