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


def first_of_each_class():
  """An entry for each class; a `FlowLevel` stands for all compositions."""
  names = {}
  for name in registry.ENTRIES:
    names.setdefault(name.split(',')[0], name)
  for name in (
      'DepthToSpace',
      'FactorOut',
      'ImageFlow',
      'RepeatedSteps',
      'ScalingCascade',
  ):
    del names[name]
  return list(names.values())


def train(bijector, y, optimizer, num_steps=2):
  """Maximises the likelihood of `y`, or tries to."""
  for _ in range(num_steps):
    with tf.GradientTape() as tape:
      data = tf.identity(y)
      x = bijector.inverse(data)
      log_det = bijector.inverse_log_det_jacobian(
          data, event_ndims=len(y.shape) - 1
      )
      loss = 0.5 * tf.reduce_sum(tf.square(x)) / len(y) - tf.reduce_mean(
          log_det
      )
    gradients = tape.gradient(loss, bijector.trainable_variables)
    optimizer.apply_gradients(
        (gradient, variable)
        for gradient, variable in zip(
            gradients, bijector.trainable_variables, strict=True
        )
        if gradient is not None
    )


@pytest.mark.parametrize('name', first_of_each_class())
def test_constants_hold_wherever_training_leads(name):
  entry = registry.ENTRIES[name]
  bijector = entry.make(tf.float64)
  shape = tuple(bijector.inverse_event_shape(entry.data_shape).as_list())
  rng = np.random.default_rng(0)
  y = tf.constant(rng.normal(size=(8, *entry.data_shape)))
  x = tf.constant(rng.normal(size=(8, *shape)))
  # Traced once, for all weights and batches.
  forward, inverse = (
      tf.function(
          function,
          autograph=False,
          input_signature=[tf.TensorSpec([None, *event], tf.float64)],
      )
      for function, event in (
          (bijector.forward, shape), (bijector.inverse, entry.data_shape)
      )
  )
  climb_forward = adversary.Climber(forward, shape, num_pairs=24)
  climb_inverse = adversary.Climber(inverse, entry.data_shape, num_pairs=24)
  for state, make_optimizer in OPTIMIZERS.items():
    if make_optimizer:
      train(bijector, y, make_optimizer())
    for variable in bijector.variables:
      assert np.all(np.isfinite(variable)), (state, variable.name)
    bounds = fo.lipschitz.lipschitz_bounds(bijector)
    assert np.all(np.isfinite(bounds))
    least, most = bounds.log_det_range(int(np.prod(shape)))
    points, latents = (
        tf.concat([size * z for size in (1e-4, 1.0, 1e4)], 0) for z in (y, x)
    )
    values = bijector.inverse(points)
    log_det = bijector.inverse_log_det_jacobian(
        points, event_ndims=len(entry.data_shape)
    )
    slack = 1e-9 * (1 + abs(least) + abs(most))
    assert np.all((least - slack <= log_det) & (log_det <= most + slack))
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(forward(latents)))
    for climber, function, event, bound in (
        (climb_forward, forward, shape, bounds.forward),
        (climb_inverse, inverse, entry.data_shape, bounds.inverse),
    ):
      local = adversary.largest_local_expansion(function, event, num_points=6)
      assert 0 < local <= bound * (1 + 1e-9), (state, local, bound)
      # Differences, less what rounding beside shifts of 1e10 makes of them.
      found, _ = climber.search(num_steps=10)
      assert found <= bound * (1 + 1e-6), (state, found, bound)
      if 'absurd' not in state:
        assert found > 0
  # Where no training leads: each weight of a size of its own.
  for _ in range(2):
    for variable in bijector.trainable_variables:
      sizes = 10.0 ** rng.uniform(-9, 12, size=variable.shape)
      variable.assign(sizes * rng.choice([-1.0, 1.0], size=variable.shape))
    bounds = fo.lipschitz.lipschitz_bounds(bijector)
    for function, event, bound in (
        (forward, shape, bounds.forward),
        (inverse, entry.data_shape, bounds.inverse),
    ):
      local = adversary.largest_local_expansion(function, event, num_points=3)
      assert 0 < local <= bound * (1 + 1e-9), (local, bound)


def test_rounding_beside_a_huge_shift_is_no_expansion():
  """What difference quotients say of weights that training has blown up."""
  for slope in (1.0, 1.01):
    found, computed = adversary.Climber(
        lambda x, slope=slope: slope * x + 1e10, (3,)
    ).search(num_steps=3)
    # Beside 1e10 values are rounded to multiples of 2e-6: so much for the
    # difference of points that are 1e-5 apart.
    assert computed > 1.05
    assert slope * (1 - 1e-3) < found <= slope * (1 + 1e-9)
    local = adversary.largest_local_expansion(
        lambda x, slope=slope: slope * x + 1e10, (3,)
    )
    assert local == pytest.approx(slope, rel=1e-12)
