"""The `Trainer` with vectors: a table, and pairs with a condition."""

import json
import math
import shutil

import numpy as np
import pytest
from support import registry
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions
CONFIG = {
    'train_steps': 12,
    'batch_size': 32,
    'learning_rate': 1e-2,
    'clip_norm': 10.0,
    'schedule': 'constant',
    'warmup_steps': 4,
    'eval_every': 5,
    'checkpoint_every': 4,
}


def make_pairs(num, seed=0):
  rng = np.random.default_rng(seed)
  c = rng.normal(size=[num, 2])
  x = np.stack([c[:, 0] ** 2, c[:, 1], c[:, 0]], axis=1)
  x += np.exp(0.5 * c[:, :1]) * rng.normal(size=[num, 3])
  return x.astype(np.float32), c.astype(np.float32)


def dataset(num, seed=0, conditional=True):
  x, c = make_pairs(num, seed)
  return tf.data.Dataset.from_tensor_slices((x, c) if conditional else x)


def make_flow(conditional=True):
  return fo.vector_flow(
      3,
      num_steps=1,
      hidden_units=8,
      conditioning=[2] if conditional else None,
      gaussianize_marginals=True,
  )


def make_trainer(workdir, distribution=None, conditional=True, **overrides):
  distribution = distribution or make_flow(conditional)
  trainer = fo.training.Trainer(
      distribution,
      dataset(600, 0, conditional),
      dataset(300, 1, conditional),
      workdir,
      fo.training.TrainConfig(**{**CONFIG, **overrides}),
  )
  return trainer, distribution


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
  """An uninterrupted run."""
  workdir = tmp_path_factory.mktemp('whole')
  trainer, distribution = make_trainer(workdir)
  return trainer, distribution, trainer.train(), workdir


def test_a_run_is_better_than_its_start_and_says_it_in_nats(whole):
  trainer, distribution, summary, workdir = whole
  # What is predicted is the closed form, on the same data.
  x, c = make_pairs(600)
  fresh = make_flow()
  predicted = fo.initialize_at_optimum(fresh, x, conditioning=c)
  assert summary['predicted'] == pytest.approx(-predicted, abs=1e-6)
  assert summary['measured'] == pytest.approx(-predicted, abs=1e-3)
  rows = runs.rows(workdir)
  held_out = [float(r['held_out_nll']) for r in rows if r['held_out_nll']]
  assert len(held_out) == 4 and held_out[-1] == summary['held_out_nll']
  assert held_out[-1] < held_out[0] - 0.02
  assert trainer.evaluate() == pytest.approx(held_out[-1], abs=1e-6)
  # The best linear flow under the condition, from elsewhere.
  linear = fo.likelihood_optimum(x, conditioning=c).log_likelihood
  assert summary['train_optimum']['dense'] == pytest.approx(
      -float(linear), abs=1e-4
  )
  trainer.use_averaged_weights()
  x, c = make_pairs(300, 1)
  values = distribution.log_prob(x, bijector_kwargs={'conditioning': c})
  assert np.mean(values) == pytest.approx(-summary['held_out_nll'], abs=1e-4)
  assert summary['report']['unit'] == 'nats'
  assert summary['report']['log_likelihood'] == pytest.approx(
      -summary['held_out_nll'], abs=1e-4
  )
  reference = summary['report']['baselines'][0]['held_out']
  assert reference == pytest.approx(
      -summary['held_out_optimum']['dense'], abs=1e-4
  )
  report = (workdir / 'report.txt').read_text()
  assert 'nats' in report and 'bits' not in report and 'image' not in report
  names = {path.name for path in workdir.iterdir()}
  assert {'curve.png', 'best', 'checkpoints', 'tensorboard'} <= names
  assert 'samples.png' not in names
  best = json.loads((workdir / 'best' / 'best.json').read_text())
  assert best['held_out_nll'] == min(held_out)


def test_a_run_goes_on_with_the_same_bits(whole, tmp_path):
  _, distribution, summary, workdir = whole
  # As if it had ended before its last checkpoint.
  shutil.copytree(
      workdir, tmp_path, dirs_exist_ok=True,
      ignore=shutil.ignore_patterns('ckpt-12*', 'summary.json'),
  )
  with runs.no_pictures():
    trainer, resumed = make_trainer(tmp_path)
    assert trainer.start_or_resume().step == 8
    again = trainer.train()
  assert again['held_out_nll'] == summary['held_out_nll']
  assert runs.rows(tmp_path) == runs.rows(workdir)
  trainer.use_averaged_weights()
  runs.assert_equal(runs.weights(resumed), runs.weights(distribution))
  with pytest.raises(fo.training.OtherRunError, match=r'hidden_units'):
    other = fo.vector_flow(3, num_steps=1, hidden_units=6, conditioning=[2])
    make_trainer(tmp_path, other)[0].start_or_resume()


def train_on(strategy, workdir, monkeypatch):
  # See support/train_replicas.py: a smooth function of the gradient.
  adam = tf_keras.optimizers.legacy.Adam
  with strategy.scope(), monkeypatch.context() as patch:
    patch.setattr(
        tf_keras.optimizers.legacy,
        'Adam',
        lambda rate: adam(rate, epsilon=0.1),
    )
    distribution = fo.vector_flow(3, 1, 4, 'affine', conditioning=[2])
    registry.randomize(distribution.bijector.steps, 0.02)
    trainer, _ = make_trainer(
        workdir, distribution, learning_rate=0.1, eval_every=6, train_steps=6,
        clip_norm=1e4,
    )
    summary = trainer.train()
  rows = runs.rows(workdir)
  return (
      [float(row['train_nll']) for row in rows[:-1]],
      [summary['predicted'], summary['measured'], summary['held_out_nll']],
      np.concatenate([v.numpy().ravel() for v in distribution.variables]),
  )


@pytest.mark.slow
def test_two_replicas_give_the_numbers_of_one(tmp_path, monkeypatch):
  with runs.no_pictures():
    one, two = (
        train_on(strategy, tmp_path / name, monkeypatch)
        for name, strategy in (
            ('one', tf.distribute.get_strategy()),
            ('two', tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])),
        )
    )
  assert np.ptp(one[0]) > 0.1
  for want, got in zip(one, two, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('ours', [True, False])
def test_without_a_condition(ours, tmp_path):
  flow = make_flow(False)
  if not ours:
    # One of TFP's, which starts as it is.
    flow = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [3]),
        tfb.Chain([
            tfb.Shift(tf.Variable([0.0] * 3)),
            tfb.Scale(log_scale=tf.Variable([0.0] * 3)),
        ]),
    )
  trainer, _ = make_trainer(
      tmp_path, flow, False, learning_rate=1e-3 if ours else 0.1, eval_every=12
  )
  with runs.no_pictures():
    summary = trainer.train()
  if ours:
    predicted = fo.initialize_at_optimum(make_flow(False), make_pairs(600)[0])
    assert summary['predicted'] == pytest.approx(-predicted, abs=1e-6)
    # The copula is better than one matrix.
    assert summary['predicted'] < summary['train_optimum']['dense'] - 0.1
    return
  assert summary['predicted'] is None
  before, after = (
      float(r['held_out_nll'])
      for r in runs.rows(tmp_path)
      if r['held_out_nll']
  )
  assert after < before - 0.01


def test_it_goes_back_where_it_is_not_finite(tmp_path):
  class Explodes(tfb.Shift):
    """Not finite where training leads to."""

    def _inverse(self, y):
      return tf.where(self.shift[0] > 0.15, math.nan, super()._inverse(y))

  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [3]), Explodes(tf.Variable([0.0] * 3))
  )
  trainer, _ = make_trainer(
      tmp_path, distribution, False, learning_rate=0.1, checkpoint_every=1,
      max_skipped=2, max_rollbacks=20, warmup_steps=0,
  )
  with runs.no_pictures():
    summary = trainer.train()
  assert json.loads((tmp_path / 'rollbacks.json').read_text())
  assert summary['held_out_nll'] < summary['measured']


@pytest.mark.parametrize(
    ('flow', 'data', 'message'),
    [
        (lambda: make_flow(True), lambda: dataset(9, 0, False), 'pairs'),
        (lambda: make_flow(False), lambda: dataset(9), 'vectors alone'),
        (
            lambda: fo.vector_flow(3, num_steps=1, conditioning=4),
            lambda: dataset(9),
            'labels from 0 to 3',
        ),
        (
            lambda: fo.vector_flow(4, num_steps=1),
            lambda: dataset(9, 0, False),
            r'\[4\], got \[3\]',
        ),
        (
            lambda: make_flow(False),
            lambda: dataset(9, 0, False).batch(3),
            r'or vectors \[D\]',
        ),
        (
            lambda: make_flow(False),
            lambda: dataset(9, 0, False).shuffle(9),
            'same elements in the same order',
        ),
        (lambda: make_flow(False), lambda: np.zeros([9, 3]), 'must have'),
    ],
)
def test_what_does_not_fit_is_named(flow, data, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    fo.training.Trainer(
        flow(), data(), data(), tmp_path, fo.training.TrainConfig()
    )


def test_labels_and_parts_of_batches():
  labels = np.arange(10, dtype=np.int32)
  x = np.float64(labels)[:, np.newaxis] + [0.0, 0.5]
  data = fo.data.DatasetExamples(
      tf.data.Dataset.from_tensor_slices((x, labels)), shuffle_buffer=10
  )
  assert data.event_shape == [2] and data.num_independent == 10
  assert data.conditioning_spec.dtype == tf.int64
  whole = list(data.batches(5, 0).take(2))
  assert sorted(np.concatenate([c for _, c in whole])) == list(range(10))
  parts = list(data.batches(4, 0, 1, 2, [1]).take(1))
  all_of_it = list(data.batches(4, 0, 1).take(1))
  np.testing.assert_array_equal(parts[0][0], all_of_it[0][0][2:])
  assert parts[0][0].dtype == tf.float32
  for x, c in whole:
    np.testing.assert_array_equal(x[:, 0], tf.cast(c, tf.float32))


@pytest.mark.parametrize('labels', [[0, 1, 3] * 100, [-1, 0, 2] * 100])
def test_labels_out_of_range_are_named(labels, rng, tmp_path):
  """And whose they are."""
  x = rng.normal(size=[300, 3]).astype(np.float32)
  labels, good = np.array(labels), np.zeros([300], np.int64)

  def flow():
    return fo.vector_flow(3, num_steps=1, hidden_units=4, conditioning=3)

  for name, arguments in (
      ('conditioning', {'conditioning': labels}),
      ('validation', {'conditioning': good, 'validation': (x, labels)}),
  ):
    with pytest.raises(ValueError, match=rf'`{name}`: .* from 0 to 2, got '):
      fo.training.fit(flow(), x, **arguments)
  with pytest.raises(ValueError, match=r'`conditioning`: .* from 0 to 2, got '):
    fo.initialize_at_optimum(flow(), x, conditioning=labels)
  data, held_out = (
      tf.data.Dataset.from_tensor_slices((x, y)) for y in (good, labels)
  )
  with pytest.raises(ValueError, match=r'`held_out_images`: .* from 0 to 2'):
    fo.training.Trainer(
        flow(), data, held_out, tmp_path, fo.training.TrainConfig()
    ).train()
