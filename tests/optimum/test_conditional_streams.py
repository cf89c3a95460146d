"""Moments under a condition in batches, on replicas; what is refused."""

import copy
import pickle

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

N, D, F = 60, 3, 2


@pytest.fixture(name='vectors')
def _vectors(rng):
  c = rng.normal(size=(N, F)) * [1.0, 30.0] + [5.0, -2.0]
  x = c @ rng.normal(size=(F, D)) + rng.normal(size=(N, D)) @ rng.normal(
      size=(D, D)
  )
  return x + 7.0, c


@pytest.mark.parametrize('kind', ['vectors', 'labels'])
@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('structure', ['dense', 'pointwise'])
def test_a_stream_equals_all_at_once(rng, structure, centered, kind):
  shape, options = ([4], {})
  if structure == 'pointwise':
    shape, options = [4, 2, 2], {'block_size': 2}
  x = rng.normal(size=(40, *shape)) + 100.0
  if kind == 'labels':
    c, spec, given = rng.integers(3, size=40), 3, {'num_classes': 3}
    x += c.reshape([-1] + [1] * len(shape))
  else:
    c, spec, given = rng.normal(size=(40, 2)) + 50.0, [2], {}
    x += c[:, 0].reshape([-1] + [1] * len(shape))
  streams = [
      fo.AutoCorrelation(
          structure, shape, centered, conditioning=spec, **options
      )
      for _ in range(2)
  ]
  update = tf.function(
      streams[0].update,
      input_signature=[
          tf.TensorSpec([None, *shape], tf.float64),
          tf.TensorSpec([None, *c.shape[1:]], c.dtype),
      ],
  )
  for rows in np.split(np.arange(40), [1, 8]):
    update(x[rows], c[rows])
  assert streams[0].count == 40
  streams[1].update(x[:9], c[:9])
  other = copy.deepcopy(streams[1])
  streams[1].update(x[9:], c[9:])
  rest = pickle.loads(pickle.dumps(other))
  rest.update(x[9:], c[9:])
  want = fo.likelihood_optimum(
      x, structure, centered, conditioning=c, **options, **given
  )
  for stream in (*streams, rest):
    got = stream.optimum()
    for a, b in zip(got, want, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-9)
    np.testing.assert_allclose(
        got.mutual_information, want.mutual_information, rtol=1e-7
    )
    np.testing.assert_allclose(got.shift_matrix, want.shift_matrix, rtol=1e-7)
    np.testing.assert_allclose(
        np.mean(stream.linear_flow().log_prob(x, c)),
        want.log_likelihood,
        rtol=1e-9,
    )
  half = fo.AutoCorrelation(
      structure, shape, centered, conditioning=spec, **options
  )
  half.update(x[9:], c[9:])
  half.merge(other)
  np.testing.assert_allclose(
      half.optimum().log_likelihood, want.log_likelihood, rtol=1e-9
  )
  with pytest.raises(ValueError, match='condition'):
    half.merge(fo.AutoCorrelation(structure, shape, centered, **options))


@pytest.mark.parametrize('labels', [True, False])
def test_replicas_read_parts(rng, labels):
  x = rng.normal(size=(20, D)) + 10.0
  c = rng.integers(3, size=20) if labels else rng.normal(size=(20, F))
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    stream = fo.AutoCorrelation('dense', D, conditioning=3 if labels else [F])
  parts = tf.constant(x), tf.constant(c)

  @tf.function
  def read():
    def replica():
      context = tf.distribute.get_replica_context()
      start = 9 * context.replica_id_in_sync_group
      stop = 9 + 11 * context.replica_id_in_sync_group
      stream.update(*(part[start:stop] for part in parts))
      stream.all_reduce()

    strategy.run(replica)

  read()
  want = fo.likelihood_optimum(
      x, conditioning=c, num_classes=3 if labels else None
  )
  got = stream.optimum()
  assert stream.count == 20
  np.testing.assert_allclose(
      got.log_likelihood, want.log_likelihood, rtol=1e-10
  )
  np.testing.assert_allclose(got.shift_matrix, want.shift_matrix, rtol=1e-8)
  np.testing.assert_allclose(
      got.mutual_information, want.mutual_information, rtol=1e-8
  )


def test_a_strategy_of_one_device(rng):
  """As `MirroredStrategy()` is where there is one GPU, or none."""
  x = rng.normal(size=(20, D)) + 10.0
  strategy = tf.distribute.MirroredStrategy(['CPU:0'])
  with strategy.scope():
    stream = fo.AutoCorrelation('dense', D)

  @tf.function
  def read(x):
    strategy.run(stream.update, args=(x,))

  read(tf.constant(x[:12]))
  with strategy.scope():
    stream.update(x[12:])
  np.testing.assert_allclose(
      stream.optimum().log_likelihood,
      fo.likelihood_optimum(x).log_likelihood,
      rtol=1e-10,
  )


def test_what_a_condition_explains_entirely_is_singular(vectors):
  x, c = vectors
  x = np.concatenate([x, c[:, :1] - 3.0 * c[:, 1:]], axis=1)
  for scale in (1.0, 1e-6):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match='singular'
    ):
      fo.likelihood_optimum(scale * x, conditioning=c)
  with pytest.raises(tf.errors.InvalidArgumentError, match='too few'):
    # The condition has rank 2.
    fo.likelihood_optimum(x[:5, :D], conditioning=c[:5] @ np.eye(2, 3))
  stream = fo.AutoCorrelation('dense', D, conditioning=[F])
  stream.update(x[:5, :D], c[:5])
  with pytest.raises(tf.errors.InvalidArgumentError, match='too few'):
    stream.optimum()
  stream = fo.AutoCorrelation('dense', D + 1, conditioning=[F])
  stream.update(x, c)
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
    stream.optimum()
  assert np.isfinite(stream.optimum(noise_variance=0.1).log_likelihood)


def test_wrong_conditions_are_named(vectors):
  x, c = vectors
  images, ones = np.zeros([4, 2, 2, 1]), np.ones([4, 1])
  labels = np.zeros([N], int)
  for structure in ('individual', 'circulant'):
    for call in (
        lambda s: fo.likelihood_optimum(images, s, conditioning=ones),
        lambda s: fo.AutoCorrelation(s, [2, 2, 1], conditioning=2),
    ):
      with pytest.raises(ValueError, match=f'conditioning.*"{structure}"'):
        call(structure)
  with pytest.raises(ValueError, match='give `num_classes`'):
    fo.likelihood_optimum(x, conditioning=labels)
  with pytest.raises(ValueError, match='give `conditioning`'):
    fo.likelihood_optimum(x, num_classes=2)
  with pytest.raises(tf.errors.InvalidArgumentError, match='from 0 to 1'):
    fo.likelihood_optimum(x, conditioning=labels + 2, num_classes=2)
  with pytest.raises(ValueError, match='integer labels'):
    fo.likelihood_optimum(x, conditioning=c, num_classes=2)
  stream = fo.AutoCorrelation('dense', D, conditioning=[F])
  before = [v.numpy() for v in stream.variables]
  for wrong in (None, labels, c[:-1], c[:1], c[:, :1], c * 1e200, c[0]):
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match='`conditioning`'
    ):
      stream.update(x, wrong)
  for value, variable in zip(before, stream.variables, strict=True):
    np.testing.assert_array_equal(variable, value)
  with pytest.raises(ValueError, match='made without it'):
    fo.AutoCorrelation('dense', D).update(x, c)
  stream.update(x, c)
  with pytest.raises(ValueError, match=r'`conditioning`.*got None'):
    stream.linear_flow().log_prob(x)
