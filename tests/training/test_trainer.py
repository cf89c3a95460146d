import json
import shutil

import numpy as np
import pytest
from support import events
from support import images
from support import runs
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import example_batches
from tfp_flowopt.training import run_pictures
from tfp_flowopt.training import training_loop


def test_what_a_run_leaves(straight):
  workdir, summary, _ = straight
  assert summary['steps'] == 12 and summary['skipped_steps'] == 0
  assert summary == json.loads((workdir / 'summary.json').read_text())
  report = summary['report']
  np.testing.assert_allclose(
      report['bits_per_dim'], summary['held_out_bits_per_dim'], rtol=1e-5
  )
  text = (workdir / 'report.txt').read_text()
  assert report['findings']
  # Without blanks: lines are also broken after the hyphen of a word.
  text = ''.join(text.split())
  assert all(''.join(x.split()) in text for x in report['findings'])
  assert summary['measured'] == pytest.approx(summary['predicted'], abs=0.02)
  log = runs.rows(workdir)
  assert [int(row['step']) for row in log] == list(range(13))
  held_out = [row['held_out_bits_per_dim'] for row in log]
  assert [i for i, x in enumerate(held_out) if x] == [0, 5, 10, 12]
  assert float(held_out[12]) == summary['held_out_bits_per_dim']
  # Training begins at the optimum.
  assert float(log[0]['train_bits_per_dim']) == pytest.approx(
      summary['predicted'], abs=0.3
  )
  # Gradients say how exactly their inputs were recomputed.
  assert {row['fallbacks'] for row in log[:-1]} == {'0'}
  assert all(0 < float(row['reconstruction_error']) < 1e-4 for row in log[:-1])
  assert all(0 < e['measured'] < e['bound'] for e in summary['reconstruction'])
  assert text.count('certified') == len(summary['reconstruction']) == 1
  for name in ('curve.png', 'samples.png'):
    assert (workdir / name).read_bytes().startswith(b'\x89PNG')
  # 4.5 KB is an empty figure.
  assert (workdir / 'samples.png').stat().st_size > 10_000
  # The layers add up to the flow.
  assert [layer['name'] for layer in summary['layers']] == [
      f'level 0 {part}' for part in ('whiten', 'step 0', 'restore', 'scale out')
  ]
  for layer in summary['layers']:
    assert layer['local_forward'] <= layer['certified_forward'] + 1e-4
    assert layer['local_inverse'] <= layer['certified_inverse'] + 1e-4


def test_what_tensorboard_shows(straight):
  workdir, summary, _ = straight
  shown = {
      path.name: events.read(path)
      for path in (workdir / 'tensorboard').iterdir()
  }

  def values(run, name='bits_per_dim'):
    return [(step, value.simple_value) for step, value in shown[run][name]]

  log = runs.rows(workdir)
  for run, column in (
      ('train', 'train_bits_per_dim'), ('held_out', 'held_out_bits_per_dim')
  ):
    want = [
        (int(row['step']), float(row[column])) for row in log if row[column]
    ]
    np.testing.assert_allclose(values(run), want, rtol=1e-6)
  # A line from the first step to the last.
  for run, optima in (
      ('optimum', summary['train_optimum']),
      ('optimum_held_out', summary['held_out_optimum']),
  ):
    (first, best), *_, (last, same) = values(run)
    assert (first, last) == (1, 12) and best == same
    assert best == pytest.approx(optima['2'])
  assert len(shown['pictures']['layers']) == 1
  assert len(shown['pictures']['samples/T = 0.96']) == 4


@pytest.fixture(scope='module')
def longer(tmp_path_factory):
  """A longer run of another seed, and what it began with."""
  workdir = tmp_path_factory.mktemp('longer')
  trainer, _ = runs.make_trainer(
      workdir, train_steps=30, eval_every=30, seed=1
  )
  before = trainer.evaluate()
  with runs.no_pictures():
    return workdir, before, trainer.train()


def test_it_learns(longer):
  _, before, summary = longer
  # Little is left to learn: these images are Gaussian.
  assert summary['held_out_bits_per_dim'] < before - 0.03


def test_the_report_of_a_run_has_the_numbers_of_its_start(straight):
  _, summary, _ = straight
  rows = {row['name']: row for row in summary['report']['baselines']}
  assert list(summary['train_optimum']) == ['1', '2']
  for k, vectors in summary['vectors_per_dim'].items():
    row = rows[f'pointwise {k}x{k}']
    assert row['vectors_per_dim'] == vectors
    for mine, other in (
        ('train_optimum', 'train_optimum_bits_per_dim'),
        ('held_out_optimum', 'held_out_bits_per_dim'),
    ):
      assert row[other] == pytest.approx(summary[mine][k], rel=1e-9)


def test_an_initialised_flow_is_taken_as_it_is(tmp_path):
  distribution = runs.make_flow()
  fo.flows.initialize_act_norm(distribution, images.preprocessed(300))
  before = runs.weights(distribution)
  trainer = fo.training.Trainer(
      distribution,
      images.crops(seed=0),
      images.crops(seed=1),
      tmp_path,
      fo.training.TrainConfig(**runs.CONFIG),
      description={'start': 'ActNorm'},
  ).start_or_resume()
  assert trainer.start['predicted'] is None

  def again(description):
    return fo.training.Trainer(
        runs.make_flow(),
        images.crops(seed=0),
        images.crops(seed=1),
        tmp_path,
        fo.training.TrainConfig(**runs.CONFIG),
        description,
    ).start_or_resume()

  again({'start': 'ActNorm'})
  with pytest.raises(fo.training.OtherRunError, match='start: was ActNorm'):
    again(None)
  with pytest.raises(ValueError, match=r'description.*seed'):
    again({'seed': 3})
  assert trainer.start['settings']['start'] == 'ActNorm'
  runs.assert_equal(runs.weights(distribution), before)


def test_images_that_are_read_from_files(tmp_path, without_pictures):
  path = tmp_path / 'images.npy'
  np.save(path, images.crops(seed=0, size=12).draw(40, [0, 1]).numpy())
  train, held_out = fo.training.ImageDataset(path, 8, flip=True).split(every=4)
  config = {**runs.CONFIG, 'eval_every': 100, 'eval_images': 20}

  def make(workdir, flow):
    return fo.training.Trainer(
        flow, train, held_out, workdir, fo.training.TrainConfig(**config)
    ).start_or_resume()

  start = make(tmp_path / 'start', runs.make_flow()).start
  assert start['measured'] == pytest.approx(start['predicted'], abs=0.02)
  make(tmp_path / 'whole', runs.make_simple_flow()).train()
  # As if it had ended in the second of its three epochs.
  shutil.copytree(
      tmp_path / 'whole', tmp_path / 'again',
      ignore=shutil.ignore_patterns('ckpt-8*', 'ckpt-12*', 'summary.json'),
  )
  again = make(tmp_path / 'again', runs.make_simple_flow())
  assert again.step == 4
  again.train()
  losses, others = (
      [float(row['train_bits_per_dim']) for row in runs.rows(workdir)[:-1]]
      for workdir in (tmp_path / 'whole', tmp_path / 'again')
  )
  # Gone on with, the images are the same.
  np.testing.assert_allclose(others, losses, rtol=1e-5)
  assert len(set(losses)) == 12


def test_noise_and_batches_differ_between_steps_and_seeds(straight, longer):
  losses = [
      row['train_bits_per_dim']
      for workdir in (straight[0], longer[0])
      for row in runs.rows(workdir)[:3]
  ]
  assert len(set(losses)) == 6


def test_evaluation_uses_averaged_weights(tmp_path):
  trainer, distribution = runs.make_trainer(tmp_path)
  before = trainer.evaluate()
  for variable in distribution.trainable_variables:
    variable.assign_add(tf.ones_like(variable))
  assert trainer.evaluate() == before
  trainer.use_averaged_weights()
  assert trainer.evaluate() == before


def test_pictures_are_optional(tmp_path, monkeypatch):
  def missing(*args):
    raise ImportError('no matplotlib')

  monkeypatch.setattr(fo.diagnostics, 'plot_samples', missing)
  monkeypatch.setattr(fo.diagnostics, 'plot_layers', missing)
  # Samples themselves are tested by `straight`.
  monkeypatch.setattr(
      run_pictures.RunPictures,
      '_sample',
      lambda self, *_: tf.zeros(self._data.shape),
  )
  trainer, _ = runs.make_simple_trainer(
      tmp_path, train_steps=1, local_constants=False
  )
  trainer.train()
  assert not list(tmp_path.glob('*.png')) + list(tmp_path.glob('.tmp*'))
  assert (tmp_path / 'summary.json').exists()


def test_errors_of_draws_are_those_of_other_images_and_other_noise(tmp_path):
  trainer, distribution = runs.make_trainer(tmp_path)
  draws = np.array(trainer.evaluate_draws(30, 2))
  assert draws[0, 0] != draws[1, 0]  # the same images, with other noise
  # One by one, and in float64.
  x, _ = example_batches.ExampleBatches(
      images.crops(seed=1),
      30,
      trainer._examples.held_out.seed,
  ).with_noise(
      tf.constant([trainer._config.seed, -5], tf.int64)
  ).array(8, 10**6)
  log_prob = distribution.log_prob(x).numpy().astype(np.float64)
  values = 8.0 - log_prob / (x[0].size * np.log(2.0))
  error = np.std(values, ddof=1) / np.sqrt(30)
  np.testing.assert_allclose(draws[1], [np.mean(values), error], rtol=1e-5)
  assert error > 1e-3
  ((_, error),) = trainer.evaluate_draws(1, 1)
  assert np.isnan(error)


def test_all_draws_of_noise_together_are_a_tighter_bound(tmp_path):
  trainer, distribution = runs.make_simple_trainer(tmp_path)
  # So far from the data that noise matters.
  for variable in distribution.trainable_variables:
    variable.assign_sub(tf.ones_like(variable))
  trainer._state.average.restart()
  draws, (bound, error) = trainer.evaluate_dequantization(30, 3)
  assert draws == trainer.evaluate_draws(30, 3)
  log_probs = []
  for draw in range(3):
    x, _ = trainer._examples.draws(30, 3)[draw].array(8, 10**6)
    log_probs.append(distribution.log_prob(x).numpy().astype(np.float64))
  # Of each image, the mean density.
  together = np.log(np.mean(np.exp(log_probs - np.max(log_probs, 0)), axis=0))
  values = 8.0 - (together + np.max(log_probs, 0)) / (x[0].size * np.log(2.0))
  want = [np.mean(values), np.std(values, ddof=1) / np.sqrt(30)]
  np.testing.assert_allclose([bound, error], want, rtol=1e-5)
  assert bound < np.mean([mean for mean, _ in draws]) - 5e-5
  once, alone = trainer.evaluate_dequantization(30, 1)
  assert once == [alone]
  for name, numbers in (('num_images', (0, 1)), ('num_draws', (1, 0))):
    with pytest.raises(ValueError, match=f'`{name}` must be .*, got 0'):
      trainer.evaluate_draws(*numbers)


def test_draws_of_noise_share_the_images(tmp_path):
  trainer, _ = runs.make_simple_trainer(tmp_path)
  draws = trainer._examples.draws(30, 3)
  assert len({id(draw._dataset) for draw in draws}) == 1
  (images, *_), (others, *_) = (draw.array(8) for draw in draws[:2])
  assert np.abs(images - others).max() > 0.0
  np.testing.assert_allclose(images, others, atol=1.01 / 256)


def test_a_batch_that_memory_cannot_hold_is_refused(tmp_path):
  with pytest.raises(ValueError, match='`batch_size`: 10000000000 examples'):
    runs.make_simple_trainer(tmp_path, batch_size=10**10)
  assert not list(tmp_path.iterdir())


def test_a_run_that_fails_ends_its_profile(tmp_path):
  """Or the next run of the process could not begin one."""
  trainer, _ = runs.make_simple_trainer(tmp_path)
  trainer._loop._profiler = training_loop._StepProfiler(tmp_path / 'profile', 5)
  step = trainer._loop.train_step

  def failing(*arguments):
    if trainer.step == 7:
      raise OSError('lost')
    return step(*arguments)

  trainer._loop.train_step = failing
  with pytest.raises(OSError, match='lost'):
    trainer.train()
  assert list(tmp_path.glob('profile/**/*.xplane.pb'))
  with pytest.raises(tf.errors.UnavailableError):
    tf.profiler.experimental.stop()
