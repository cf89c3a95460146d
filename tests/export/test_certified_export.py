"""Exported flows that serve bounds of log-densities in balls."""

import numpy as np
import pytest
from support import images
import tensorflow as tf

import tfp_flowopt as fo


def test_of_images(distribution, signatures):
  function = signatures['certified_log_prob']
  x = images.crops().draw(4, [0, 3])
  found = function(images=x, radius=tf.constant(0.01))
  log_prob = signatures['log_prob'](images=x)['log_prob']
  assert np.all(found['lower'] < log_prob)
  assert np.all(log_prob < found['upper'])
  noise = fo.flows.dequantization_noise([8, 8, 3], (0, 0))
  lower, upper = fo.diagnostics.certified_log_prob(
      distribution, fo.flows.dequantize(x, 8, noise), 0.01
  )
  np.testing.assert_allclose(found['lower'], lower, rtol=1e-4)
  np.testing.assert_allclose(found['upper'], upper, rtol=1e-4)
  with pytest.raises(tf.errors.InvalidArgumentError, match='`radius`'):
    function(images=x, radius=tf.constant(-1.0))


def test_of_vectors_given_a_class(rng, tmp_path):
  x = rng.normal(size=[200, 3]).astype(np.float32)
  labels = rng.integers(2, size=200)
  distribution = fo.vector_flow(
      3, num_steps=1, hidden_units=4, conditioning=2, lipschitz_budget=1.0
  )
  fo.initialize_at_optimum(distribution, x, conditioning=labels)
  path = fo.export.save(distribution, tmp_path / '1', certified=True)
  assert (tmp_path / '1' / 'assets.extra').is_dir()
  function = tf.saved_model.load(path).signatures['certified_log_prob']
  found = function(
      x=tf.constant(x[:5]),
      radius=tf.constant(0.1),
      conditioning=tf.constant(labels[:5]),
  )
  lower, upper = fo.diagnostics.certified_log_prob(
      distribution, x[:5], 0.1, labels[:5]
  )
  np.testing.assert_allclose(found['lower'], lower, rtol=1e-4)
  np.testing.assert_allclose(found['upper'], upper, rtol=1e-4)
