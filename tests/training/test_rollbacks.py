import json
import math
import os
import signal

import numpy as np
import pytest
from support import runs
import tensorflow as tf

import tfp_flowopt as fo


def poisoned(workdir, first, last, cure=0, **overrides):
  """A trainer whose losses are NaN in some steps, until it went back."""
  trainer, distribution = runs.make_simple_trainer(workdir, **overrides)
  log_prob = distribution.log_prob
  scale = trainer._state.schedule.scale
  step = trainer._state.step

  def bad(x):
    ill = (
        (step >= first) & (step <= last) & (scale > 0.5**cure * 1.01)
    )
    return log_prob(x) + tf.where(ill, math.nan, 0.0)

  distribution.log_prob = bad
  return trainer, distribution


def test_the_run_goes_back_with_half_the_rate(tmp_path, without_pictures):
  trainer, _ = poisoned(
      tmp_path, 5, 100, cure=2, max_skipped=3, eval_every=100
  )
  rates = []
  step_function = trainer._train_step

  def watched(batch, stop):
    rate = trainer._state.optimizer._decayed_lr(tf.float32)
    rates.append((trainer.step, float(rate)))
    return step_function(batch, stop)

  trainer._train_step = watched
  summary = trainer.train()
  # Steps 5, 6 and 7 were ill. The checkpoint of step 4 is the newest.
  assert [step for step, _ in rates] == [
      *range(8), *range(4, 8), *range(4, 12)
  ]
  by_attempt = [dict(rates[:8]), dict(rates[8:12]), dict(rates[12:])]
  for i in (1, 2):
    assert by_attempt[i][4] == pytest.approx(by_attempt[0][4] * 0.5**i)
  assert json.loads((tmp_path / 'rollbacks.json').read_text()) == [
      {'step': 8, 'to_step': 4, 'learning_rate_scale': 0.5},
      {'step': 8, 'to_step': 4, 'learning_rate_scale': 0.25},
  ]
  # What came of the steps in between is forgotten.
  assert summary['skipped_steps'] == 0
  log = runs.rows(tmp_path)
  assert [int(row['step']) for row in log] == list(range(13))
  # The rate stays when the run goes on.
  again, _ = runs.make_simple_trainer(tmp_path, train_steps=20, max_skipped=3)
  assert float(again._state.schedule.scale.numpy()) == 0.25


def test_it_does_not_go_back_for_ever(tmp_path, without_pictures):
  overrides = {'max_skipped': 2, 'max_rollbacks': 1, 'eval_every': 100}
  trainer, distribution = poisoned(tmp_path, 5, 100, cure=9, **overrides)
  with pytest.raises(
      fo.training.DivergedError, match=r'step 7 .*1 roll-backs.*are finite'
  ):
    trainer.train()
  assert all(np.all(np.isfinite(w)) for w in runs.weights(distribution))
  # Nor when it is started again; without limits it may try once more.
  trainer, _ = poisoned(tmp_path, 5, 100, cure=9, **overrides)
  with pytest.raises(fo.training.DivergedError):
    trainer.train()
  overrides['max_rollbacks'] = 2
  trainer, _ = poisoned(tmp_path, 5, 100, cure=2, **overrides)
  assert trainer.train()['steps'] == 12


def test_a_few_bad_steps_are_only_skipped(tmp_path, without_pictures):
  # The checkpoint that would be due among them is left out.
  trainer, _ = poisoned(
      tmp_path, 6, 7, cure=9, max_skipped=3, eval_every=100
  )
  assert trainer.train()['skipped_steps'] == 2
  assert not (tmp_path / 'rollbacks.json').exists()
  assert {path.stem for path in (tmp_path / 'checkpoints').glob('*.index')} == {
      'ckpt-0', 'ckpt-4', 'ckpt-12'
  }


def test_it_goes_back_beyond_the_weights_that_fail(
    tmp_path, without_pictures
):
  trainer, _ = poisoned(
      tmp_path, 8, 100, cure=1, max_skipped=2, eval_every=100
  )
  summary = trainer.train()
  # The checkpoint of step 8 holds what the losses of steps 8 and 9 are of.
  (event,) = json.loads((tmp_path / 'rollbacks.json').read_text())
  assert (event['step'], event['to_step']) == (10, 4)
  assert summary['steps'] == 12 and summary['skipped_steps'] == 0
  assert {path.stem for path in (tmp_path / 'checkpoints').glob('*.index')} == {
      'ckpt-4', 'ckpt-8', 'ckpt-12'
  }


def test_sigterm_among_bad_steps_saves_none_of_them(
    tmp_path, without_pictures
):
  trainer, _ = poisoned(
      tmp_path, 5, 100, cure=1, max_skipped=3, eval_every=100
  )
  step_function = trainer._train_step

  def terminated(batch, stop):
    if trainer.step == 6:
      os.kill(os.getpid(), signal.SIGTERM)
    return step_function(batch, stop)

  trainer._train_step = terminated
  with pytest.raises(fo.training.TrainingInterrupted, match='after 4 steps'):
    trainer.train()
  trainer, _ = poisoned(
      tmp_path, 5, 100, cure=1, max_skipped=3, eval_every=100
  )
  assert trainer.step == 4
  trainer.train()
  (event,) = json.loads((tmp_path / 'rollbacks.json').read_text())
  assert (event['step'], event['to_step']) == (8, 4)
