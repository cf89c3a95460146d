"""Flows that are no `ImageFlow`, and a run that has not begun."""

import json

import numpy as np
import pytest
from support import images
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions


def glow():
  bijector = tfb.Glow(
      output_shape=[8, 8, 3],
      num_glow_blocks=1,
      num_steps_per_block=1,
      coupling_bijector_fn=tfb.GlowDefaultNetwork,
      exit_bijector_fn=tfb.GlowDefaultExitNetwork,
  )
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [192]), bijector
  )


def real_nvp():
  network = tf_keras.Sequential([
      tf_keras.layers.Dense(8, activation='relu', input_shape=[96]),
      tf_keras.layers.Dense(192, kernel_initializer='zeros'),
  ])

  def shift_and_log_scale(x, units):
    del units
    shift, raw = tf.split(network(x), 2, axis=-1)
    return shift, tf.tanh(raw)

  coupling = tfb.RealNVP(
      num_masked=96, shift_and_log_scale_fn=shift_and_log_scale
  )
  coupling.network = network  # a function is not searched for variables
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [192]),
      tfb.Chain([tfb.Reshape([8, 8, 3], [192]), coupling]),
  )


@pytest.mark.parametrize('flow', [glow, real_nvp])
def test_flows_of_tfp_are_trained(flow, tmp_path):
  trainer, distribution = runs.make_trainer(
      tmp_path, flow, train_steps=12, learning_rate=3e-2, eval_every=12
  )
  assert trainer.start['predicted'] is None
  summary = trainer.train()
  assert summary['held_out_bits_per_dim'] < trainer.start['measured'] - 0.3
  assert summary['layers'] == summary['reconstruction'] == []
  assert (tmp_path / 'curve.png').exists()
  # Gone on with, it is the same model.
  again, restored = runs.make_trainer(
      tmp_path, flow, train_steps=12, learning_rate=3e-2, eval_every=12
  )
  assert again.step == 12
  assert again.evaluate() == pytest.approx(
      summary['held_out_bits_per_dim'], abs=1e-5
  )
  x = images.preprocessed(4)
  np.testing.assert_allclose(
      restored.log_prob(x), distribution.log_prob(x), rtol=1e-4
  )


def test_a_constructor_only_describes(tmp_path):
  workdir = tmp_path / 'run'
  distribution = runs.make_flow()
  trainer = fo.training.Trainer(
      distribution,
      images.crops(seed=0),
      images.crops(seed=1),
      workdir,
      fo.training.TrainConfig(**{**runs.CONFIG, 'train_steps': 1}),
  )
  assert not workdir.exists()
  assert not distribution.bijector.initialized.numpy()
  for early in (
      lambda: trainer.step,
      lambda: trainer.start,
      trainer.lock,
      trainer.evaluate,
      trainer.report,
      lambda: trainer.evaluate_draws(2, 1),
      trainer.restore_best,
      trainer.use_averaged_weights,
  ):
    with pytest.raises(RuntimeError, match=r'`start_or_resume\(\)` first'):
      early()
  assert trainer.start_or_resume() is trainer
  before = json.loads((workdir / 'start.json').read_text())
  assert trainer.step == 0 and distribution.bijector.initialized.numpy()
  tf.nest.map_structure(
      lambda v: v.assign_add(tf.ones_like(v)), distribution.trainable_variables
  )
  # A second call changes nothing.
  weights = runs.weights(distribution)
  trainer.start_or_resume()
  runs.assert_equal(runs.weights(distribution), weights)
  assert json.loads((workdir / 'start.json').read_text()) == before
