"""Runs whose steps take no time: the files of a `Trainer`, without its flow."""

import types

import tensorflow as tf

from tfp_flowopt import training
from tfp_flowopt.training import replicas as replicas_lib
from tfp_flowopt.training import run_files

SETTINGS = {'seed': 3, 'rate': 0.1}
START = {
    'settings': SETTINGS,
    'predicted': 2.0,
    'measured': 2.5,
    'train_optimum': {'1': 3.0},
    'held_out_optimum': {'1': 3.5},
}
STEPS, ROLLED_BACK_AT = 12, 6


class ToyRun:
  """A weight that depends on all steps, their rate and their order.

  It goes back once, at a step that fails as long as the rate is whole. The
  weight is best at step 3.
  """

  def __init__(self, workdir, settings=(), replicas=None):
    self.step, self.weight = (
        tf.Variable(0, dtype=tf.int64),
        tf.Variable(0.0, dtype=tf.float64),
    )
    self.state = types.SimpleNamespace(
        step=self.step,
        schedule=types.SimpleNamespace(scale=tf.Variable(1.0)),
        to_save={'step': self.step, 'weight': self.weight},
    )
    config = training.TrainConfig(
        train_steps=STEPS, tensorboard=False, max_skipped=1
    )
    self.files = run_files.RunFiles(
        workdir, self.state, config, replicas or replicas_lib.Replicas()
    )
    if self.files.found:
      self.start = self.files.resume({**SETTINGS, **dict(settings)})
    else:
      self.start = START
      with self.files.lock():
        self.files.start(START)

  def train(self, steps=STEPS):
    """Takes the steps up to `steps`."""
    with self.files.lock():
      self.files.prepare()
      while int(self.step) < steps:
        self._take()
      self.files.save()

  def _take(self):
    step = int(self.step)
    scale = float(self.state.schedule.scale)
    held_out = abs(step - 3.25) if step % 3 == 0 else None
    if held_out is not None:
      self.files.keep_best(held_out)
    failed = step == ROLLED_BACK_AT and scale == 1.0
    if not failed:
      self.weight.assign(0.9 * self.weight + scale * (step + 1))
    self.step.assign_add(1)
    self.files.append(
        step=step,
        held_out=held_out,
        train=float(self.weight),
        seconds=0.1,
    )
    if self.files.rollbacks.count(failed):
      self.files.go_back()
    elif int(self.step) % 4 == 0:
      self.files.save()

  def rows(self):
    """The log."""
    return self.files.rows()
