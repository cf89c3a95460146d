import numpy as np
import pytest
from support import images
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


def test_bound_and_measurement_of_each_level():
  x = images.preprocessed(64)
  distribution = fo.image_flow(
      [8, 8, 3], 2, 3, hidden_channels=8, memory='reversible'
  )
  fo.initialize_at_optimum(distribution, x)
  registry.randomize(distribution, 0.02)
  errors = fo.diagnostics.reconstruction_errors(distribution, x[:4])
  assert [e.level for e in errors] == [0, 1]
  assert [e.num_steps for e in errors] == [3, 3]
  # What gradients measure is the same error, up to the order of additions.
  with tf.GradientTape() as tape:
    value = tf.reduce_sum(distribution.log_prob(x[:4]))
  tape.gradient(value, distribution.trainable_variables)
  seen = float(distribution.bijector.monitor.error)
  measured = max(e.measured for e in errors)
  assert measured / 3 < seen < measured * 3
  for error in errors:
    assert 0 < error.measured < error.bound < 1e-2
    assert f'{error.bound:.1e}' in str(error)


def test_a_level_without_bounds_has_none():
  distribution = fo.image_flow(
      [4, 4, 2],
      num_levels=1,
      num_steps=1,
      hidden_channels=4,
      lipschitz_budget=None,
      conditioner_lipschitz=np.inf,
  )
  (error,) = fo.diagnostics.reconstruction_errors(
      distribution, tf.ones([1, 4, 4, 2])
  )
  assert np.isinf(error.bound) and error.measured < 1e-5


def test_an_event_of_zeros_hides_no_other():
  distribution = fo.image_flow([4, 4, 2], 1, 1, hidden_channels=4)
  registry.randomize(distribution, 0.2)
  x = np.random.default_rng(0).normal(size=[2, 4, 4, 2]).astype(np.float32)
  (alone,), (both,) = (
      fo.diagnostics.reconstruction_errors(distribution, images)
      for images in (x[:1], x * [[[[1.0]]], [[[0.0]]]])
  )
  assert alone.measured <= both.measured < both.bound < 0.1


def test_another_distribution_is_refused():
  import tensorflow_probability as tfp

  with pytest.raises(ValueError, match='ImageFlow'):
    fo.diagnostics.reconstruction_errors(
        tfp.distributions.Normal(0.0, 1.0), tf.ones([1, 2, 2, 1])
    )


def test_no_images_are_refused():
  distribution = fo.image_flow([4, 4, 2], 1, 1, hidden_channels=4)
  with pytest.raises(ValueError, match=r'N > 0, got \(0, 4, 4, 2\)'):
    fo.diagnostics.reconstruction_errors(distribution, tf.ones([0, 4, 4, 2]))
