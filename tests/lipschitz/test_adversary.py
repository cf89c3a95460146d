"""Certified constants hold wherever training leads, sensible or not."""

import functools

import numpy as np
import pytest
from support import adversary
from support import registry
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo

OPTIMIZERS = {
    'as it is': None,
    'trained': functools.partial(tf_keras.optimizers.Adam, 1e-2),
    'Adam, absurd': functools.partial(tf_keras.optimizers.Adam, 1e2),
    'SGD, absurd': functools.partial(tf_keras.optimizers.SGD, 1e3),
}


def train(bijector, y, optimizer, num_steps=4):
  """Maximises the likelihood of `y`, or tries to."""

  @tf.function
  def gradients():
    with tf.GradientTape() as tape:
      x = bijector.inverse(tf.identity(y))
      log_det = bijector.inverse_log_det_jacobian(
          y, event_ndims=bijector.inverse_min_event_ndims
      )
      loss = 0.5 * tf.reduce_sum(tf.square(x)) / len(y) - tf.reduce_mean(
          log_det
      )
    return tape.gradient(loss, bijector.trainable_variables)

  for _ in range(num_steps):
    optimizer.apply_gradients(
        (gradient, variable)
        for gradient, variable in zip(
            gradients(), bijector.trainable_variables, strict=True
        )
        if gradient is not None
    )


@pytest.mark.parametrize('name', registry.ENTRIES)
def test_constants_hold_wherever_training_leads(name):
  entry = registry.ENTRIES[name]
  bijector = entry.make(tf.float64)
  shape = tuple(bijector.inverse_event_shape(entry.data_shape).as_list())
  rng = np.random.default_rng(0)
  y = tf.constant(rng.normal(size=(8, *entry.data_shape)))
  x = tf.constant(rng.normal(size=(8, *shape)))
  # Traced once, for all weights and for each search.
  forward, inverse = map(tf.function, (bijector.forward, bijector.inverse))
  sizes = np.geomspace(1e-2, 1e4, 8).reshape(-1, 1, 1, 1)
  points = sizes * y
  estimate = tf.function(
      lambda y: fo.diagnostics.local_lipschitz(bijector, y, num_steps=8)
  )
  for state, make_optimizer in OPTIMIZERS.items():
    if make_optimizer:
      if not bijector.trainable_variables:
        break
      train(bijector, y, make_optimizer())
    for variable in bijector.variables:
      assert np.all(np.isfinite(variable)), (state, variable.name)
    bounds = fo.lipschitz.lipschitz_bounds(bijector)
    assert np.all(np.isfinite(bounds))
    least, most = bounds.log_det_range(int(np.prod(shape)))
    for size in (1e-4, 1.0, 1e4):
      log_det = bijector.inverse_log_det_jacobian(size * y, event_ndims=3)
      slack = 1e-9 * (1 + abs(least) + abs(most))
      assert np.all((least - slack <= log_det) & (log_det <= most + slack))
      assert np.all(np.isfinite(inverse(size * y)))
      assert np.all(np.isfinite(forward(size * x)))
    local = estimate(points)
    assert np.all(local.forward <= bounds.forward * (1 + 1e-6)), state
    assert np.all(local.inverse <= bounds.inverse * (1 + 1e-6)), state
    assert np.all(local.condition >= 1 - 1e-6)
    if 'absurd' in state:
      # Differences of nearby values are mere rounding beside shifts of 1e10.
      continue
    for function, event, bound in (
        (forward, shape, bounds.forward),
        (inverse, entry.data_shape, bounds.inverse),
    ):
      found = adversary.largest_expansion(function, event, num_steps=20)
      assert 0 < found <= bound * (1 + 1e-6), (state, found, bound)
