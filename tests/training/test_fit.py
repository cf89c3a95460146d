"""Training on arrays, with early stopping and exact resume."""

import gc
import json
import math
import weakref

import numpy as np
import pytest
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.training import run_lock

tfb = tfp.bijectors
tfd = tfp.distributions
fit = fo.training.fit


def normal(size=2, dtype=tf.float32):
  """A normal distribution to train: its optimum is known."""
  bijector = tfb.Chain([
      tfb.Shift(tf.Variable(tf.zeros([size], dtype))),
      tfb.Scale(log_scale=tf.Variable(tf.zeros([size], dtype))),
  ])
  base = tfd.Sample(tfd.Normal(tf.zeros([], dtype), tf.ones([], dtype)), [size])
  return tfd.TransformedDistribution(base, bijector)


@pytest.fixture(name='x')
def _x(rng):
  return rng.normal([1.0, -2.0], [0.5, 2.0], [400, 2]).astype(np.float32)


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
def test_the_best_normal_is_found(x, dtype):
  distribution = normal(dtype=dtype)
  result = fit(
      distribution, x, validation=x, train_steps=300, learning_rate=0.1,
      eval_every=50, batch_size=400, quiet=True,
  )
  best = np.mean(np.sum(
      tfd.Normal(x.mean(axis=0), x.std(axis=0)).log_prob(x), axis=1
  ))
  assert result.validation == pytest.approx(best, abs=1e-3)
  assert np.mean(distribution.log_prob(x)) == pytest.approx(
      result.validation, abs=1e-5
  )
  steps = [row['step'] for row in result.history]
  assert steps == [0, 50, 100, 150, 200, 250, 300]
  assert math.isnan(result.history[0]['train'])
  # Means over the interval, with the weights on the way.
  assert result.history[1]['train'] < result.history[-1]['train'] < best + 1e-3
  assert result.stopped == 'steps' and result.skipped_steps == 0


def test_passes_hold_each_example_once():
  from tfp_flowopt.training import array_data

  data = array_data.ArrayData(np.arange(10.0), None)
  first = data.order(3, 0, 25)
  assert sorted(first[:10]) == sorted(first[10:20]) == list(range(10))
  assert list(first[:10]) != list(first[10:20])
  np.testing.assert_array_equal(data.order(3, 7, 11), first[7:18])
  assert list(data.order(4, 0, 10)) != list(first[:10])


def test_a_run_goes_on_where_it_was(x, tmp_path):
  def run(folder, train_steps, **kwargs):
    distribution = normal()
    result = fit(
        distribution, x, train_steps=train_steps, eval_every=10, batch_size=50,
        schedule='constant', workdir=tmp_path / folder, quiet=True, **kwargs,
    )
    return result, [v.numpy() for v in distribution.variables]

  whole, weights = run('whole', 40)
  run('parts', 20)
  parts, own = run('parts', 40)
  np.testing.assert_array_equal(own, weights)

  def without_seconds(result):
    return str([{**row, 'seconds': 0} for row in result.history])

  assert without_seconds(parts) == without_seconds(whole)
  # Once more: all is done.
  again, own = run('parts', 40)
  assert without_seconds(again) == without_seconds(whole)
  np.testing.assert_array_equal(own, weights)
  with pytest.raises(fo.training.OtherRunError, match='seed: was 0, is 1'):
    run('parts', 40, seed=1)


def test_a_directory_that_no_run_can_go_on_in_is_named(x, tmp_path):
  def run(workdir, **kwargs):
    return fit(
        normal(), x, train_steps=2, workdir=workdir, quiet=True, **kwargs
    )

  for workdir in (tmp_path / 'lr=[1e-3]', '', 3):
    with pytest.raises(ValueError, match='Argument `workdir` must'):
      run(workdir)
  with run_lock.locked(tmp_path):
    with pytest.raises(fo.training.WorkdirInUseError, match='is in use'):
      run(tmp_path)
  run(tmp_path)
  assert not (tmp_path / 'lock.json').exists()
  # Of other kinds of runs.
  trainers = tmp_path / 'trainers'
  runs.make_simple_trainer(trainers, train_steps=1)
  with pytest.raises(ValueError, match='holds a run of `Trainer`'):
    run(trainers)
  with pytest.raises(ValueError, match='holds a run of `fit`'):
    runs.make_simple_trainer(tmp_path)


@pytest.mark.parametrize(
    'make',
    [
        lambda: tfd.Independent(tfd.Normal(tf.Variable([0.0, 0.0]), 1.0), 1),
        lambda: tfd.MultivariateNormalDiag(tf.Variable([0.0, 0.0])),
        lambda: tfd.MixtureSameFamily(
            tfd.Categorical(logits=[0.0, 0.0]),
            tfd.MultivariateNormalDiag(tf.Variable([[0.0, 0.0], [1.0, 1.0]])),
        ),
    ],
    ids=['independent', 'normal', 'mixture'],
)
def test_distributions_that_are_not_transformed(x, make, tmp_path):
  distribution = make()
  result = fit(
      distribution, x, train_steps=4, eval_every=1, learning_rate=0.1,
      workdir=tmp_path, quiet=True,
  )
  assert result.validation > result.history[0]['validation']


def test_arguments_of_the_wrong_kind_are_named(x):
  for seed in (None, -1):
    with pytest.raises(ValueError, match='Argument `seed` must be'):
      fit(normal(), x, seed=seed)
  joint = tfd.JointDistributionSequential([tfd.Normal(tf.Variable(0.0), 1.0)])
  with pytest.raises(ValueError, match='`distribution` must have events of'):
    fit(joint, x)
  fit(normal(), x, train_steps=1, ema_decay=0, quiet=True)


def test_what_is_not_finite_stays_so(x, tmp_path):
  def run(train_steps):
    return fit(
        normal(), x, train_steps=train_steps, eval_every=2, workdir=tmp_path,
        schedule='constant', quiet=True,
    )

  run(4)
  path = tmp_path / 'history.json'
  written = json.loads(path.read_text())
  written['history'][1]['validation'] = None
  path.write_text(json.dumps(written))
  history = run(6).history
  assert math.isnan(history[0]['train'])
  assert math.isnan(history[1]['validation'])
  assert math.isfinite(history[2]['validation'])


def test_other_data_are_another_run(x, tmp_path):
  def run(x):
    fit(normal(), x, train_steps=2, workdir=tmp_path, quiet=True)

  run(x)
  with pytest.raises(fo.training.OtherRunError, match='train: was'):
    run(x + 1.0)


def test_patience_ends_a_run(x):
  distribution = normal()
  result = fit(
      distribution, x, validation=np.full([5, 2], 30.0, np.float32),
      train_steps=1000, eval_every=10, patience=2, learning_rate=0.1,
      ema_decay=0.0, quiet=True,
  )
  # Far away, wide scales are best: training goes the other way.
  assert result.stopped == 'patience'
  assert len(result.history) < 60
  assert result.history[-1]['step'] > result.best_step
  values = {row['step']: row['validation'] for row in result.history}
  assert result.validation == max(values.values()) == values[result.best_step]
  assert np.mean(distribution.log_prob([[30.0, 30.0]])) == pytest.approx(
      result.validation, rel=1e-5
  )


@pytest.mark.parametrize('learning_rate', [1.0, 1e4])
def test_training_never_ends_worse_than_it_began(x, learning_rate):
  distribution = normal()
  start = float(np.mean(distribution.log_prob(x[:50])))
  result = fit(
      distribution, x[50:], validation=x[:50], train_steps=60, eval_every=5,
      learning_rate=learning_rate, clip_norm=1e9, patience=None, quiet=True,
  )
  assert result.validation >= start - 1e-5
  assert math.isfinite(np.mean(distribution.log_prob(x[:50])))


class Explodes(tfb.Shift):
  """Not finite where training leads to."""

  def _inverse(self, y):
    return tf.where(self.shift[0] > 0.2, math.nan, super()._inverse(y))


def test_what_is_not_finite_is_left_behind(x):
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [2]), Explodes(tf.Variable([0.0, 0.0]))
  )
  result = fit(
      distribution, x, train_steps=400, eval_every=10, learning_rate=0.1,
      patience=None, quiet=True,
  )
  assert result.skipped_steps > 0
  # Without going back, all steps after the first bad one would be lost.
  assert result.best_step > 100
  assert math.isfinite(result.validation)
  assert 0.0 < distribution.bijector.shift[0] <= 0.2


def test_a_dataset_is_read(x):
  dataset = tf.data.Dataset.from_tensor_slices(x)
  results = [
      fit(normal(), data, train_steps=5, quiet=True) for data in (x, dataset)
  ]
  assert results[0].validation == results[1].validation


def test_progress_is_shown(x, capsys):
  fit(normal(), x, train_steps=20, eval_every=10)
  printed = capsys.readouterr().out
  assert '20/20' in printed and 'validation' in printed
  assert 'examples/s' in printed


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'x': np.zeros([5, 3])}, r'`x` must have shape \[N\] \+ \[2\]'),
        ({'x': np.zeros([0, 2])}, 'N > 0'),
        ({'x': np.zeros([5, 2], int)}, '`x` must be floating-point'),
        ({'x': np.full([5, 2], np.nan)}, '`x` must be finite'),
        ({'conditioning': np.zeros([5, 1])}, r'one for each of the 400'),
        ({'validation': 1.5}, '`validation` must be .*between 0 and 1'),
        ({'validation': 1e-6}, 'leaves none'),
        ({'validation': np.zeros([5, 3])}, '`validation` must have shape'),
        (
            {'validation': (np.zeros([5, 2]), np.zeros([5, 1]))},
            'must have conditioning if',
        ),
        ({'validation': ()}, 'a tuple of 0'),
        ({'patience': 0}, '`patience`'),
        ({'eval_every': 0}, '`eval_every`'),
        ({'batch_size': 0}, '`batch_size`'),
        ({'learning_rate': -1.0}, '`learning_rate`'),
        ({'train_steps': -1}, '`train_steps`'),
        ({'schedule': 'linear'}, '`schedule`'),
        (
            {'x': tf.data.Dataset.from_tensors(np.zeros(2, 'f')).repeat()},
            'infinite',
        ),
    ],
)
def test_arguments_are_checked(x, changes, message):
  with pytest.raises(ValueError, match=message):
    fit(**{'distribution': normal(), 'x': x, 'quiet': True, **changes})


def test_something_must_be_trained(x):
  fixed = tfd.Sample(tfd.Normal(0.0, 1.0), [2])
  with pytest.raises(ValueError, match='trainable variables'):
    fit(fixed, x)
  far = normal()
  far.bijector.bijectors[0].shift.assign([math.nan, 0.0])
  with pytest.raises(ValueError, match='no finite likelihood'):
    fit(far, x, quiet=True)


def test_nothing_of_a_run_is_left(x, monkeypatch):
  from tfp_flowopt.training import fitting

  alive = []
  call = fitting._Run.__call__

  def watched(self, *args):
    result = call(self, *args)
    (steps,) = self._steps._list_all_concrete_functions()
    alive.extend(map(weakref.ref, (self, self._state, steps.graph)))
    return result

  monkeypatch.setattr(fitting._Run, '__call__', watched)
  # Python looks for old cycles so rarely that they are a leak for hours.
  gc.disable()
  try:
    fit(normal(), x, train_steps=2, eval_every=2, quiet=True)
    assert len(alive) == 3 and not any(ref() for ref in alive)
  finally:
    gc.enable()


def test_strategies_are_for_the_trainer(x):
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    distribution = normal()
    with pytest.raises(ValueError, match='`fit` trains on one device'):
      fit(distribution, x)
  # Else its optimizer would be of another scope than the weights.
  with pytest.raises(ValueError, match='`fit` trains on one device'):
    fit(distribution, x)


def test_conditional_distributions_that_are_no_flows(x):
  """What they take is theirs to know."""
  flow = fo.vector_flow(2, 1, 2, 'affine', conditioning=[2])
  result = fit(
      tfd.Independent(flow, 0), x, 0.5 * x, train_steps=2, quiet=True
  )
  assert math.isfinite(result.validation)
