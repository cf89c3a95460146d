"""Signals end a run wherever it is, and lose nothing."""

import os
import signal

import pytest
from support import runs

import tfp_flowopt as fo
from tfp_flowopt.training import interruption


@pytest.fixture
def handled_interrupts():
  """SIGINT as a program in the foreground has it."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


def test_signals_save_the_step(
    simple, tmp_path, without_pictures, handled_interrupts
):
  for number, step in ((signal.SIGTERM, 2), (signal.SIGINT, 6)):
    trainer, _ = runs.make_simple_trainer(tmp_path)

    def signalled(
        batch, stop, trainer=trainer, step_function=trainer._loop.train_step,
        number=number, step=step,
    ):
      if trainer.step == step:
        os.kill(os.getpid(), number)
      return step_function(batch, stop)

    trainer._loop.train_step = signalled
    before = signal.getsignal(number)
    with pytest.raises(
        fo.training.TrainingInterrupted, match=f'after {step + 1} steps'
    ):
      trainer.train()
    assert signal.getsignal(number) is before
  trainer, distribution = runs.make_simple_trainer(tmp_path)
  assert trainer.step == 7
  trainer.train()
  workdir, _, want = simple
  assert runs.rows(tmp_path) == runs.rows(workdir)
  runs.assert_equal(runs.weights(distribution), want)


@pytest.mark.parametrize(
    ('place', 'steps'),
    [('evaluation', 5), ('pictures', 6), ('end', 12), ('report', 12)],
)
def test_a_signal_beside_steps_ends_the_run_there(
    simple, tmp_path, without_pictures, monkeypatch, place, steps
):
  workdir, summary, want = simple
  trainer, _ = runs.make_simple_trainer(tmp_path)
  after = []

  def signalled():
    os.kill(os.getpid(), signal.SIGTERM)
    interruption.check()  # as between batches, and between pictures
    after.append(place)

  if place in ('evaluation', 'end'):
    of_examples = trainer._evaluator.loss

    def loss(examples):
      if trainer.step == steps:
        signalled()
      return of_examples(examples)

    monkeypatch.setattr(trainer._evaluator, 'loss', loss)
  elif place == 'pictures':
    monkeypatch.setattr(
        trainer._loop,
        '_draw_pictures',
        lambda: trainer.step == steps and signalled(),
    )
  else:
    monkeypatch.setattr(trainer, 'report', signalled)
  with pytest.raises(
      fo.training.TrainingInterrupted, match=f'after {steps} steps'
  ):
    trainer.train()
  assert not after
  assert not (tmp_path / 'lock.json').exists()
  assert not (tmp_path / 'summary.json').exists()
  monkeypatch.undo()
  with runs.no_pictures():
    trainer, distribution = runs.make_simple_trainer(tmp_path)
    assert trainer.step == steps
    assert trainer.train()['report'] == summary['report']
  assert runs.rows(tmp_path) == runs.rows(workdir)
  runs.assert_equal(runs.weights(distribution), want)


def test_a_second_interrupt_is_one(handled_interrupts):
  with interruption.StopSignal() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.received
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_interrupts_stay_ignored(handled_interrupts):
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  with interruption.StopSignal() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert not stop.received
  assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
