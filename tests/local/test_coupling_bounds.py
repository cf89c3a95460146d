"""What couplings can do in a ball, against all that they do there."""

import math

import numpy as np
import pytest
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.local import balls
from tfp_flowopt.local import maps


class Line(tf.Module):
  """Parameters along a line, as fast as `lipschitz` says."""

  def __init__(self, lipschitz, start, direction):
    super().__init__()
    self.lipschitz = lipschitz
    self._start = tf.constant(start, tf.float64)
    direction = np.asarray(direction) / np.linalg.norm(direction)
    self._direction = tf.constant(lipschitz * direction, tf.float64)

  def __call__(self, x):
    return self._start + x[..., :1] * self._direction


def coupling(kind, lipschitz, rng):
  if kind == 'spline':
    network = Line(lipschitz, rng.normal(size=6), rng.normal(size=6))
    return fo.bijectors.SplineCoupling(
        network, 6, min_slope=0.1, max_slope=8.0, bound=2.0, event_ndims=1
    )
  network = Line(lipschitz, rng.normal(size=2), rng.normal(size=2))
  return fo.bijectors.AffineCoupling(
      network, scale_bound=1.5, event_ndims=1,
      tail_bound={'affine': 1.0, 'affine, infinite tails': math.inf}[kind],
  )


def derivatives(bijector, direction, second, params):
  """Slopes, and how value and log-slope move with parameters and with `y`.

  Of `inverse`, and the value's by parameters of the direction.
  """
  with tf.GradientTape(persistent=True) as tape:
    tape.watch([second, params])
    prepared = bijector._prepared(params)
    y = second
    if direction == 'forward':
      y, _ = bijector._generate(second, prepared)
    at, given = tf.identity(y), tf.identity(params)
    tape.watch([at, given])
    _, log_slope = bijector._normalize(at, bijector._prepared(given))
    if direction == 'inverse':
      y, _ = bijector._normalize(second, prepared)

  def norm(target, source):
    gradient = tape.gradient(
        target, source, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return np.linalg.norm(gradient, axis=-1)

  return (
      np.exp(log_slope[:, 0]),
      norm(y, params),
      norm(log_slope, given),
      norm(log_slope, at),
  )


@pytest.mark.parametrize('kind', ['affine', 'affine, infinite tails', 'spline'])
@pytest.mark.parametrize('direction', ['inverse', 'forward'])
@pytest.mark.parametrize('lipschitz', [0.0, 0.2, 3.0])
def test_slopes_and_cross_terms_are_those_that_occur(
    kind, direction, lipschitz, rng
):
  sharpest = np.zeros(5)
  for case in range(12):
    bijector = coupling(kind, lipschitz, rng)
    local = maps.local_map(bijector)
    radius = [1e-3, 0.1, 0.7][case % 3]
    center = rng.normal(size=(1, 2)) * [1.0, 2.0]
    angle, size = rng.uniform(0, 2 * np.pi, 4000), radius * rng.uniform(
        size=4000
    ) ** 0.5
    size[::2] = radius
    x = center + size[:, np.newaxis] * np.stack(
        [np.cos(angle), np.sin(angle)], axis=-1
    )
    first, second = (tf.constant(x[:, k : k + 1]) for k in (0, 1))
    slopes, *moves = derivatives(
        bijector, direction, second, bijector.conditioner(first)
    )
    reach = balls.Reach(
        tf.constant(center), tf.constant([radius], tf.float64)
    )
    _, at, params = local._parts(reach)
    if direction == 'forward':
      at, _ = bijector._generate(at, bijector._prepared(params))
    least, most, *bounds = (
        float(v[0, 0]) for v in local._bounds(reach, at, params, direction)
    )
    assert least * (1 - 1e-9) <= slopes.min()
    assert slopes.max() <= most * (1 + 1e-9)
    for found, bound in zip(moves, bounds, strict=True):
      assert found.max() <= bound * (1 + 1e-9) + 1e-12
    shares = [least / slopes.min(), slopes.max() / most] + [
        found.max() / max(bound, 1e-12)
        for found, bound in zip(moves, bounds, strict=True)
    ]
    sharpest = np.maximum(sharpest, shares)
  # The bounds are not idle: each is nearly reached in some case.
  idle = 0.0 if kind == 'affine, infinite tails' else 0.15
  assert np.all(sharpest[:3] > 0.25)
  assert np.all(sharpest[3:] >= idle), sharpest


@pytest.mark.parametrize('kind', ['affine', 'spline'])
@pytest.mark.parametrize('direction', ['inverse', 'forward'])
def test_errors_without_a_cross_term(kind, direction, rng):
  """Of one number that moves alone: bends and log-determinants are felt."""
  for _ in range(6):
    bijector = coupling(kind, 0.0, rng)
    local = maps.local_map(bijector)
    second = rng.uniform(-2.5, 2.5, size=(60, 1))
    x = tf.constant(np.concatenate([np.zeros_like(second), second], axis=1))
    radii = tf.constant(rng.choice([0.01, 0.3, 1.0], size=60))
    errors = []
    with tf.GradientTape() as tape:
      tape.watch(x)
      change = getattr(local, direction)(balls.Reach(x, radii, None, errors))
      value = change.value[:, 1]
    slope = tape.gradient(value, x)
    slope = np.zeros(60) if slope is None else slope[:, 1].numpy()
    for share in np.linspace(-1.0, 1.0, 21):
      d = share * radii
      other = x + tf.stack([tf.zeros_like(d), d], axis=1)
      moved = getattr(bijector, direction)(tf.identity(other))[:, 1]
      rest = np.abs(moved - value - slope * d)
      assert np.all(rest <= errors[0][1] * (1 + 1e-9) + 1e-12)
      log_det = getattr(bijector, f'{direction}_log_det_jacobian')(other)
      step = (log_det - change.log_det).numpy()
      assert np.all(step <= change.high * (1 + 1e-9) + 1e-12)
      assert np.all(step >= change.low * (1 + 1e-9) - 1e-12)


@pytest.mark.parametrize('kind', ['affine', 'affine, infinite tails', 'spline'])
@pytest.mark.parametrize('direction', ['inverse', 'forward'])
@pytest.mark.parametrize('lipschitz', [0.0, 0.2, 3.0])
def test_constant_of_a_tiny_ball_is_that_of_the_jacobian(
    kind, direction, lipschitz, rng
):
  """Not below it, and equal to it where the network adds nothing."""
  for _ in range(4):
    bijector = coupling(kind, lipschitz, rng)
    x = tf.constant(rng.uniform(-2.5, 2.5, size=(60, 2)))
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = getattr(bijector, direction)(x)
    jacobian = tape.batch_jacobian(y, x).numpy()
    norms = np.linalg.svd(jacobian, compute_uv=False)[:, 0]
    reach = balls.Reach(x, tf.fill([60], tf.constant(1e-7, tf.float64)))
    change = getattr(maps.local_map(bijector), direction)(reach)
    assert np.all(change.slope >= norms * (1 - 1e-9))
    bends = np.linalg.norm(jacobian - np.eye(2), ord=2, axis=(1, 2))
    assert np.all(change.bend >= bends - 1e-9)
    if lipschitz == 0:
      np.testing.assert_allclose(change.slope, norms, rtol=1e-5)
      np.testing.assert_allclose(change.bend, bends, atol=1e-5)


def test_shifts_lead_to_other_bins():
  """In direction `forward` the value moves with the shift, too."""
  lipschitz, radius = 3.0, 0.2
  # Flat, with slopes of 1, up to the middle; then steep.
  network = Line(lipschitz, [0.0, 0.0, 0.0, 3.0, 3.0, 0.0], [0.0] * 5 + [1.0])
  bijector = fo.bijectors.SplineCoupling(
      network, 6, min_slope=0.1, max_slope=8.0, bound=0.5, event_ndims=1
  )
  center = np.array([[0.0, -0.25]])
  y = bijector.forward(tf.constant(center + radius * np.array([[-1.0, 0.0]])))
  slope = np.exp(bijector.inverse_log_det_jacobian(y))
  reach = balls.Reach(tf.constant(center), tf.constant([radius], tf.float64))
  local = maps.local_map(bijector)
  _, at, params = local._parts(reach)
  at, _ = bijector._generate(at, bijector._prepared(params))
  _, most, *_ = local._bounds(reach, at, params, 'forward')
  # Steeper than any parameter alone could make the bin of the centre.
  assert np.exp(lipschitz * radius) < slope[0] <= most[0, 0]


def test_scales_lead_to_other_slopes():
  """In direction `forward` far from 0 a value moves with its scale."""
  lipschitz, radius = 3.0, 0.1
  bijector = fo.bijectors.AffineCoupling(
      Line(lipschitz, [0.5, 0.0], [1.0, 0.0]), scale_bound=2.0, event_ndims=1,
      tail_bound=50.0,
  )
  center = bijector.inverse(tf.constant([[0.0, 10.0]], tf.float64))
  x = center + tf.constant([[radius, 0.0]], tf.float64)
  slope = np.exp(bijector.inverse_log_det_jacobian(bijector.forward(x)))
  reach = balls.Reach(center, tf.constant([radius], tf.float64))
  local = maps.local_map(bijector)
  _, at, params = local._parts(reach)
  at, _ = bijector._generate(at, bijector._prepared(params))
  _, most, *_ = local._bounds(reach, at, params, 'forward')
  assert slope[0] <= most[0, 0] < 1.3 * slope[0]


@pytest.mark.parametrize(
    'name', ['AffineCoupling', 'SplineCoupling', 'MaskedAutoregressive']
)
def test_log_determinants_of_many_rows(name, rng):
  """Rows that share the square of a radius: the root of their number."""
  entry = registry.ENTRIES[name]
  local, num = maps.local_map(entry.make(tf.float64)), 100
  row = rng.normal(size=entry.data_shape)
  one, all_of_them = (
      local.inverse(balls.Reach(tf.constant(y), tf.constant(0.1, tf.float64)))
      for y in (row, np.broadcast_to(row, [num, *row.shape]))
  )
  np.testing.assert_allclose(all_of_them.high, num**0.5 * one.high)
  np.testing.assert_allclose(all_of_them.low, num**0.5 * one.low)
  np.testing.assert_allclose(all_of_them.slope, one.slope)


def test_matrices_of_all_linear_parts_are_multiplied():
  """Those of each class, beside another one."""
  act_norm = fo.bijectors.ActNorm(4, event_ndims=1)
  dense = fo.bijectors.DenseAffine(4)
  conv = fo.bijectors.InvertibleConv1x1(4, event_ndims=1)
  for parts in ([act_norm, dense], [dense, dense], [conv, dense, act_norm]):
    found = fo.lipschitz.lipschitz_bounds(
        fo.bijectors.Sequential(parts),
        region=fo.lipschitz.Ball(np.zeros([1, 4], np.float32), 0.1),
    )
    np.testing.assert_allclose(found.inverse, 1.0, rtol=1e-3)
