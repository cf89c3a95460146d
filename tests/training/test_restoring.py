"""The weights of a run, without its data."""

import shutil

import numpy as np
import pytest
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions
restore = fo.training.restore


def test_weights_are_the_averages_of_the_run(straight):
  workdir, _, _ = straight
  files = {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}
  flow = runs.make_flow()
  assert restore(flow, workdir) == 12
  trainer, distribution = runs.make_trainer(workdir)
  for checkpoint in ('latest', 'best'):
    step = restore(flow, str(workdir), checkpoint)
    if checkpoint == 'best':
      trainer, distribution = runs.make_trainer(workdir)
      trainer.restore_best()
    trainer.use_averaged_weights()
    assert step == trainer.step
    runs.assert_equal(runs.weights(flow), runs.weights(distribution))
  assert files == {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}


def test_what_is_refused(straight, tmp_path):
  workdir, _, _ = straight
  other = fo.image_flow([8, 8, 3], 1, 2, 8, tile_sizes=(2,))
  before = runs.weights(other)
  with pytest.raises(
      fo.training.OtherRunError, match='num_steps: was 1, is 2'
  ):
    restore(other, workdir)
  with pytest.raises(ValueError, match=r'`checkpoint`.*first'):
    restore(runs.make_flow(), workdir, 'first')
  with pytest.raises(ValueError, match='`distribution`'):
    restore('flow', workdir)
  # Settings that are lost cannot be compared.
  shutil.copytree(workdir / 'checkpoints', tmp_path / 'checkpoints')
  (tmp_path / 'checkpoints' / 'start.json').unlink()
  assert restore(runs.make_flow(), tmp_path) == 12
  for checkpoint in ('latest', 'best'):
    with pytest.raises(ValueError, match=r'`workdir`: no .*checkpoint'):
      restore(runs.make_flow(), tmp_path / 'none', checkpoint)
  assert not (tmp_path / 'none').exists()
  np.testing.assert_equal(runs.weights(other), before)


def make_flow(num_steps=1, hidden_units=4):
  return fo.vector_flow(3, num_steps, hidden_units, 'affine')


def make_normal():
  """Where it is not the flow that counts."""
  bijector = tfb.Chain([
      tfb.Shift(tf.Variable(tf.zeros([3]))),
      tfb.Scale(log_scale=tf.Variable(tf.zeros([3]))),
  ])
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [3]), bijector
  )


def fitted(workdir, train_steps=6, flow=None):
  """A flow after a run of `fit`, and the run's result."""
  x = np.random.default_rng(0).normal(size=[200, 3]).astype(np.float32)
  x[:, 1] += x[:, 0] ** 2
  if flow is None:
    flow = make_flow()
    fo.initialize_at_optimum(flow, x)
  result = fo.training.fit(
      flow, x, train_steps=train_steps, eval_every=2, workdir=workdir,
      schedule='constant', quiet=True,
  )
  return flow, result, x


def test_weights_of_a_run_of_fit(tmp_path):
  flow, result, x = fitted(tmp_path)
  other = make_flow()
  assert restore(other, tmp_path, 'best') == result.best_step
  np.testing.assert_array_equal(other.log_prob(x), flow.log_prob(x))
  assert restore(other, tmp_path) == 6
  (tmp_path / 'history.json').unlink()
  with pytest.warns(UserWarning, match='its copy'):
    assert restore(other, tmp_path, 'best') == result.best_step
  with pytest.raises(ValueError, match='holds a run of `fit`'):
    fo.training.Trainer(flow, None, None, tmp_path, fo.training.TrainConfig())
  (tmp_path / 'checkpoints' / 'history.json').rename(tmp_path / 'history.json')
  with pytest.raises(
      fo.training.OtherRunError, match='num_steps: was 1, is 2'
  ):
    restore(make_flow(num_steps=2), tmp_path)


@pytest.mark.filterwarnings('ignore:.*is damaged; it is ignored')
def test_a_history_that_is_lost_is_told(tmp_path):
  _, result, _ = fitted(tmp_path, 6, make_normal())
  (tmp_path / 'history.json').write_text('{}')
  with pytest.warns(UserWarning, match=r'its copy, .* takes its place'):
    _, again, _ = fitted(tmp_path, 8, make_normal())
  assert again.history[: len(result.history)] == result.history
  for path in tmp_path.rglob('history.json'):
    path.unlink()
  with pytest.warns(UserWarning, match='The run goes on from its checkpoints'):
    _, again, _ = fitted(tmp_path, 10, make_normal())
  assert again.history[0]['step'] == 8 and again.history[-1]['step'] == 10


@pytest.mark.filterwarnings('ignore:.*missing or damaged')
def test_checkpoints_of_another_kind_of_run(tmp_path):
  """What tells which kind it is may be lost."""
  fitted(tmp_path)
  for path in tmp_path.rglob('history.json'):
    path.unlink()
  flow = make_flow()
  with pytest.raises(ValueError, match=r'`workdir`.*another kind of run'):
    restore(flow, tmp_path)
  data = tf.data.Dataset.from_tensor_slices(tf.random.normal([50, 3]))
  with pytest.raises(ValueError, match=r'`workdir`.*another kind of run'):
    fo.training.Trainer(
        flow, data, data, tmp_path, fo.training.TrainConfig()
    ).start_or_resume()
  wider = make_flow(hidden_units=8)
  fo.initialize_at_optimum(wider, np.random.default_rng(0).normal(size=[50, 3]))
  with pytest.raises(ValueError, match=r'`workdir`.*of other weights'):
    fo.training.fit(
        wider, np.zeros([50, 3], np.float32), workdir=tmp_path, quiet=True
    )


@pytest.mark.parametrize('path', ['gs://bucket/run', 'hdfs://run', '', None])
def test_a_directory_elsewhere(path):
  """It would be made here, and lost with the machine."""
  with pytest.raises(ValueError, match='`workdir` must be the path of a dir'):
    restore(runs.make_flow(), path)
