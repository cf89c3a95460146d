import math

import numpy as np
import pytest
from support import images
from support import runs
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import quantization
from tfp_flowopt.training import train_state


def test_a_step_that_is_not_finite_changes_nothing(
    tmp_path, without_pictures
):
  trainer, distribution = runs.make_simple_trainer(
      tmp_path, train_steps=6, eval_every=100
  )
  poison = tf.constant([0.0, 0.0, math.nan, 0.0, -math.inf, 0.0, 0.0])
  log_prob = distribution.log_prob
  distribution.log_prob = lambda x: log_prob(x) + poison[trainer._state.step]
  seen = []
  step_function = trainer._loop.train_step

  def watched(batch, stop):
    # Not the monitor's: it reports the step that was skipped.
    seen.append([v.numpy() for v in distribution.trainable_variables])
    return step_function(batch, stop)

  trainer._loop.train_step = watched
  summary = trainer.train()
  assert summary['skipped_steps'] == 2
  for step in range(5):
    changed = any(
        np.any(a != b)
        for a, b in zip(seen[step], seen[step + 1], strict=True)
    )
    assert changed == (step not in (2, 4))
  log = runs.rows(tmp_path)
  assert [row['skipped_steps'] for row in log] == list('0011222')
  assert math.isfinite(summary['held_out_bits_per_dim'])


def test_compiled_by_xla_it_does_the_same(
    straight, tmp_path, without_pictures
):
  trainer, _ = runs.make_trainer(
      tmp_path, jit_compile=True, train_steps=3, eval_every=100
  )
  trainer.train()
  losses = [
      [float(row['train_bits_per_dim']) for row in runs.rows(workdir)[:3]]
      for workdir in (tmp_path, straight[0])
  ]
  np.testing.assert_allclose(*losses, rtol=1e-4)


def test_the_gradient_norm_is_bounded(tmp_path):
  # Adam forgets the scale of gradients, so look at what it is given.
  trainer, _ = runs.make_trainer(tmp_path, clip_norm=1e-3, train_steps=1)
  given = []
  apply = trainer._state.optimizer.apply_gradients

  def watched(pairs, **kwargs):
    pairs = list(pairs)
    given.append(tf.linalg.global_norm([g for g, _ in pairs]))
    return apply(pairs, **kwargs)

  trainer._state.optimizer.apply_gradients = watched
  _, batch = next(iter(trainer._examples.held_out))
  with runs.untraced():
    result = trainer._loop.train_step(batch[:8])
  assert float(given[0]) == pytest.approx(1e-3, rel=1e-3)
  assert result.gradient_norm > 1e-2


def test_the_learning_rate_warms_up(tmp_path):
  trainer, _ = runs.make_trainer(tmp_path, learning_rate=0.1)
  rate = trainer._state.optimizer._get_hyper('learning_rate')
  np.testing.assert_allclose(
      [rate(i) for i in range(6)], [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
  )


def test_kernels_are_rescaled_once_a_step_and_not_in_evaluation(tmp_path):
  trainer, distribution = runs.make_trainer(tmp_path, train_steps=1)
  before = trainer.evaluate()
  for variable in distribution.trainable_variables:
    variable.assign_add(0.1 * tf.ones_like(variable))
  trainer._state.average.restart()
  # New weights are seen, and the values are those of the flow itself.
  x = images.preprocessed(100, seed=1)
  got = trainer._evaluator.log_prob(x)
  trainer._evaluator.update()
  updated = trainer._evaluator.log_prob(x)
  want = distribution.log_prob(tf.identity(x))
  np.testing.assert_allclose(updated, want, rtol=1e-5)
  assert np.abs(got - want).max() > 1e-2
  assert trainer.evaluate() != before

  def rescalings(function, *args):
    graph = function.get_concrete_function(*args).graph
    return [
        sum(
            op.type == kind and 'rescale_kernel' in op.name
            for op in graph.get_operations()
        )
        for kind in ('Rsqrt', 'RsqrtGrad')
    ]

  _, batch = next(iter(trainer._examples.held_out))
  batch = batch[:8], tf.constant(False)
  # A step with four layers, one of them the linear coupling; also with the flow
  # used twice.
  assert rescalings(trainer._loop.train_step.take, *batch) == [4, 4]
  assert rescalings(trainer._evaluator._log_prob) == [0, 0]
  twice, distribution = runs.make_trainer(tmp_path / 'twice')
  log_prob = distribution.log_prob
  distribution.log_prob = lambda x: log_prob(x) + log_prob(tf.identity(x))
  assert rescalings(twice._loop.train_step.take, *batch) == [4, 4]


def test_the_cosine_ends_with_the_run(tmp_path):
  config = fo.training.TrainConfig(
      train_steps=8, warmup_steps=2, learning_rate=0.1, schedule='cosine'
  )
  rate = train_state.LearningRate(config)
  want = [0.05, *(0.05 * (1 + math.cos(math.pi * n / 8)) for n in range(1, 9))]
  np.testing.assert_allclose([rate(n) for n in range(9)], want, atol=1e-7)
  assert float(rate(9)) == 0.0
  same = type(rate).from_config(rate.get_config())
  np.testing.assert_array_equal(same(3), rate(3))
  rate.scale.assign(0.5)
  np.testing.assert_allclose(rate(1), want[1] / 2, rtol=1e-6)
  runs.make_trainer(tmp_path, schedule='cosine')
  with pytest.raises(
      fo.training.OtherRunError, match=r"(?s)train_steps.*'constant'"
  ):
    runs.make_trainer(tmp_path, schedule='cosine', train_steps=13)
  with pytest.raises(ValueError, match=r"`schedule`.*'linear'"):
    fo.training.TrainConfig(schedule='linear')


def test_noise_is_that_of_the_image_number():
  x = tf.cast(images.crops().draw(5, [0, 1]), tf.uint8)
  seed = tf.constant([3, 4], tf.int64)
  whole = quantization.dequantize_numbered(x, 8, seed)
  parts = [
      quantization.dequantize_numbered(x[:2], 8, seed),
      quantization.dequantize_numbered(x[2:], 8, seed, 2),
  ]
  np.testing.assert_array_equal(whole, tf.concat(parts, 0))
  compiled = tf.function(quantization.dequantize_numbered, jit_compile=True)
  np.testing.assert_array_equal(compiled(x, 8, seed), whole)
  noise = (whole + 0.5) * 256 - tf.cast(x, tf.float32)
  assert 0 <= np.min(noise) and np.max(noise) < 1
  rows = np.reshape(noise, [5, -1])
  # Independent, and of the moments that it should have.
  correlation = np.corrcoef(rows) - np.eye(5)
  assert np.abs(correlation).max() < 5 / math.sqrt(192)
  assert np.mean(rows) == pytest.approx(0.5, abs=5 / math.sqrt(12 * 960))
  assert np.var(rows) == pytest.approx(1 / 12, abs=0.01)
