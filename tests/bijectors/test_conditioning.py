"""Flows that are conditioned on labels, vectors and feature maps."""

import functools

import numpy as np
import pytest
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions

SIDE, NUM = 4, 3
SPECS = {'labels': 4, 'vectors': [2], 'maps': [SIDE, SIDE, 2]}


def make_flow(
    conditioning, memory='reversible', scale=0.5, num_levels=2, **kwargs
):
  flow = fo.bijectors.ImageFlow(
      [SIDE, SIDE, 2],
      num_levels=num_levels,
      num_steps=2,
      hidden_channels=6,
      tile_sizes=(),
      conditioning=conditioning,
      memory=memory,
      dtype=tf.float64,
      **kwargs,
  )
  registry.randomize(flow, scale, seed=3)
  return flow


def conditions(kind, rng, num=NUM, scale=1.0):
  if kind == 'labels':
    return tf.constant(rng.integers(SPECS['labels'], size=[num]))
  return tf.constant(scale * rng.normal(size=[num, *SPECS[kind]]))


@pytest.fixture(name='x')
def _x(rng):
  return tf.constant(rng.normal(size=[NUM, SIDE, SIDE, 2]))


def jacobian_of(flow):
  """Of `inverse`, a function of images and conditions."""
  return jacobians.jacobian_of(
      lambda x, c: flow.inverse(x, conditioning=c)
  )


@pytest.mark.parametrize('kind', SPECS)
def test_each_condition_makes_a_flow(kind, x, rng):
  flow, c = make_flow(SPECS[kind], memory='stored'), conditions(kind, rng)
  z = flow.inverse(x, conditioning=c)
  log_det = flow.inverse_log_det_jacobian(x, conditioning=c)
  _, expected = np.linalg.slogdet(jacobian_of(flow)(x, c))
  np.testing.assert_allclose(log_det, expected, rtol=1e-9)
  back = flow.forward(tf.identity(z), conditioning=c)
  np.testing.assert_allclose(back, x, atol=1e-12)
  np.testing.assert_allclose(
      flow.forward_log_det_jacobian(tf.identity(z), conditioning=c),
      -expected,
      rtol=1e-9,
  )
  for i in range(NUM):
    alone = flow.inverse(x[i : i + 1], conditioning=c[i : i + 1])
    np.testing.assert_allclose(alone, z[i : i + 1], rtol=1e-12)


@pytest.mark.parametrize('kind', SPECS)
def test_results_of_one_condition_are_not_found_for_another(kind, x, rng):
  flow = make_flow(SPECS[kind])
  c = conditions(kind, rng)
  other = (c + 1) % SPECS['labels'] if kind == 'labels' else c + 1.0
  z, z_other = (flow.inverse(x, conditioning=k) for k in (c, other))
  log_dets = [
      flow.inverse_log_det_jacobian(x, conditioning=k) for k in (c, other)
  ]
  assert np.all(np.max(np.abs(z - z_other), axis=-1) > 1e-3)
  assert np.all(np.abs(log_dets[0] - log_dets[1]) > 1e-6)


def test_a_label_is_a_bias(rng):
  """A network with the label's row in its first biases is the same."""
  network, plain = (
      fo.networks.ConvConditioner(2, 6, 4, conditioning_channels=n, seed=1)
      for n in (3, 0)
  )
  embedding = network._embedding._kernel
  assert embedding.shape == [1, 1, 3, 6]
  pairs = zip(
      [v for v in network.variables if v is not embedding],
      plain.variables,
      strict=True,
  )
  for i, (variable, other) in enumerate(pairs):
    value = tf.random.stateless_normal(variable.shape, [0, i])
    variable.assign(value)
    other.assign(value)
  plain._first._bias.assign_add(embedding[0, 0, 2])
  x = tf.constant(rng.normal(size=[5, 4, 4, 2]), tf.float32)
  one_hot = tf.one_hot([2], 3)[:, tf.newaxis, tf.newaxis]
  np.testing.assert_allclose(network(x, one_hot), plain(x), atol=1e-5)
  assert np.max(np.abs(network(x) - plain(x))) > 0.01


def loss_and_gradients(flow, x, c):
  sources = [x, *flow.trainable_variables]
  if c.dtype.is_floating:
    sources.append(c)
  with tf.GradientTape() as tape:
    tape.watch([x, c])
    z, log_det = fo.bijectors.inverse_and_log_det(flow, x, c)
    loss = tf.reduce_sum(tf.sin(z)) + tf.reduce_sum(log_det**2)
  return loss, tape.gradient(loss, sources)


@pytest.mark.parametrize('kind', SPECS)
def test_gradients_that_walk_back(kind, x, rng):
  c = conditions(kind, rng)
  # A second level sees another condition only if that is a map.
  num_levels = 2 if kind == 'maps' else 1
  stored = make_flow(SPECS[kind], memory='stored', num_levels=num_levels)
  expected = loss_and_gradients(stored, x, c)
  assert all(g is not None for g in expected[1])
  # None is exact enough for the second one: it keeps inputs instead.
  for tolerance in (1e-4, 1e-30) if kind == 'maps' else (1e-4,):
    flow = make_flow(SPECS[kind], tolerance=tolerance, num_levels=num_levels)
    function = functools.partial(loss_and_gradients, flow)
    if kind != 'labels':  # which are vectors: as those, but not in a graph
      function = tf.function(function, autograph=False)
    loss, gradients = function(x, c)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
    for actual, desired in zip(gradients, expected[1], strict=True):
      np.testing.assert_allclose(actual, desired, rtol=1e-7, atol=1e-9)
    assert (flow.monitor.num_fallbacks > 0) == (tolerance < 1e-20)


@pytest.mark.parametrize('kind', ['vectors', 'maps'])
def test_gradient_of_the_condition_by_differences(kind, x, rng):
  flow, c = make_flow(SPECS[kind]), conditions(kind, rng)
  direction = tf.constant(rng.normal(size=c.shape))
  _, gradients = loss_and_gradients(flow, x, c)
  epsilon = 1e-6
  above, below = (
      loss_and_gradients(flow, x, c + sign * epsilon * direction)[0]
      for sign in (1.0, -1.0)
  )
  np.testing.assert_allclose(
      tf.reduce_sum(gradients[-1] * direction),
      (above - below) / (2.0 * epsilon),
      rtol=1e-6,
  )


@pytest.mark.parametrize('kind', SPECS)
def test_constants_hold_for_any_condition(kind, x, rng):
  flow = make_flow(SPECS[kind], memory='stored', scale=3.0)
  certified = fo.lipschitz.lipschitz_bounds(flow)
  jacobian = jacobian_of(flow)
  for scale in (0.1, 10.0, 1e3):
    c = conditions(kind, rng, scale=scale)
    values = np.linalg.svd(jacobian(x, c), compute_uv=False)
    assert values.max() <= certified.inverse
    assert 1.0 / values.min() <= certified.forward


def test_a_new_flow_does_not_depend_on_its_condition(x):
  flow = make_flow(SPECS['labels'], scale=0.0)
  z = [flow.inverse(x, conditioning=tf.fill([NUM], k)) for k in (0, 3)]
  np.testing.assert_allclose(*z, rtol=1e-14)


def test_coarse_levels_see_averages(x, rng):
  flow, c = make_flow(SPECS['maps']), conditions('maps', rng)
  checkers = np.indices([SIDE, SIDE]).sum(0) % 2 * 2.0 - 1.0
  same = c + checkers[:, :, np.newaxis]
  np.testing.assert_allclose(
      flow.inverse(x, conditioning=same),
      flow.inverse(x, conditioning=c),
      rtol=1e-12,
  )


def test_distribution(rng):
  flow = make_flow(SPECS['labels'])
  zero = tf.zeros([], tf.float64)
  base = tfd.Sample(tfd.Normal(zero, 1.0), [flow.event_size])
  distribution = tfd.TransformedDistribution(base, flow)
  labels = tf.constant(rng.integers(4, size=[2, 3]))
  kwargs = {'bijector_kwargs': {'conditioning': labels}}
  samples = distribution.sample([2, 3], seed=[0, 1], **kwargs)
  assert samples.shape == [2, 3, SIDE, SIDE, 2]
  x = tf.identity(samples)
  z = flow.inverse(x, conditioning=labels)
  log_prob = distribution.log_prob(tf.identity(x), **kwargs)
  expected = base.log_prob(z) + flow.inverse_log_det_jacobian(
      tf.identity(x), conditioning=labels
  )
  np.testing.assert_allclose(log_prob, expected, rtol=1e-12)
  # Wrapped, TFP's own way of naming works.
  chain = tfp.bijectors.Chain([tfp.bijectors.Shift(zero), flow])
  np.testing.assert_allclose(
      chain.inverse(x, image_flow={'conditioning': labels}), z, rtol=1e-12
  )


@pytest.mark.parametrize(
    ('kind', 'value', 'error', 'message'),
    [
        ('labels', None, ValueError, 'labels from 0 to 3; with a distribution'),
        ('labels', [0.0, 1.0, 2.0], ValueError, 'must be integer labels'),
        (
            'labels',
            [0, 1, 4],
            tf.errors.InvalidArgumentError,
            'must be labels from 0 to 3',
        ),
        (
            'labels',
            [0, -1, 2],
            tf.errors.InvalidArgumentError,
            'must be labels from 0 to 3',
        ),
        ('vectors', np.zeros([NUM, 3]), ValueError, r'of shape \[..., 2\]'),
        ('vectors', 1.0, ValueError, r'of shape \[..., 2\]'),
        ('maps', np.zeros([NUM, 2, 2, 2]), ValueError, r'got shape \(3, 2'),
        ('labels', [0, 1], ValueError, r'got \(2,\) of them .* shape \(3,'),
        ('labels', [[0], [1], [2]], ValueError, r'got \(3, 1\) of them'),
        ('vectors', np.zeros([4, 2]), ValueError, r'got \(4,\) of them'),
        (None, [0, 1, 2], ValueError, 'was made without it'),
    ],
)
def test_wrong_conditions(kind, value, error, message, x):
  flow = make_flow(SPECS.get(kind))
  with pytest.raises(error, match=message):
    flow.inverse(x, conditioning=value)


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.int16, np.uint64])
def test_labels_of_any_integer_type(dtype, x):
  """Even where it holds no number of classes."""
  flow = make_flow(np.int64(256))
  labels = np.array([1, 0, 127])
  np.testing.assert_array_equal(
      flow.inverse(x, conditioning=labels.astype(dtype)),
      flow.inverse(tf.identity(x), conditioning=labels),
  )


@pytest.mark.parametrize('spec', [0, [0], [2, 2, 1], [1.5], 'digits', []])
def test_wrong_specifications(spec):
  with pytest.raises(ValueError, match='Argument `conditioning` must be'):
    make_flow(spec)


def test_a_coupling_says_what_it_does_not_take(x):
  coupling = fo.bijectors.AdditiveCoupling(lambda first: first)
  with pytest.raises(ValueError, match='no `conditioning_channels`'):
    coupling.inverse(x, conditioning=x)
  network = fo.networks.ConvConditioner(1, 2, 1)
  with pytest.raises(ValueError, match='`conditioning_channels=0`'):
    network(tf.zeros([1, 2, 2, 1]), tf.zeros([1, 1, 1, 1]))


def distribution_of(flow):
  zero = tf.zeros([], tf.float64)
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(zero, 1.0), [flow.event_size]), flow
  )


# Local constants take a graph a layer, of the same maps for all conditions.
@pytest.mark.parametrize(('kind', 'num_levels', 'num_local_images'), [
    ('maps', 1, 1), ('labels', 1, 0), ('labels', 2, 0), ('vectors', 2, 0)
])
def test_layer_report(x, rng, kind, num_levels, num_local_images):
  flow = make_flow(SPECS[kind], num_levels=num_levels)
  c = conditions(kind, rng)
  layers = fo.diagnostics.layer_report(
      distribution_of(flow),
      x,
      num_local_images=num_local_images,
      num_steps=8,
      bijector_kwargs={'conditioning': c},
  )
  np.testing.assert_allclose(
      sum(layer.log_det for layer in layers),
      tf.reduce_mean(flow.inverse_log_det_jacobian(x, conditioning=c)),
      rtol=1e-9,
  )
  for layer in layers if num_local_images else ():
    assert -layer.certified_forward <= layer.local_inverse
    assert layer.local_inverse <= layer.certified_inverse
    assert -layer.certified_inverse <= layer.local_forward
    assert layer.local_forward <= layer.certified_forward


@pytest.mark.parametrize('kind', ['labels', 'maps'])
def test_diagnostics(kind, x, rng):
  """They are those of the flow with its condition."""
  flow = make_flow(SPECS[kind], num_levels=2 if kind == 'maps' else 1)
  c = conditions(kind, rng)
  distribution = distribution_of(flow)
  kwargs = {'bijector_kwargs': {'conditioning': c}}
  diagnostics = fo.diagnostics
  values = np.linalg.svd(jacobian_of(flow)(x, c), compute_uv=False)
  local = diagnostics.local_lipschitz(flow, x, **kwargs)
  np.testing.assert_allclose(local.inverse, values[:, 0], rtol=1e-6)
  np.testing.assert_allclose(local.forward, 1 / values[:, -1], rtol=1e-6)
  z = flow.inverse(tf.identity(x), conditioning=c)
  np.testing.assert_allclose(
      diagnostics.volume_balance(distribution, x, **kwargs),
      np.mean(np.square(z)) - 1.0,
      rtol=1e-9,
  )
  for level in diagnostics.reconstruction_errors(distribution, x, **kwargs):
    assert level.measured < level.bound < 1e-8
