"""Radial scalings in a ball: what is beyond their linear parts."""

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.internal import linearization
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps

COUNT = 64
# Shapes of events, and arguments: whole vectors, single numbers, tiles.
KINDS = {
    'vectors': ((6,), {'event_ndims': 1, 'num_groups': 1}),
    'numbers': ((6,), {'event_ndims': 1}),
    'tiles': ((4, 4, 2), {'tile_size': 2, 'num_groups': 1}),
    'groups': ((4, 4, 4), {'tile_size': 2, 'num_groups': 2}),
    'pixels': ((4, 4, 4), {'num_groups': 1}),
}


def scaling(kind, num_terms, rng):
  """A bijector, and the shape of its events."""
  shape, arguments = KINDS[kind]
  bijector = fo.bijectors.RadialScaling(
      num_terms=num_terms, dtype=tf.float64, slope_bound=3.0, **arguments
  )
  bijector.initialize(
      rng.uniform(-2.5, 2.5, size=num_terms), np.exp(rng.normal(size=num_terms))
  )
  return bijector, shape


def steps(y, radius, rng):
  """Steps within a radius, in all directions, and towards and away from 0."""
  d = rng.normal(size=(COUNT, *y.shape))
  d[:8] = y * np.linspace(-1, 1, 8).reshape([-1, *[1] * y.ndim])
  size = np.sqrt(np.sum(d**2, axis=tuple(range(1, d.ndim)), keepdims=True))
  share = rng.choice([1.0, 0.5], size=size.shape)
  return d * radius / np.maximum(size, 1e-300) * share


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('num_terms', [1, 3])
def test_what_is_not_linear(kind, num_terms, rng):
  """Errors of values and log-determinants, of first and second order."""
  sharpest, smallest = np.zeros(2), np.ones(2)
  for radius in np.geomspace(1e-4, 3.0, 6):
    bijector, shape = scaling(kind, num_terms, rng)
    local = maps.local_map(bijector)
    y = rng.normal(size=shape) * np.exp(rng.normal())
    d = steps(y, radius, rng)
    center = tf.constant(np.repeat(y[np.newaxis], COUNT, axis=0))
    radii, errors = tf.fill([COUNT], tf.constant(radius, tf.float64)), []
    with tf.GradientTape() as tape:
      tape.watch(center)
      change = local.inverse(balls.Reach(center, radii, None, errors))
      total = tf.reduce_sum(change.log_det)
    axes = tuple(range(1, d.ndim))
    gradient = tape.gradient(
        total, center, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    log_det = bijector.inverse_log_det_jacobian(
        center + d, event_ndims=len(shape)
    )
    step = np.asarray(log_det - change.log_det)
    beyond = np.abs(step - np.sum(gradient * d, axis=axes))
    rest = change.rest[1].numpy()
    assert np.all(beyond <= rest * (1 + 1e-9) + 1e-11)
    assert np.all(np.abs(step) <= change.high * (1 + 1e-9) + 1e-11)
    linear = linearization.Linearization(
        lambda c, local=local, radii=radii: local.inverse(
            balls.Reach(c, radii)
        ).value,
        center,
    ).jvp(tf.constant(d))
    error = bijector.inverse(center + d) - change.value - linear
    error = np.sqrt(np.sum(np.square(error), axis=axes))
    allowed = errors[0][1].numpy()
    assert np.all(error <= allowed * (1 + 1e-9) + 1e-11)
    sharpest = np.maximum(
        sharpest, [(error / allowed).max(), (beyond / rest).max()]
    )
    if radius < 1e-3:
      smallest = np.minimum(
          smallest, [allowed[0] / radius, rest[0] / float(change.high[0])]
      )
  # No bound is idle: each is nearly reached, and of second order.
  assert np.all(sharpest > (0.4 if len(shape) == 1 else 0.15)), sharpest
  assert np.all(smallest < 0.02), smallest


def test_quiet_tiles_do_not_spoil_the_others(rng):
  """Near 0 a log-determinant bends without bound; elsewhere it does not."""
  bijector, _ = scaling('tiles', 1, rng)
  y = rng.normal(size=(1, 16, 16, 2))
  y[:, :2, :2] = 0.0
  change = maps.local_map(bijector).inverse(
      balls.Reach(tf.constant(y), tf.constant([0.01], tf.float64))
  )
  assert float(change.rest[1][0]) < 0.5 * float(change.high[0])


def test_in_turn_and_side_by_side_what_is_not_linear_adds_up(rng):
  def reach(x, radius=1e-2):
    return balls.Reach(tf.constant(x), tf.constant([radius], tf.float64))

  linear = fo.bijectors.InvertibleConv1x1(6, dtype=tf.float64, event_ndims=1)
  linear.initialize(left=registry.rotation(6, 0))
  radial, _ = scaling('vectors', 1, rng)
  x = rng.normal(size=(1, 6))
  alone = maps.local_map(radial).inverse(reach(linear.inverse(x).numpy()))
  chain = tfp.bijectors.Chain([linear, radial, linear])
  together = maps.local_map(chain).inverse(reach(x))
  assert alone.rest[1] > 0
  np.testing.assert_allclose(together.rest, alone.rest, rtol=1e-6)

  factor_out = registry.ENTRIES['FactorOut'].make(tf.float64)
  x = rng.normal(size=(1, 4, 2, 5))
  parts = factor_out.split(tf.constant(x))
  alone = [
      maps.local_map(part).inverse(reach(values.numpy())).rest
      for part, values in zip(
          (factor_out.next_level, factor_out.scaling), parts, strict=True
      )
  ]
  together = maps.local_map(factor_out).inverse(reach(x))
  np.testing.assert_allclose(together.rest, np.add(*alone), rtol=1e-6)


@pytest.mark.parametrize('center', [0.0, 1e-6, -5e-4])
@pytest.mark.parametrize('radius', [1e-3, 1e-2])
def test_a_single_value_turns_where_it_is_zero(center, radius):
  """The log-determinant has a kink there, which no second derivative tells."""
  scale = fo.bijectors.RadialScaling(
      num_terms=1, event_ndims=1, dtype=tf.float64
  )
  scale.initialize([3.0], [0.1])
  # The slopes of the base density and of the log-determinant nearly cancel.
  shift = fo.bijectors.ActNorm(1, dtype=tf.float64, event_ndims=1)
  shift.initialize([0.95], [1.0])
  base = tfp.distributions.Normal(tf.zeros([], tf.float64), 1.0)
  distribution = tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(base, [1]),
      fo.bijectors.Sequential([scale, shift]),
  )
  x = tf.constant([[center]], tf.float64)
  low, high = fo.diagnostics.certified_log_prob(distribution, x, radius)
  found = distribution.log_prob(x + radius * np.linspace(-1, 1, 101)[:, None])
  assert low <= tf.reduce_min(found)
  assert tf.reduce_max(found) <= high


@pytest.mark.parametrize('background', [1.0, 0.5])
@pytest.mark.parametrize('radius', [0.02, 0.1])
def test_black_pixels_in_a_cascade(background, radius, rng):
  cascade = fo.bijectors.ScalingCascade(3, tile_sizes=(1,))
  cascade.initialize(np.zeros([2, 3]), np.zeros([2, 3]), [0.5, 2.0], [0.3, 0.1])
  shape = [16, 16, 3]
  distribution = tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), shape),
      cascade,
  )
  x = rng.normal(size=[1, *shape]).astype(np.float32)
  x[:, : int(16 * background)] = 0.0
  step = (x == 0.0).astype(np.float32)
  step *= 0.999 * radius / np.linalg.norm(step)
  low, high = fo.diagnostics.certified_log_prob(distribution, x, radius)
  log_prob = distribution.log_prob(x + step)
  assert low <= log_prob <= high


def test_no_events_at_all():
  bijector, _ = scaling('tiles', 1, np.random.default_rng(0))
  change = maps.local_map(bijector).inverse(
      balls.Reach(tf.zeros([0, 4, 4, 2], tf.float64), tf.zeros([0], tf.float64))
  )
  assert change.high.shape == [0]
