"""Constants and log-determinants within balls, against an adversary."""

import math

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.internal import linearization
from tfp_flowopt.local import balls
from tfp_flowopt.local import constants
from tfp_flowopt.local import maps
from tfp_flowopt.local import skeleton

tfb = tfp.bijectors
# Centres, pairs of each, and steps that they climb: more than 10,000 pairs.
CENTERS, PAIRS, STEPS = 12, 240, 4
# More than 1,000 of what is made of layers that are here.
PAIRS_OF_FLOWS = 24
FLOWS = ('Flow', 'Cascade', 'Repeated', 'Sequential', 'FactorOut', 'Chain')
RADII = (1e-6, 1e-2, 0.3, 4.0)

TFP = {
    'Exp': tfb.Exp,
    'Log': tfb.Log,
    'Sigmoid': tfb.Sigmoid,
    'Sigmoid, falling': lambda: tfb.Sigmoid(
        tf.constant(3.0, tf.float64), tf.constant(-1.0, tf.float64)
    ),
    'Softplus': tfb.Softplus,
    'Softplus, from 2': lambda: tfb.Softplus(
        low=tf.constant(2.0, tf.float64)
    ),
    'Softsign': tfb.Softsign,
    'Tanh': tfb.Tanh,
    'Shift': lambda: tfb.Shift(tf.constant([1.0, 2.0, 3.0], tf.float64)),
    'Scale': lambda: tfb.Scale(tf.constant([-1.0, 2.0, 0.5], tf.float64)),
    'Chain': lambda: tfb.Chain([
        tfb.Sigmoid(), tfb.Softplus(),
        tfb.ScaleMatvecTriL(tf.constant(
            [[1.0, 0, 0], [2, 0.5, 0], [0, 1, 2]], tf.float64
        )),
        tfb.Permute([2, 0, 1]),
    ]),
}


def layers():
  """Name, bijector and shape of its data, of every kind."""
  for name, entry in registry.ENTRIES.items():
    yield name, lambda entry=entry: entry.make(tf.float64), entry.data_shape
  for name, make in TFP.items():
    yield name, make, (3,)


LAYERS = {name: pair for name, *pair in layers()}
# No constant holds everywhere, but one in each ball.
LAYERS['AffineCoupling, infinite tails'] = (
    lambda: fo.bijectors.AffineCoupling(
        registry.randomize(fo.networks.DenseConditioner(
            1, 6, 4, lipschitz=1.0, dtype=tf.float64
        )),
        tail_bound=math.inf,
    ),
    (3,),
)


def in_ball(x, points, radii):
  """Points moved into the balls of a radius around `x`."""
  d = points - x
  axes = tuple(range(1, d.ndim))
  size = np.sqrt(np.sum(d**2, axis=axes, keepdims=True))
  return x + d * np.minimum(1.0, radii / np.maximum(size, 1e-300))


def climb(function, x, radii, rng, steps=STEPS):
  """Pairs in balls, climbing `log |f(a) - f(b)| - log |a - b|`."""
  shape = x.shape
  a, b = (
      in_ball(x, x + radii * rng.normal(size=shape) / math.sqrt(x[0].size)
              * rng.uniform(0, 2, size=(len(x), *[1] * (x.ndim - 1))), radii)
      for _ in range(2)
  )
  worst = np.zeros(len(x))
  for _ in range(steps):
    a, b = tf.constant(a), tf.constant(b)
    with tf.GradientTape() as tape:
      tape.watch([a, b])
      axes = list(range(1, len(shape)))
      flat = tf.reshape(function(tf.concat([a, b], 0)), [2, len(x), -1])
      moved = tf.reduce_sum(tf.square(flat[0] - flat[1]), axis=-1)
      gap = tf.reduce_sum(tf.square(a - b), axis=axes)
      value = tf.reduce_sum(tf.math.log(moved + 1e-300))
      value -= tf.reduce_sum(tf.math.log(gap))
    # Rounding of the values, and of the gaps between them.
    size = np.max(np.abs(flat), axis=(0, 2)) + np.abs(x).reshape(
        [len(x), -1]
    ).max(axis=1) + 1.0
    worst = np.maximum(
        worst,
        (np.sqrt(moved) - 1e-12 * size) / np.sqrt(gap),
    )
    new = []
    for point, gradient in zip((a, b), tape.gradient(value, [a, b]),
                               strict=True):
      gradient = np.nan_to_num(gradient)
      size = np.sqrt(np.sum(gradient**2, axis=tuple(axes), keepdims=True))
      step = 0.5 * radii * gradient / np.maximum(size, 1e-300)
      new.append(in_ball(x, point.numpy() + step, radii))
    a, b = new
    # Those that have met begin anew.
    met = np.all(a == b, axis=tuple(axes))
    b[met] = in_ball(
        x, x + radii * rng.normal(size=shape), radii
    )[met]
  return worst


def centers(bijector, shape, rng):
  """Events of all sizes, within the range of the bijector."""
  z = rng.normal(size=(CENTERS, *bijector.inverse_event_shape(shape)))
  z *= np.exp(rng.uniform(-4, 2, size=(CENTERS, *[1] * (z.ndim - 1))))
  if not isinstance(bijector, (tfb.Log, tfb.Softplus)):
    return np.asarray(bijector.forward(tf.constant(z)))
  return np.asarray(bijector.forward(tf.constant(np.abs(z) + 1e-3)))


@pytest.mark.parametrize('name', LAYERS)
def test_constants_hold_between_any_two_events_of_a_ball(name, rng):
  make, shape = LAYERS[name]
  bijector = make()
  x = centers(bijector, shape, rng)
  radii = np.resize(RADII, CENTERS)
  found = fo.lipschitz.lipschitz_bounds(
      bijector, region=fo.lipschitz.Ball(tf.constant(x), radii)
  )
  everywhere = fo.lipschitz.lipschitz_bounds(bijector)
  assert np.all(found.inverse <= everywhere.inverse)
  assert np.all(found.forward <= everywhere.forward)
  z = np.asarray(bijector.inverse(tf.constant(x)))
  for function, center, radius, constant in (
      (bijector.inverse, x, radii, found.inverse),
      (bijector.forward, z, radii * np.asarray(found.inverse), found.forward),
  ):
    # Where a ball leaves the range of a curve there is no constant.
    inside = np.isfinite(constant) & np.isfinite(radius) & (radius < 1e3)
    pairs = PAIRS_OF_FLOWS if any(kind in name for kind in FLOWS) else PAIRS
    count = pairs if inside.any() else 0
    center, radius, constant = (
        np.repeat(np.asarray(v)[inside], count, axis=0)
        for v in (center, radius, constant)
    )
    if not count:
      continue
    with fo.lipschitz.frozen(bijector):
      worst = climb(
          function, center, radius.reshape([-1, *[1] * (center.ndim - 1)]), rng
      )
    assert np.all(worst <= constant * (1 + 1e-9)), (worst / constant).max()


@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize('direction', ['inverse', 'forward'])
@pytest.mark.parametrize('more', [(), (3,)], ids=['', 'of several parts'])
def test_errors_and_log_determinants_of_a_layer(name, direction, more, rng):
  """`f(y + d) - f(y) - M d` and the log-determinant, within their bounds.

  And what the log-determinant changes beyond its own linear part. Events may
  have more dimensions than the layer needs.
  """
  make, shape = LAYERS[name]
  shape = *more, *shape
  bijector = make()
  local = maps.local_map(bijector)
  x = centers(bijector, shape, rng)
  if direction == 'forward':
    x = np.asarray(bijector.inverse(tf.constant(x)))
  radii = np.resize(RADII, CENTERS)
  repeat = PAIRS if len(shape) == 1 else 16
  x, radii = np.repeat(x, repeat, axis=0), np.repeat(radii, repeat)
  d = rng.normal(size=x.shape)
  size = np.sqrt(np.sum(d**2, axis=tuple(range(1, x.ndim)), keepdims=True))
  wide = radii.reshape([-1, *[1] * (x.ndim - 1)])
  d *= wide / size * rng.choice([1.0, 0.999999, 0.5], size=size.shape)
  center, errors = tf.constant(x), []

  def evaluate(points):
    point = tf.concat(points, axis=0)
    value = getattr(bijector, direction)(tf.identity(point))
    log_det = getattr(bijector, f'{direction}_log_det_jacobian')(
        tf.identity(point), event_ndims=x.ndim - 1
    )
    log_det = np.broadcast_to(log_det, [2 * len(x)])
    return *np.split(np.asarray(value), 2), *np.split(log_det, 2)

  changes = []

  def value_of(center):
    errors.clear()
    reach = balls.Reach(center, tf.constant(radii), None, errors)
    changes.append(getattr(local, direction)(reach))
    return changes[-1].value

  linear = linearization.Linearization(value_of, center).jvp(tf.constant(d))
  linear = linear.numpy()
  with tf.GradientTape() as tape:
    tape.watch(center)
    value_of(center)
    change = changes[-1]
    total = tf.reduce_sum(change.log_det)
  gradient = tape.gradient(
      total, center, unconnected_gradients=tf.UnconnectedGradients.ZERO
  )
  linear_step = np.sum(gradient * d, axis=tuple(range(1, x.ndim)))
  value, moved, log_det, moved_log_det = evaluate([center, center + d])
  np.testing.assert_allclose(change.value, value, atol=1e-9, rtol=1e-9)
  np.testing.assert_allclose(change.log_det, log_det, atol=1e-9, rtol=1e-9)
  rounding = 1e-10 * (1 + np.abs(log_det) + np.abs(moved_log_det))
  inside = np.isfinite(moved_log_det) & np.isfinite(log_det)
  step = moved_log_det - log_det
  assert np.all((step <= change.high + rounding)[inside])
  assert np.all((step >= change.low - rounding)[inside])
  # The parts of a composition are each linear of another one's values.
  low, high = change.rest
  if len(errors) < 2:
    beyond = step - linear_step
    assert np.all((beyond <= high + rounding)[inside])
    assert np.all((beyond >= low - rounding)[inside])
  if len(errors) > 1:
    return  # those of a composition are weighed, elsewhere
  rest = (moved - value - linear).reshape([len(x), -1])
  allowed = errors[0][1].numpy() if errors else np.zeros(len(x))
  rounding = 1e-11 * (1 + np.abs(value).reshape([len(x), -1]).max(axis=1))
  rounding += 1e-11 * np.nan_to_num(np.abs(moved)).reshape(
      [len(x), -1]
  ).max(axis=1)
  found = np.sqrt(np.sum(rest**2, axis=1))
  inside &= np.isfinite(found)
  assert np.all((found <= allowed * (1 + 1e-9) + rounding)[inside])


def test_where_no_constant_holds_everywhere_there_is_one_in_a_ball(rng):
  make, shape = LAYERS['AffineCoupling, infinite tails']
  bijector = make()
  x = tf.constant(rng.normal(size=(5, *shape)))
  assert fo.lipschitz.lipschitz_bounds(bijector) == (math.inf, math.inf)
  ball = fo.lipschitz.Ball(x, 0.1)
  for constant in fo.lipschitz.lipschitz_bounds(bijector, region=ball):
    assert np.all(constant < 20.0)


@pytest.mark.parametrize('seed, condition', [(18, 1e5), (20, 1e6), (21, 1e6)])
def test_matrices_that_cancel_round(seed, condition):
  """The product is near the identity, its factors are not."""
  rng, size = np.random.default_rng(seed), 8
  # Draws of which the rounding is known to be unlucky.
  *_, left, right = (
      np.linalg.qr(rng.normal(size=(size, size)))[0]
      for _ in range(4 if condition < 1e6 else 6)
  )
  values = np.geomspace(condition, 1.0, size)
  first, second = (
      fo.bijectors.InvertibleConv1x1(size, event_ndims=1, trainable=False)
      for _ in range(2)
  )
  first.initialize(left, values, right)
  second.initialize(right, 1.0 / values, left)

  def matrix(part):
    u, log_s, v = (
        np.float64(t)
        for t in (
            part._left._base, part._log_singular_values._anchor,
            part._right._base,
        )
    )
    return u @ np.diag(np.exp(log_s)) @ v.T

  found = fo.lipschitz.lipschitz_bounds(
      fo.bijectors.Sequential([first, second]),
      region=fo.lipschitz.Ball(np.zeros([1, size], np.float32), 1.0),
  )
  true = np.linalg.svd(matrix(second) @ matrix(first), compute_uv=False)
  assert true[0] <= found.inverse
  assert 1.0 / true[-1] <= found.forward


def test_matrices_do_not_feel_a_shift(rng):
  """In float32 beside a shift of 1e6 no difference of values has digits."""
  conv = fo.bijectors.InvertibleConv1x1(4, event_ndims=1)
  conv.initialize(
      left=registry.rotation(4, 0), singular_values=[0.1, 1.0, 2.0, 9.0],
      shift=[1e6, -1e6, 3e6, 0.0],
  )
  ((forward, inverse),) = skeleton.matrices_of([maps.local_map(conv)])
  np.testing.assert_allclose(forward @ inverse, np.eye(4), atol=1e-5)
  found = np.linalg.svd(inverse, compute_uv=False)
  np.testing.assert_allclose(sorted(found), [0.1, 1.0, 2.0, 9.0], rtol=1e-5)


@pytest.fixture(scope='module', name='flows')
def _flows():
  """Events, and flows: without constants, and with; and what bounds them."""
  x = np.random.default_rng(0).normal(size=(200, 8, 8, 1))
  found = []
  for bounds in (
      {'conditioner_lipschitz': math.inf, 'lipschitz_budget': None}, {}
  ):
    flow = fo.image_flow(
        [8, 8, 1], num_levels=2, num_steps=1, hidden_channels=4,
        dtype=tf.float64, tile_sizes=(2,), **bounds,
    )
    fo.initialize_at_optimum(flow, x)
    found.append((
        flow,
        fo.diagnostics.CertifiedLogProb(flow),
        constants.LocalBounds(flow.bijector),
        fo.lipschitz.lipschitz_bounds(flow.bijector),
    ))
  return x[:3], found


def test_no_constants_and_huge_balls_are_no_nan(flows):
  """Bounds are infinite where nothing is known, and exact at radius 0."""
  x, found = flows
  radii = np.repeat([0.0, 1e3, 1e11, 1e30], len(x))
  none = radii == 0
  x = np.tile(x, [4, 1, 1, 1])
  for flow, certified, within, everywhere in found:
    at = flow.log_prob(x)
    lower, upper = certified(x, radii)
    assert np.all(lower <= at + 1e-9) and np.all(at - 1e-9 <= upper)
    for local, constant in zip(
        within(fo.lipschitz.Ball(x, radii)), everywhere, strict=True
    ):
      assert np.all(local <= constant)
    np.testing.assert_allclose(lower[none], upper[none], rtol=1e-9)
    if everywhere.inverse == math.inf:
      assert np.all(np.isinf(lower[~none])) and np.all(np.isinf(upper[~none]))
