"""Runs that learn their dequantisation noise."""

import shutil

import numpy as np
import pytest
from support import images
from support import runs
import tensorflow as tf

import tfp_flowopt as fo

RATE = 3e-2


def make_trainer(workdir, **overrides):
  return runs.make_simple_trainer(
      workdir, **{'dequantization': 'variational', 'train_steps': 8,
                  'learning_rate': RATE, **overrides},
  )


def noise_of(trainer):
  return [v.numpy() for v in trainer.dequantization.variables]


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
  """Directory of a run, its trainer and distribution, and first weights."""
  workdir = tmp_path_factory.mktemp('whole')
  trainer, distribution = make_trainer(workdir)
  first = noise_of(trainer)
  with runs.no_pictures():
    trainer.train()
  return workdir, trainer, distribution, first


def bound(trainer, distribution, x):
  x, log_det = trainer.dequantization(x)
  return (distribution.log_prob(x) + log_det).numpy().astype(np.float64)


def bits(log_likelihoods):
  return 8.0 - np.mean(log_likelihoods) / (192 * np.log(2.0))


def test_losses_are_its_bounds(whole):
  _, trainer, distribution, first = whole
  assert any(
      np.abs(a - b).max() > 1e-3
      for a, b in zip(noise_of(trainer), first, strict=True)
  )
  with trainer._state.average.swapped_in():
    x, _ = trainer._examples.held_out.array(8)
    want = bits(bound(trainer, distribution, tf.constant(x)))
    alone = bits(distribution.log_prob(x))
  assert trainer.evaluate() == pytest.approx(want, rel=1e-5)
  assert abs(alone - want) > 1e-4
  assert trainer.report().bits_per_dim == pytest.approx(want, rel=1e-5)


def test_a_run_goes_on_with_the_same_bits(whole, tmp_path, without_pictures):
  workdir, trainer, distribution, _ = whole
  shutil.copytree(
      workdir, tmp_path / 'run',
      ignore=shutil.ignore_patterns('ckpt-8*', 'summary.json'),
  )
  with pytest.raises(fo.training.OtherRunError, match='dequantization'):
    make_trainer(tmp_path / 'run', dequantization='uniform')
  second, resumed = make_trainer(tmp_path / 'run')
  assert second.step == 4
  second.train()
  runs.assert_equal(runs.weights(resumed), runs.weights(distribution))
  runs.assert_equal(noise_of(second), noise_of(trainer))


def test_parts_of_a_batch_have_its_gradients(tmp_path):
  weights = []
  for parts in (1, 2):
    trainer, _ = make_trainer(
        tmp_path / str(parts), accumulation=parts, train_steps=2
    )
    with runs.no_pictures():
      trainer.train()
    weights.append(noise_of(trainer))
  for whole, parts in zip(*weights, strict=True):
    np.testing.assert_allclose(whole, parts, atol=1e-4)


def test_replicas_take_the_same_steps(tmp_path):
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    trainer, _ = make_trainer(tmp_path / 'two', train_steps=2)
    with runs.no_pictures():
      trainer.train()  # which compares the weights
  once, _ = make_trainer(tmp_path / 'one', train_steps=2)
  with runs.no_pictures():
    once.train()
  for ours, theirs in zip(noise_of(trainer), noise_of(once), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_weights_are_restored_with_those_of_the_flow(whole, tmp_path):
  workdir, trainer, distribution, _ = whole
  flow = runs.make_simple_flow()
  noise = fo.flows.VariationalDequantization([8, 8, 3], seed=9)
  assert fo.training.restore(flow, workdir, dequantization=noise) == 8
  with trainer._state.average.swapped_in():
    runs.assert_equal(runs.weights(flow), runs.weights(distribution))
    runs.assert_equal([v.numpy() for v in noise.variables], noise_of(trainer))
  # Who only wants to sample need not make one.
  other = runs.make_simple_flow()
  assert fo.training.restore(other, workdir) == 8
  runs.assert_equal(runs.weights(other), runs.weights(flow))
  wrong = fo.flows.VariationalDequantization([8, 8, 3], bits=5)
  with pytest.raises(ValueError, match=r'`dequantization`.*bits=8, got 5'):
    fo.training.restore(flow, workdir, dequantization=wrong)
  wrong = fo.flows.VariationalDequantization([16, 4, 3])  # of as many weights
  with pytest.raises(ValueError, match=r'event_shape=.8, 8, 3., got .16, 4'):
    fo.training.restore(flow, workdir, dequantization=wrong)
  with pytest.raises(ValueError, match='`dequantization` must be a'):
    fo.training.restore(flow, workdir, dequantization='variational')
  runs.make_simple_trainer(tmp_path)
  with pytest.raises(ValueError, match="dequantization='uniform'"):
    fo.training.restore(flow, tmp_path, dequantization=noise)


def test_lost_settings_are_found_in_the_checkpoint(whole, tmp_path):
  workdir, trainer, _, _ = whole
  shutil.copytree(workdir, tmp_path / 'run')
  for path in (tmp_path / 'run').rglob('start.json'):
    path.unlink()
  noise = fo.flows.VariationalDequantization([8, 8, 3], seed=9)
  for given in (None, noise):
    flow = runs.make_simple_flow()
    assert fo.training.restore(
        flow, tmp_path / 'run', dequantization=given
    ) == 8
  with trainer._state.average.swapped_in():
    runs.assert_equal([v.numpy() for v in noise.variables], noise_of(trainer))


def test_it_is_served(tmp_path):
  flow = runs.make_simple_flow()
  noise = fo.flows.VariationalDequantization([8, 8, 3])
  rng = np.random.default_rng(0)
  for variable in noise.trainable_variables:
    variable.assign_add(0.1 * rng.normal(size=variable.shape))
  path = fo.export.save(
      flow, tmp_path / '1', certified=True, dequantization=noise
  )
  served = tf.saved_model.load(path).signatures
  x = images.crops().draw(6, [3, 3])
  uniform = fo.flows.dequantize(
      x, noise=fo.flows.dequantization_noise([8, 8, 3], [0, 0])
  )
  y, log_det = noise(uniform)
  np.testing.assert_allclose(
      served['log_prob'](images=x)['log_prob'],
      flow.log_prob(y) + log_det,
      rtol=1e-5,
  )
  assert np.abs(flow.log_prob(y) + log_det - flow.log_prob(uniform)).max() > 1
  for radius in (0.0, 1e-3):
    bounds = served['certified_log_prob'](
        images=x, radius=tf.constant(radius)
    )
    want = flow.log_prob(y) + log_det
    assert np.all(bounds['lower'] <= want + 1e-3)
    assert np.all(bounds['upper'] >= want - 1e-3)
  for wrong in (
      fo.flows.VariationalDequantization([8, 8, 1]),
      fo.flows.VariationalDequantization([8, 8, 3], bits=5),
  ):
    with pytest.raises(ValueError, match='`dequantization` must be of events'):
      fo.export.save(flow, tmp_path / '2', dequantization=wrong)
  noise.trainable_variables[0].assign_add(
      np.nan * noise.trainable_variables[0]
  )
  with pytest.raises(ValueError, match=r'`dequantization` has weights .* not'):
    fo.export.save(flow, tmp_path / '2', dequantization=noise)


def test_vectors_have_no_bins(tmp_path):
  flow = fo.vector_flow(2, 1, 2)
  data = tf.data.Dataset.from_tensor_slices(np.eye(2, dtype=np.float32))
  with pytest.raises(ValueError, match=r'is for images, got .*2'):
    fo.training.Trainer(
        flow, data, data, tmp_path,
        fo.training.TrainConfig(dequantization='variational'),
    )
