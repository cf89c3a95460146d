"""What is not finite gives gradients that are not finite, and no error."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.internal import dense_log_det


@pytest.mark.parametrize('coupling', ['residual', 'convex', 'spline'])
@pytest.mark.parametrize('jit_compile', [False, True])
def test_a_row_that_is_no_number_spoils_no_other_event(coupling, jit_compile):
  flow = fo.vector_flow(
      2, num_steps=1, hidden_units=4, coupling=coupling,
      gaussianize_marginals=False,
  )
  x = tf.random.stateless_normal([6, 2], [0, 1])
  bad = tf.where(tf.range(6)[:, tf.newaxis] == 2, np.nan, x)

  @tf.function(jit_compile=jit_compile, autograph=False)
  def gradients(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      loss = flow.log_prob(x)
    return tape.gradient(loss, [x, flow.trainable_variables])

  by_event, by_weights = gradients(bad)
  want, _ = gradients(x)
  others = [0, 1, 3, 4, 5]
  np.testing.assert_allclose(
      tf.gather(by_event, others), tf.gather(want, others), atol=1e-5
  )
  assert np.all(np.isnan(by_event[2]))
  assert not all(np.all(np.isfinite(g)) for g in by_weights if g is not None)


@pytest.mark.parametrize('coupling', ['residual', 'convex'])
def test_gradients_of_forward_at_what_is_no_number(coupling):
  flow = fo.vector_flow(
      2, num_steps=1, hidden_units=4, coupling=coupling,
      gaussianize_marginals=False,
  )
  z = tf.constant([[np.nan, 0.0], [0.5, 0.3]])
  with tf.GradientTape() as tape:
    tape.watch(z)
    y = flow.bijector.forward(z)
  gradient = tape.gradient(y, z)
  assert np.all(np.isnan(gradient[0])) and np.all(np.isfinite(gradient[1]))


def test_an_inverse_of_a_batch():
  matrices = np.random.default_rng(0).normal(size=[4, 3, 3])
  bad = matrices.copy()
  bad[1, 0, 2], bad[2, 1, 1] = np.nan, np.inf
  got = dense_log_det.inverse(tf.constant(bad)).numpy()
  np.testing.assert_allclose(got[[0, 3]], np.linalg.inv(matrices[[0, 3]]))
  assert np.all(np.isnan(got[[1, 2]]))


def test_a_run_skips_steps_of_a_residual_flow(tmp_path):
  """At a rate that leads nowhere."""
  x = np.random.default_rng(0).normal(size=[100, 2]).astype(np.float32)
  data = tf.data.Dataset.from_tensor_slices(x)
  flow = fo.vector_flow(2, num_steps=1, hidden_units=4, coupling='residual')
  config = fo.training.TrainConfig(
      train_steps=6, batch_size=16, learning_rate=1e38, warmup_steps=0,
      tensorboard=False, eval_every=3,
  )
  summary = fo.training.Trainer(flow, data, data, tmp_path, config).train()
  assert summary['skipped_steps'] > 0
