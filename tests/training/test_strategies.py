"""The same run on one device, on several, and in several processes."""

import shutil

from harness import cluster
import numpy as np
import pytest
from support import images
from support import programs
from support import train_replicas
from support.runs import make_simple_flow
from support.runs import no_pictures
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo
from tfp_flowopt.training import replicas

PROGRAM = programs.ROOT / 'tests' / 'support' / 'train_replicas.py'


def start(folder, environment):
  """Starts the program as a worker; its results will be in `folder`."""
  return programs.Program(
      PROGRAM,
      'workers',
      folder / 'run',
      folder / 'result.npz',
      **environment,
  )


def train(strategy, folder, overrides=None):
  """Runs it in this process, on its two devices or one of them."""
  with no_pictures(), pytest.MonkeyPatch.context() as patch:
    for owner, name in (
        (tf_keras.optimizers.legacy, 'Adam'),
        (fo.flows, 'initialize_at_optimum'),
    ):
      # What it changes, for the context to restore.
      patch.setattr(owner, name, getattr(owner, name))
    train_replicas.train(
        strategy, folder / 'run', folder / 'result.npz', overrides
    )


def finish(*processes):
  outputs = [process.communicate()[0] for process in processes]
  for process, output in zip(processes, outputs, strict=True):
    assert process.returncode == 0, output[-3000:]
  return outputs


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Results by name."""
  folders = {
      name: tmp_path_factory.mktemp(name)
      for name in ('one', 'mirrored', 'workers')
  }
  train('default', folders['one'])
  train('mirrored-2', folders['mirrored'], {'accumulation': 2})
  outputs = finish(
      *(
          start(folders['workers'], environment)
          for environment in cluster.environments(2)
      )
  )
  results = {
      name: dict(np.load(folder / 'result.npz'))
      for name, folder in folders.items()
  }
  return folders, results, outputs


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mirrored', 'workers'])
def test_the_run_is_that_of_one_device(runs, name):
  _, results, _ = runs
  want, got = results['one'], results[name]
  np.testing.assert_allclose(got['start'], want['start'], rtol=1e-6)
  np.testing.assert_allclose(got['losses'], want['losses'], rtol=1e-5)
  np.testing.assert_allclose(got['held_out'], want['held_out'], rtol=1e-5)
  np.testing.assert_allclose(got['weights'], want['weights'], atol=1e-5)
  # There is a difference to be seen.
  assert np.ptp(want['losses']) > 1e-2
  assert np.abs(want['weights'] - want['first_weights']).max() > 1e-2


def test_replicas_have_the_same_weights(runs):
  folders, results, _ = runs
  assert len(set(results['mirrored']['checksums'])) == 1
  (own,) = results['workers']['checksums']
  assert (folders['workers'] / 'result.npz.1').read_text() == str(own)


def test_only_the_chief_writes_and_speaks(runs):
  folders, _, (chief, other) = runs
  assert 'held-out' in chief and 'held-out' not in other
  names = {path.name for path in (folders['workers'] / 'run').iterdir()}
  assert names == {
      'best',
      'checkpoints',
      'layers.png',
      'nearest.png',
      'report.txt',
      'start.json',
      'summary.json',
      'tensorboard',
      'training_log.csv',
  }


@pytest.mark.slow
def test_a_run_can_go_on_on_other_replicas(runs, tmp_path):
  folders, results, _ = runs
  shutil.copytree(folders['mirrored'] / 'run', tmp_path / 'run')
  # As if the run on two devices had ended at its first checkpoint.
  for number in (8, 10):
    for path in (tmp_path / 'run' / 'checkpoints').glob(f'ckpt-{number}.*'):
      path.unlink()
  train('default', tmp_path, {'accumulation': 2})
  ours, theirs = (
      (folder / 'run' / 'training_log.csv').read_text().splitlines()
      for folder in (tmp_path, folders['mirrored'])
  )
  # Down to the clock: only the first four steps are those of two devices.
  assert ours[:5] == theirs[:5]
  assert ours[5] != theirs[5]
  got = np.load(tmp_path / 'result.npz')
  np.testing.assert_allclose(
      got['losses'], results['one']['losses'], rtol=1e-5
  )


def make(workdir, strategy, batch_size=8, scope=None):
  with (scope or strategy).scope():
    distribution = make_simple_flow()
  with strategy.scope():
    return fo.training.Trainer(
        distribution,
        images.crops(seed=0),
        images.crops(seed=1),
        workdir,
        fo.training.TrainConfig(
            batch_size=batch_size, init_images=100, eval_images=150
        ),
    ).start_or_resume()


def test_bad_use_is_named(tmp_path):
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with pytest.raises(ValueError, match=r'`batch_size`.*2 \* 1, got 9'):
    make(tmp_path, strategy, batch_size=9)
  with pytest.raises(ValueError, match=r'`distribution`.*scope'):
    make(tmp_path, strategy, scope=tf.distribute.get_strategy())
  assert not list(tmp_path.iterdir())


def test_errors_of_draws_are_those_of_all_replicas(tmp_path):
  mirrored = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  (one,), (two,) = (
      # Three batches: one replica is out of work, and the last is not full.
      make(tmp_path / name, strategy).evaluate_draws(300, 1)
      for name, strategy in (
          ('one', tf.distribute.get_strategy()),
          ('two', mirrored),
      )
  )
  np.testing.assert_allclose(two, one, rtol=1e-4)


def test_different_weights_are_noticed():
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    variables = [tf.Variable([1.0, 2.0, 3.0]), tf.Variable(4.0)]
    ours = replicas.Replicas()
  assert (ours.count, ours.own, ours.is_chief) == (2, [0, 1], True)
  ours.check_identical(variables)
  copy = strategy.experimental_local_results(variables[0])[1]
  for value in ([1.0, 2.0, np.nextafter(np.float32(3), 4)], [2.0, 1.0, 3.0]):
    copy.assign(value)
    with pytest.raises(RuntimeError, match=r'replicas \[1\]'):
      ours.check_identical(variables)
  copy.assign([1.0, 2.0, 3.0])
  ours.check_identical(variables)
