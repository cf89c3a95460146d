"""Flows of vectors given a class, each of which has its own linear map."""

import numpy as np
import pytest
from scipy import stats
from support import jacobians
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.bijectors import dense_affine
from tfp_flowopt.flows import class_maps

K, D = 3, 4
SMALL = {'num_steps': 1, 'hidden_units': 2}
LINEAR = {**SMALL, 'gaussianize_marginals': False, 'gaussianize_radius': False}
MEANS = np.random.default_rng(1).normal(size=[K, D])
ROOTS = np.random.default_rng(2).normal(size=[K, D, D])
SCATTERS = ROOTS @ ROOTS.transpose([0, 2, 1]) + 0.05 * np.eye(D)


def draws(rng, num, roots=SCATTERS, df=None, size=D):
  """Normal vectors or, with `df`, those of a t-distribution, and labels."""
  labels = rng.integers(K, size=num)
  factors = np.linalg.cholesky(roots)
  x = np.einsum('nij,nj->ni', factors[labels], rng.normal(size=[num, size]))
  if df is not None:
    x /= np.sqrt(rng.chisquare(df, [num, 1]) / df)
  return (MEANS[labels, :size] + x).astype(np.float32), labels


def log_prob(distribution, x, labels):
  kwargs = {'conditioning': labels}
  return np.mean(
      distribution.log_prob(x, bijector_kwargs=kwargs), dtype=np.float64
  )


def started(x, labels, one_hot=False, num_classes=K, dtype=tf.float32,
            **kwargs):
  """A flow at its start, which is as predicted.

  Given one-hot features it has one map for all classes.
  """
  if one_hot:
    labels = np.eye(num_classes, dtype=np.float32)[labels]
  distribution = fo.vector_flow(
      x.shape[1],
      conditioning=[num_classes] if one_hot else num_classes,
      dtype=dtype,
      **kwargs,
  )
  x = x.astype(dtype.as_numpy_dtype)
  predicted = fo.initialize_at_optimum(distribution, x, conditioning=labels)
  assert log_prob(distribution, x, labels) == pytest.approx(
      predicted, abs=2e-3
  )
  return distribution


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
@pytest.mark.parametrize('size', [1, 2, 4])
def test_it_is_the_normal_of_each_class(dtype, size, rng):
  scatters = SCATTERS[:, :size, :size]
  x, labels = draws(rng, 6000, scatters, size=size)
  distribution = started(x, labels, dtype=dtype, **LINEAR)
  test, given = draws(rng, 2000, scatters, size=size)
  expected = np.mean([
      stats.multivariate_normal.logpdf(
          row, x[labels == k].mean(axis=0), np.cov(x[labels == k].T)
      )
      for row, k in zip(test, given, strict=True)
  ])
  test = test.astype(dtype.as_numpy_dtype)
  assert log_prob(distribution, test, given) == pytest.approx(
      expected, abs=5e-3
  )
  samples = distribution.sample(
      20000, seed=[0, 1], bijector_kwargs={'conditioning': 2}
  )
  own = x[labels == 2]
  spread = np.abs(scatters[2]).max()
  np.testing.assert_allclose(
      np.cov(np.transpose(samples)), np.cov(own.T), atol=0.1 * spread
  )
  np.testing.assert_allclose(
      np.mean(samples, axis=0), own.mean(axis=0), atol=0.1 * spread**0.5
  )


def test_classes_and_heavy_tails_together(rng):
  x, labels = draws(rng, 3000, df=3)
  test, given = draws(rng, 3000, df=3)
  truth = np.mean([
      stats.multivariate_t.logpdf(row, MEANS[k], SCATTERS[k], df=3)
      for row, k in zip(test, given, strict=True)
  ])
  both, linear = (
      log_prob(started(x, labels, **kwargs), test, given)
      for kwargs in (SMALL, LINEAR)
  )
  radius = log_prob(
      started(x, labels, one_hot=True, **SMALL),
      test,
      np.eye(K, dtype=np.float32)[given],
  )
  assert truth - 0.1 < both < truth + 0.05
  assert both > max(radius, linear) + 0.3


def test_few_vectors_lose_nothing():
  """15 of each class in ten dimensions, the mean over several draws."""
  gains = {'alike': [], 'other': []}
  for seed in range(4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=[10, 10])
    for name, values in gains.items():
      labels = np.arange(1045) % K
      x = rng.normal(size=[1045, 10])
      if name == 'other':
        x *= np.exp(1.5 * rng.normal(size=[K, 10]))[labels]
      x = (x @ root).astype(np.float32)
      train, test = slice(45), slice(45, None)
      one_hot = np.eye(K, dtype=np.float32)[labels]
      own = started(x[train], labels[train], **LINEAR)
      common = started(x[train], labels[train], one_hot=True, **LINEAR)
      values.append(
          log_prob(own, x[test], labels[test])
          - log_prob(common, x[test], one_hot[test])
      )
  assert np.mean(gains['alike']) > -0.3, gains
  assert np.mean(gains['other']) > 1.0, gains


def test_other_noise_of_an_example_is_not_held_out_from_it():
  rng = np.random.default_rng(5)
  scales = np.exp(-0.3 * np.arange(12))
  examples = scales * rng.normal(size=[100, 12])
  rows = rng.permutation(np.tile(np.arange(100), 30))
  x = examples[rows] + 0.01 * rng.normal(size=[3000, 12])
  # Classes are alike: 50 vectors of each say so, and 1500 would not.
  parts = class_maps.rows_by_class(x, rows % 2, 2)
  split = 0
  for k, (others, held_out) in enumerate(parts):
    np.testing.assert_array_equal(
        np.sort(np.concatenate([others, held_out])), np.flatnonzero(
            rows % 2 == k
        )
    )
    assert len(held_out) == pytest.approx(0.2 * len(others) / 0.8, rel=0.1)
    split += len(set(rows[others]) & set(rows[held_out]))
  assert split <= 16
  distribution = started(x.astype(np.float32), rows % 2, num_classes=2,
                         **LINEAR)
  matrices = distribution.bijector.whiten_classes.matrices
  values = np.linalg.eigvalsh(matrices)
  assert values.max() < 1.8, values


def test_held_out_vectors_are_like_the_others(rng):
  x = rng.normal(size=[2000, 1])
  ((others, held_out),) = class_maps.rows_by_class(x, np.zeros(2000, int), 1)
  assert np.var(x[held_out]) == pytest.approx(np.var(x[others]), rel=0.25)
  assert np.mean(x[held_out]) == pytest.approx(0.0, abs=0.1)


def test_what_is_constant_in_a_class_or_in_all(rng):
  x, labels = draws(rng, 900)
  x[labels == 1, 0] = 3.0
  x = np.concatenate([x, np.full([900, 1], 7.0, np.float32)], axis=1)
  distribution = started(x, labels, **LINEAR)
  assert np.all(np.isfinite(distribution.bijector.whiten_classes.matrices))
  # A map of a class does not make latents of rounding errors.
  z = distribution.bijector.inverse(x, conditioning=labels)
  assert np.max(np.var(z, axis=0)) < 1.05


def test_no_class_undoes_a_limit_of_the_scales(rng):
  """Of a column that is narrow in each class."""
  labels = rng.integers(K, size=900)
  x = rng.normal(size=[900, D])
  x[:, 0] *= 1e-3
  distribution = fo.vector_flow(D, conditioning=K, **LINEAR)
  fo.initialize_at_optimum(
      distribution,
      x.astype(np.float32),
      lipschitz=(1e-3, 10.0),
      conditioning=labels,
  )
  flow = distribution.bijector
  maps = flow.whiten_classes.matrices @ flow.whiten.rows()[0].numpy().T
  assert np.linalg.svd(maps, compute_uv=False).max() < 10.0 * 1.05


def test_a_class_without_vectors_has_the_common_map(rng):
  x, labels = draws(rng, 900)
  flow = started(x, labels, num_classes=K + 1, **LINEAR).bijector
  matrices = flow.whiten_classes.matrices.numpy()
  np.testing.assert_array_equal(matrices[K], np.eye(D))
  assert np.max(np.abs(matrices[0] - np.eye(D))) > 0.1


def test_large_maps_are_left_out(rng, monkeypatch):
  monkeypatch.setattr(dense_affine, 'MOST_NUMBERS', K * D**2 - 1)
  x, labels = draws(rng, 300)
  flow = started(x, labels, **LINEAR).bijector
  assert flow.whiten_classes is None
  monkeypatch.setattr(dense_affine, 'MOST_NUMBERS', K * D**2)
  assert started(x, labels, **LINEAR).bijector.whiten_classes is not None
  assert fo.bijectors.VectorFlow(D, conditioning=[K]).whiten_classes is None


def test_certificates_hold_for_each_class(rng):
  x, labels = draws(rng, 1500, df=5)
  flow = started(
      x, labels, dtype=tf.float64, lipschitz_budget=2.0, **SMALL
  ).bijector
  registry.randomize(flow.steps, 0.1)
  parts, constants = flow.bounds_by_part(), fo.lipschitz.lipschitz_bounds(flow)
  y = tf.constant(x[:100], tf.float64)
  for k in range(K):
    jacobian = jacobians.jacobian_of(
        lambda y, k=k: flow.inverse(y, conditioning=k)
    )
    singular = np.linalg.svd(jacobian(y), compute_uv=False)
    assert singular.max() <= constants.inverse
    assert 1.0 / singular.min() <= constants.forward
  # The maps cost none of the budget, and are all in the linear part.
  assert max(parts.nonlinear) <= np.exp(2.0)
  values = np.linalg.svd(
      flow.whiten_classes.matrices @ flow.whiten.rows()[0].numpy().T,
      compute_uv=False,
  )
  assert parts.linear.inverse >= 0.9 * values.max()


def test_exported_compiled_and_copied(rng, tmp_path):
  x, labels = draws(rng, 300)
  distribution = started(x, labels, **SMALL)
  kwargs = {'conditioning': labels}
  expected = distribution.log_prob(x, bijector_kwargs=kwargs)
  compiled = tf.function(distribution.log_prob, jit_compile=True)
  np.testing.assert_allclose(
      compiled(x, bijector_kwargs=kwargs), expected, rtol=1e-3, atol=1e-3
  )
  copy = distribution.bijector.copy(name='other')
  np.testing.assert_array_equal(
      copy.inverse(x, **kwargs),
      distribution.bijector.inverse(tf.identity(x), **kwargs),
  )
  path = tf.train.Checkpoint(distribution).write(str(tmp_path / 'weights'))
  other = fo.vector_flow(D, conditioning=K, seed=1, **SMALL)
  tf.train.Checkpoint(other).read(path).assert_consumed()
  np.testing.assert_array_equal(
      other.log_prob(x, bijector_kwargs=kwargs), expected
  )
  fo.export.save(distribution, tmp_path / 'flow')
  served = tf.saved_model.load(str(tmp_path / 'flow')).signatures
  given = tf.constant(labels)
  np.testing.assert_allclose(
      served['log_prob'](x=tf.constant(x), conditioning=given)['log_prob'],
      expected, rtol=1e-4, atol=1e-4,
  )
  latents = served['encode'](x=tf.constant(x), conditioning=given)['latents']
  back = served['decode'](latents=latents, conditioning=given)['x']
  np.testing.assert_allclose(back, x, rtol=1e-3, atol=1e-3)
