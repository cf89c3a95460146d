"""Muon against singular value decompositions, and against Adam."""

import shutil

import numpy as np
import pytest
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo
from tfp_flowopt.training import muon

RATE = 0.05
tfb, tfd = tfp.bijectors, tfp.distributions


def polar(matrix):
  u, _, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
  return u, vt


@pytest.mark.parametrize('shape', [(6, 6), (4, 9), (27, 8), (3, 18, 5)])
@pytest.mark.parametrize('scale', [1e-25, 1.0, 1e25])
def test_singular_values_become_one(shape, scale):
  matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  found = muon.orthogonalized(tf.constant(np.float32(scale) * matrix)).numpy()
  u, vt = polar(matrix)
  core = np.swapaxes(u, -1, -2) @ found @ np.swapaxes(vt, -1, -2)
  values = np.diagonal(core, axis1=-2, axis2=-1)
  assert values.min() > 0.6
  assert values.max() < 1.25
  # The same singular vectors.
  off = core - values[..., None] * np.eye(core.shape[-1])
  np.testing.assert_allclose(off, 0.0, atol=1e-3)
  np.testing.assert_allclose(u @ core @ vt, found, atol=1e-3)


def test_small_singular_values_become_one_too():
  rng = np.random.default_rng(3)
  (u, vt), size = polar(rng.normal(size=[12, 8])), np.geomspace(0.013, 1.0, 8)
  found = muon.orthogonalized(tf.constant((u * size) @ vt)).numpy()
  values = np.diagonal(u.T @ found @ vt.T)
  assert values.min() > 0.65
  assert values.max() < 1.25


def test_zero_stays_zero():
  zeros = tf.zeros([2, 4, 3])
  np.testing.assert_array_equal(muon.orthogonalized(zeros), zeros)


def variables():
  rng = np.random.default_rng(1)
  return {
      name: tf.Variable(rng.normal(size=shape).astype(np.float32), name=kind)
      for name, kind, shape in (
          ('convolution', 'kernel', [2, 3, 3, 4, 6]),
          ('dense', 'layer/kernel', [5, 7]),
          ('column', 'kernel', [5, 1]),
          ('bias', 'bias', [2, 6]),
          ('rotation', 'lower', [4, 6]),
      )
  }


def take_steps(optimizer, num=3):
  own, rng = variables(), np.random.default_rng(2)
  gradients = []
  for _ in range(num):
    gradients.append({
        name: rng.normal(size=v.shape).astype(np.float32)
        for name, v in own.items()
    })
    optimizer.apply_gradients(
        (tf.constant(gradients[-1][name]), v) for name, v in own.items()
    )
  return {name: v.numpy() for name, v in own.items()}, gradients


def test_kernels_go_along_the_momentum_and_all_else_as_with_adam():
  found, gradients = take_steps(muon.Muon(RATE))
  adam, _ = take_steps(tf_keras.optimizers.legacy.Adam(RATE))
  for name in ('column', 'bias', 'rotation'):
    np.testing.assert_array_equal(found[name], adam[name])
  for name, rows in (('convolution', 36), ('dense', 5)):
    expected = variables()[name].numpy()
    momentum = 0.0
    for gradient in gradients:
      momentum = 0.9 * momentum + gradient[name]
      ahead = gradient[name] + 0.9 * momentum
      matrix = ahead.reshape([*ahead.shape[:-4], rows, ahead.shape[-1]])
      step = muon.orthogonalized(tf.constant(matrix)).numpy()
      size = 0.2 * RATE * np.sqrt(max(matrix.shape[-2:]))
      expected = expected - size * step.reshape(expected.shape)
    np.testing.assert_allclose(found[name], expected, atol=1e-5)
    assert np.abs(found[name] - adam[name]).max() > 1e-3


def test_its_step_is_about_as_large_as_adams():
  before = variables()
  found, _ = take_steps(muon.Muon(RATE), 1)
  for name in ('convolution', 'dense'):
    step = found[name] - before[name].numpy()
    assert 0.05 * RATE < np.sqrt(np.mean(step**2)) < 0.4 * RATE


def test_networks_of_flows_have_kernels():
  flow = fo.image_flow([8, 8, 1], num_levels=1, num_steps=2, hidden_channels=8)
  kernels = [v for v in flow.trainable_variables if muon.is_matrix(v)]
  assert len(kernels) >= 3
  vectors = fo.vector_flow(3, num_steps=2, hidden_units=8)
  assert any(muon.is_matrix(v) for v in vectors.trainable_variables)


def coupling():
  """A flow of two kernels and a bias, which is traced in a moment."""
  rng = np.random.default_rng(4)
  first, second = kernels = [
      tf.Variable(0.2 * rng.normal(size=shape).astype('f'), name='kernel')
      for shape in ([96, 4], [4, 96])
  ]
  bias = tf.Variable(tf.zeros([96]), name='bias')

  def shift(x, units):
    del units
    return tf.tanh(x @ first) @ second + bias, None

  layer = tfb.RealNVP(num_masked=96, shift_and_log_scale_fn=shift)
  layer.weights = [*kernels, bias]  # a function is not searched for variables
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [192]),
      tfb.Chain([tfb.Reshape([8, 8, 3], [192]), layer]),
  )


def test_a_run_goes_on_with_the_same_bits(tmp_path, without_pictures):
  settings = {'flow': coupling, 'train_steps': 8, 'learning_rate': RATE}
  straight, whole = runs.make_trainer(
      tmp_path / 'straight', optimizer='muon', **settings
  )
  first = runs.weights(whole)
  straight.train()
  # As if it had ended at its first checkpoint.
  shutil.copytree(
      tmp_path / 'straight', tmp_path / 'run',
      ignore=shutil.ignore_patterns('ckpt-8*', 'summary.json'),
  )
  with pytest.raises(fo.training.OtherRunError, match='optimizer'):
    runs.make_trainer(tmp_path / 'run', **settings)
  second, resumed = runs.make_trainer(
      tmp_path / 'run', optimizer='muon', **settings
  )
  assert second.step == 4
  second.train()
  runs.assert_equal(runs.weights(resumed), runs.weights(whole))
  for before, after in zip(first, runs.weights(whole), strict=True):
    assert np.abs(after - before).max() > 1e-3


def test_replicas_take_the_same_steps(tmp_path):
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  settings = {
      'flow': coupling, 'optimizer': 'muon', 'train_steps': 2, 'eval_every': 1
  }
  with strategy.scope():
    trainer, distribution = runs.make_trainer(tmp_path / 'two', **settings)
    for variable in distribution.trainable_variables:
      on_each = strategy.experimental_local_results(variable)
      is_matrix = {'kernel': True, 'bias': False}[variable.name.split(':')[0]]
      assert [muon.is_matrix(v) for v in on_each] == [is_matrix] * 2
    with runs.no_pictures():
      trainer.train()  # which compares the weights
  once, single = runs.make_trainer(tmp_path / 'one', **settings)
  with runs.no_pictures():
    once.train()
  for ours, theirs in zip(
      runs.weights(distribution), runs.weights(single), strict=True
  ):
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
