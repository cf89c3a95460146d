"""`certified_log_prob`: nobody finds an event of a ball that leaves it."""

import math

import numpy as np
import pytest
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions
KINDS = ['affine', 'spline', 'autoregressive', 'residual', 'convex']


def vector_flow(rng, coupling='spline', budget=2.0, conditioning=None):
  x = rng.normal(size=(300, 4))
  x[:, 1] += 0.5 * x[:, 0] ** 2
  c = None if conditioning is None else rng.integers(3, size=300)
  distribution = fo.vector_flow(
      4, num_steps=3, hidden_units=8, coupling=coupling, dtype=tf.float64,
      lipschitz_budget=budget, conditioning=conditioning,
      gaussianize_marginals=False,
  )
  fo.initialize_at_optimum(distribution, x, conditioning=c)
  registry.randomize(distribution.bijector.steps, 0.2)
  return distribution, x, c


def image_flow(rng):
  smooth = np.cumsum(rng.normal(size=(60, 8, 8, 2)), axis=1) / 4.0
  distribution = fo.image_flow(
      [8, 8, 2], num_levels=2, num_steps=2, hidden_channels=8,
      tile_sizes=(2,), dtype=tf.float64, lipschitz_budget=2.0,
  )
  fo.initialize_at_optimum(distribution, smooth)
  registry.randomize(distribution.bijector.levels[0].repeated_steps, 0.1)
  return distribution, smooth


def attack(log_prob, x, radius, steps, rng):
  """The least and the most that projected gradient steps find in balls.

  Both at once: the first half of the points goes down, the other one up.

  Args:
    log_prob: Function of `[2 N] + event`, with a gradient.
    x: Centers of the balls, `[N] + event`.
    radius: Of all of them, or `[N]`.
    steps: How many.
    rng: Draws the first points.
  """
  axes = tuple(range(1, x.ndim))

  def unit(v):
    return v / np.maximum(
        np.sqrt(np.sum(v**2, axis=axes, keepdims=True)), 1e-300
    )

  def each(v):
    return np.reshape(v, [-1, *[1] * (x.ndim - 1)])

  @tf.function(autograph=False)
  def value_and_gradient(point):
    with tf.GradientTape() as tape:
      tape.watch(point)
      value = log_prob(point)
    return value, tape.gradient(value, point)

  sign = np.repeat([-1.0, 1.0], len(x))
  radius = each(np.tile(np.broadcast_to(radius, [len(x)]), 2))
  x = np.concatenate([x, x])
  point = x + radius * unit(rng.normal(size=x.shape)) * each(
      rng.uniform(size=len(x))
  )
  best = np.full(len(x), -np.inf)
  for _ in range(steps):
    value, gradient = value_and_gradient(tf.constant(point))
    best = np.maximum(best, sign * value)
    d = point + radius * unit(each(sign) * gradient.numpy()) - x
    size = np.sqrt(np.sum(d**2, axis=axes, keepdims=True))
    point = x + d * np.minimum(1.0, radius / np.maximum(size, 1e-300))
  return np.split(sign * best, 2)


def check(distribution, x, rng, conditioning=None, repeat=8, steps=8):
  """No violation of `repeat` restarts, at radii of any size."""
  radii = np.repeat([0.0, 1e-5, 1e-2, 1.0], len(x))
  num = len(x)

  def copies(v, times):
    return None if v is None else np.concatenate([v] * times)

  certified = fo.diagnostics.CertifiedLogProb(distribution)
  lower, upper = certified(copies(x, 4), radii, copies(conditioning, 4))
  kwargs = {} if conditioning is None else {'conditioning': conditioning}
  at = distribution.log_prob(tf.constant(x), bijector_kwargs=kwargs)
  np.testing.assert_allclose(lower[:num], at, rtol=1e-9)
  np.testing.assert_allclose(upper[:num], at, rtol=1e-9)
  # Of each radius that is not 0.
  lower, upper = lower[num:], upper[num:]
  assert np.all(lower < upper)
  given = {k: copies(v, 2 * 3 * repeat) for k, v in kwargs.items()}
  least, most = attack(
      lambda y: distribution.log_prob(y, bijector_kwargs=given),
      copies(x, 3 * repeat),
      copies(radii[num:], repeat),
      steps,
      rng,
  )
  rounding = 1e-9 * (1 + np.abs(least))
  assert np.all(least >= copies(lower, repeat) - rounding)
  assert np.all(most <= copies(upper, repeat) + rounding)


@pytest.mark.parametrize('coupling', KINDS)
def test_flows_of_vectors(coupling, rng):
  distribution, x, _ = vector_flow(rng, coupling)
  far = 5.0 * rng.normal(size=(8, 4))
  check(distribution, np.concatenate([x[:24], far]), rng)


def test_a_flow_of_vectors_given_a_class(rng):
  distribution, x, c = vector_flow(rng, conditioning=3)
  check(distribution, x[:16], rng, tf.constant(c[:16]))


def test_a_flow_of_images(rng):
  distribution, images = image_flow(rng)
  noise = rng.normal(size=(4, 8, 8, 2))
  check(distribution, np.concatenate([images[:4], noise]), rng, repeat=8)


def test_an_inverted_flow_and_a_support(rng):
  distribution, _, _ = vector_flow(rng)
  base = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [4])
  bijector = tfb.Chain([
      tfb.Softplus(), tfb.Invert(distribution.bijector)
  ])
  inverted = tfd.TransformedDistribution(base, bijector)
  x = inverted.sample(12, seed=[0, 1])
  check(inverted, x.numpy() + 1.5, rng)


@pytest.mark.parametrize('signs', [1.0, np.array([1.0, -1.0, -1.0])])
def test_a_function_of_the_norm(signs, rng):
  """Of slopes above 1 near 0, and below; after a network and without."""
  radial = fo.bijectors.RadialScaling(
      num_terms=3, num_groups=1, event_ndims=1, slope_bound=3.0,
      dtype=tf.float64,
  )
  radial.initialize(
      signs * rng.uniform(0.5, 2.5, size=3), np.exp(rng.normal(size=3))
  )
  linear = fo.bijectors.InvertibleConv1x1(4, dtype=tf.float64, event_ndims=1)
  linear.initialize(
      left=registry.rotation(4, 0), singular_values=[2.0, 0.5, 1.0, 0.1]
  )
  for parts in (
      [linear, radial],
      [tfb.Softplus(), linear, radial],
      [vector_flow(rng)[0].bijector, radial],
      # Not the last one: values and log-determinants are linearised.
      [linear, radial, linear],
  ):
    distribution = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [4]),
        tfb.Chain(parts),
    )
    certified = fo.diagnostics.CertifiedLogProb(distribution)
    assert (certified._radial is not None) == (parts[-1] is radial)
    # Inside of the support of each, as far as balls reach.
    x = np.abs(rng.normal(size=(8, 4))) * np.exp(rng.normal(size=(8, 1))) + 1.1
    check(distribution, x, rng)
    if len(parts) == 2 and parts[0] is linear:
      traced = tf.function(certified, autograph=False)
      lower, upper = traced(tf.constant(x), 0.0)
      np.testing.assert_allclose(lower, distribution.log_prob(x), rtol=1e-9)
      np.testing.assert_allclose(upper, lower, rtol=1e-9)


@pytest.mark.parametrize('traced', [False, True])
def test_what_is_not_linear_counts(traced, rng):
  """Of a map that is known by its constants alone, all of it is an error."""
  bijector = tfb.ScaleMatvecTriL(
      tf.constant([[0.5, 0.0], [0.3, 0.2]], tf.float64)
  )
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [2]), bijector
  )
  x = tf.constant(rng.normal(size=(20, 2)))
  certified = fo.diagnostics.CertifiedLogProb(distribution)
  if traced:
    certified = tf.function(certified, autograph=False)
  radius = 1e-4
  lower, upper = certified(x, tf.constant(radius, tf.float64))
  with tf.GradientTape() as tape:
    tape.watch(x)
    log_prob = distribution.log_prob(x)
  slope = tf.norm(tape.gradient(log_prob, x), axis=-1)
  assert np.all(lower <= log_prob - 0.99 * radius * slope)
  assert np.all(upper >= log_prob + 0.99 * radius * slope)


def test_the_closed_form_is_exact(rng):
  """A normal distribution: its least density in a ball, by Lagrange."""
  x = rng.normal(size=(400, 3)) @ np.diag([1.0, 0.3, 2.0])
  distribution = fo.likelihood_optimum(tf.constant(x)).distribution()
  radius = 0.05
  lower, upper = fo.diagnostics.certified_log_prob(
      distribution, tf.constant(x[:50]), radius
  )
  least, most = attack(
      distribution.log_prob,
      np.repeat(x[:50], 20, axis=0),
      radius,
      60,
      rng,
  )
  least = least.reshape([50, 20]).min(axis=1)
  most = most.reshape([50, 20]).max(axis=1)
  assert np.all(lower <= least + 1e-9) and np.all(upper >= most - 1e-9)
  # What is lost is second order: `(K r)^2 / 2` on both sides together.
  constant = fo.lipschitz.lipschitz_bounds(distribution.bijector).inverse
  loss = (upper - lower) - (most - least)
  assert np.all(loss <= (constant * radius) ** 2 * 1.01)


def test_widths_shrink_with_the_radius_and_with_the_budget(rng):
  widths = {}
  for budget in (0.5, 4.0):
    distribution, x, _ = vector_flow(rng, 'affine', budget)
    certified = fo.diagnostics.CertifiedLogProb(distribution)
    for radius in (1e-4, 1e-3):
      lower, upper = certified(tf.constant(x[:20]), radius)
      widths[budget, radius] = np.median(upper - lower)
  for budget in (0.5, 4.0):
    assert widths[budget, 1e-4] < 0.15 * widths[budget, 1e-3]
  assert widths[0.5, 1e-3] < widths[4.0, 1e-3]


def test_in_a_graph_and_with_batch_dimensions(rng):
  distribution, x, _ = vector_flow(rng)
  certified = fo.diagnostics.CertifiedLogProb(distribution)
  radii = rng.uniform(0.0, 0.1, size=(2, 3))
  events = tf.constant(x[:6].reshape([2, 3, 4]))
  function = tf.function(
      certified,
      input_signature=[
          tf.TensorSpec([None, 3, 4], tf.float64),
          tf.TensorSpec([None, 3], tf.float64),
      ],
  )
  for got, wanted in zip(
      function(events, tf.constant(radii)), certified(events, radii),
      strict=True,
  ):
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    assert got.shape == [2, 3]


def test_a_box_is_the_ball_through_its_corners(rng):
  distribution, x, _ = vector_flow(rng)
  half = np.array([0.1, 0.0, 0.2, 0.2])
  box = fo.lipschitz.Box(x[:3] - half, x[:3] + half)
  ball = fo.lipschitz.Ball(tf.constant(x[:3]), 0.3)
  for of_box, of_ball in zip(
      *(fo.lipschitz.lipschitz_bounds(distribution.bijector, region=region)
        for region in (box, ball)),
      strict=True,
  ):
    np.testing.assert_allclose(of_box, of_ball, rtol=1e-9)


def test_neighbouring_linear_maps_are_one():
  """A rotation undone: the product is an isometry, the factors are not."""
  rng = np.random.default_rng(0)
  matrix, scales = registry.rotation(5, 0), np.exp(rng.normal(size=5))
  there, back = (
      fo.bijectors.InvertibleConv1x1(5, dtype=tf.float64, event_ndims=1)
      for _ in range(2)
  )
  there.initialize(left=matrix, singular_values=scales)
  back.initialize(left=np.eye(5), singular_values=1 / scales, right=matrix.T)
  flow = fo.bijectors.Sequential([there, back])
  x = tf.constant(rng.normal(size=(2, 5)))
  ball = fo.lipschitz.Ball(x, 0.1)
  local = fo.lipschitz.lipschitz_bounds(flow, region=ball)
  jacobian = flow.inverse(tf.eye(5, dtype=tf.float64)) - flow.inverse(
      tf.zeros([1, 5], tf.float64)
  )
  found = np.linalg.svd(jacobian, compute_uv=False)
  np.testing.assert_allclose(local.inverse, found.max(), rtol=1e-8)
  np.testing.assert_allclose(local.forward, 1.0 / found.min(), rtol=1e-8)
  assert math.prod(fo.lipschitz.lipschitz_bounds(flow)) > 2.0


def test_what_travels_on_is_amplified_least(rng):
  """Levels: the product of linear maps, not that of their norms."""
  smooth = rng.normal(size=(60, 16, 16, 1))
  for axis in (1, 2):
    smooth = np.cumsum(smooth, axis=axis) / 4.0
  distribution = fo.image_flow(
      [16, 16, 1], num_levels=3, num_steps=2, hidden_channels=8, tile_sizes=(),
      dtype=tf.float64, lipschitz_budget=1e-3, whitening='pointwise',
  )
  fo.initialize_at_optimum(distribution, smooth)
  bijector, x = distribution.bijector, tf.constant(smooth[:2])
  ball = fo.lipschitz.Ball(x, 1e-6)
  local = fo.lipschitz.lipschitz_bounds(bijector, region=ball)
  everywhere = fo.lipschitz.lipschitz_bounds(bijector)
  found = np.linalg.svd(
      jacobians.jacobian_of(bijector.inverse)(x), compute_uv=False
  )
  measured = {'forward': 1.0 / found[:, -1], 'inverse': found[:, 0]}
  for name in ('forward', 'inverse'):
    bound = getattr(local, name)
    assert np.all(bound >= measured[name] * (1 - 1e-9))
    assert np.all(bound <= getattr(everywhere, name))
  assert np.all(local.inverse < 0.6 * everywhere.inverse)


@pytest.mark.parametrize('radius', [0.0, 1e-9, 0.1])
def test_estimates_are_no_densities(radius, rng):
  """The bounds are those of the exact density, also in the point itself."""
  network = registry.randomize(
      fo.networks.DenseConditioner(3, 8, 3, lipschitz=0.9, dtype=tf.float64)
  )
  x = tf.constant(rng.normal(size=[20, 3]))
  exact, *estimated = (
      tfd.TransformedDistribution(
          tfd.MultivariateNormalDiag(tf.zeros([3], tf.float64)),
          fo.bijectors.LipschitzResidual(
              network, log_det=log_det, num_terms=2, num_probes=1, seed=3
          ),
      )
      for log_det in ('exact', 'series', 'roulette', 'lanczos')
  )
  truth = exact.log_prob(x)
  for distribution in estimated:
    lower, upper = fo.diagnostics.certified_log_prob(distribution, x, radius)
    assert np.all(lower <= truth) and np.all(truth <= upper)
