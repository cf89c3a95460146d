"""What Lipschitz bounds say about log-determinants and about rounding."""

import math

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions
lip = fo.lipschitz


@pytest.mark.parametrize('name', registry.ENTRIES)
def test_log_determinants_lie_in_the_range(rng, name):
  entry = registry.ENTRIES[name]
  bijector = entry.make(tf.float64)
  size = int(np.prod(entry.data_shape))
  least, most = lip.lipschitz_bounds(bijector).log_det_range(size)
  assert -math.inf < least <= most < math.inf
  ndims = len(entry.data_shape)
  sizes = np.geomspace(1e-2, 1e4, 40).reshape(-1, *[1] * ndims)
  log_det = bijector.inverse_log_det_jacobian(
      tf.constant(sizes * rng.normal(size=(40, *entry.data_shape))),
      event_ndims=ndims,
  )
  slack = 1e-12 * size
  assert least - slack <= np.min(log_det) <= np.max(log_det) <= most + slack


def test_scalings_attain_the_range_and_the_likelihood():
  scale = tfb.Scale(tf.constant(0.25, tf.float64))
  bounds = lip.lipschitz_bounds(scale)
  # All singular values of the inverse are 4.
  np.testing.assert_allclose(bounds.log_det_range(7), [7 * math.log(4.0)] * 2)
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), 7), scale
  )
  np.testing.assert_allclose(
      distribution.log_prob(tf.zeros([7], tf.float64)),
      bounds.max_log_likelihood(7),
  )


def test_no_image_is_likelier_than_the_bound():
  distribution = fo.image_flow(
      [8, 8, 2], num_levels=1, num_steps=1, hidden_channels=4,
      dtype=tf.float64, lipschitz_budget=1.0,
  )
  registry.randomize(distribution.bijector, 0.2)
  most = lip.lipschitz_bounds(distribution.bijector).max_log_likelihood(128)
  # The mode of the base, where scalings have a cusp, and ascent from nearby.
  mode = distribution.bijector.forward(tf.zeros([1, 128], tf.float64))
  assert distribution.log_prob(tf.identity(mode)) <= most
  start = tf.random.stateless_normal([1, 128], [0, 1], dtype=tf.float64)
  x = tf.Variable(distribution.bijector.forward(start))

  @tf.function
  def ascend():
    with tf.GradientTape() as tape:
      value = distribution.log_prob(tf.identity(x))
    x.assign_add(0.001 * tape.gradient(value, x))
    return value

  values = [float(ascend()[0]) for _ in range(50)]
  assert values[0] < max(values) <= most


def test_infinite_bounds_leave_the_log_determinant_open():
  inf = math.inf
  assert lip.LipschitzBounds(inf, 1.0).log_det_range(3) == (-inf, 0.0)
  assert lip.LipschitzBounds(1.0, inf).log_det_range(3) == (0.0, inf)
  assert lip.LipschitzBounds(1.0, inf).max_log_likelihood(3) == inf
  # `forward` collapses everything: the inverse expands without limit.
  assert lip.lipschitz_bounds(tfb.Scale(0.0)).log_det_range(3) == (inf, inf)
  for size in (0, -1, 2.0, None):
    with pytest.raises(ValueError, match='event_size'):
      lip.LipschitzBounds(1.0, 1.0).log_det_range(size)
  with pytest.raises(ValueError, match='NaN'):
    lip.LipschitzBounds(math.nan, 1.0).log_det_range(3)


class Joined:
  """A layer on the part of a value that travels on; the rest is kept."""

  def __init__(self, layer, size, event_shape):
    self.layer, self.size, self.event_shape = layer, size, event_shape

  def apply(self, name, x):
    first, rest = x[:, : self.size], x[:, self.size :]
    shape = [-1, *self.event_shape]
    y = getattr(self.layer, name)(tf.identity(tf.reshape(first, shape)))
    return tf.concat([tf.reshape(y, [-1, self.size]), rest], axis=1)

  @property
  def bounds(self):
    return lip.lipschitz_bounds(self.layer).beside(lip.LipschitzBounds(1., 1.))


def flat_layers(flow):
  """The layers of an `ImageFlow` as maps of flat events, all levels."""
  layers = []
  for level in flow.levels:
    height, width, channels = level.factor_out.event_shape
    size = height * width * channels
    for part in level.parts:
      # Direction `inverse` squeezes; on the way back the shape is after it.
      before = (
          [2 * height, 2 * width, channels // 4]
          if part in (level.whiten_whole, level.squeeze)
          else [height, width, channels]
      )
      after = before if part is level.whiten_whole else [
          height, width, channels
      ]
      layers.append((Joined(part, size, before), Joined(part, size, after)))
    # What travels on comes first from here.
    entries = np.arange(size).reshape(-1, channels)
    parts = np.split(entries, [channels - level.factor_out.num_factored], 1)
    order = np.concatenate([part.ravel() for part in parts])
    layers.append((Permutation(order), Permutation(np.argsort(order))))
  return layers


class Permutation:
  """Reorders the first entries of flat events."""

  bounds = lip.LipschitzBounds(1.0, 1.0)

  def __init__(self, order):
    self.order = order

  def apply(self, name, x):
    del name
    rest = np.arange(len(self.order), x.shape[1])
    return tf.gather(x, np.concatenate([self.order, rest]), axis=1)


def same_weights(make, scale=0.2):
  """A float32 and a float64 flow, the float32 numbers in both."""
  flows = [make(tf.float32), make(tf.float64)]
  registry.randomize(flows[0], scale)
  for single, double in zip(*(f.variables for f in flows), strict=True):
    double.assign(tf.cast(single, double.dtype))
  return flows


def make_flow(dtype):
  return fo.bijectors.ImageFlow(
      [8, 8, 2],
      num_levels=2,
      num_steps=2,
      hidden_channels=6,
      lipschitz_budget=None,
      tile_sizes=(),
      dtype=dtype,
  )


@pytest.mark.parametrize('scale', [1e-2, 1.0, 1e4])
def test_reconstruction_error_of_a_float32_flow(rng, scale):
  single, double = (flat_layers(flow) for flow in same_weights(make_flow))
  x = tf.constant(scale * rng.normal(size=(20, 128)), tf.float32)
  u, c = 2.0**-24, 16.0

  def check_rounding(slope, before, after, wanted):
    """The assumption: each layer is mixed stable with the default constant."""
    error = np.linalg.norm(after.numpy() - wanted.numpy(), axis=1)
    allowed = slope * np.linalg.norm(before, axis=1) + np.linalg.norm(
        wanted, axis=1
    )
    assert np.all(error <= c * u * allowed)

  values = [x]
  for (layer, _), (exact, _) in zip(single, double, strict=True):
    values.append(layer.apply('inverse', values[-1]))
    wanted = exact.apply('inverse', tf.cast(values[-2], tf.float64))
    check_rounding(exact.bounds.inverse, *values[-2:], wanted)
  back = values[-1]
  for (_, layer), (there, exact) in zip(
      single[::-1], double[::-1], strict=True
  ):
    after = layer.apply('forward', back)
    # float32 rotations are orthogonal up to rounding, so even the float64
    # `forward` is not quite the inverse function of `inverse`: one correction.
    exactly = tf.cast(back, tf.float64)
    there_and_back = there.apply('inverse', exact.apply('forward', exactly))
    wanted = exact.apply('forward', 2.0 * exactly - there_and_back)
    check_rounding(exact.bounds.forward, back, after, wanted)
    back = after
  error = np.linalg.norm(
      back.numpy().astype(np.float64) - x.numpy().astype(np.float64), axis=1
  )
  limit = lip.reconstruction_error_bound(
      [exact.bounds for exact, _ in double],
      [np.linalg.norm(tf.cast(v, tf.float64), axis=1) for v in values],
      tf.float32,
  )
  assert limit.shape == (20,)
  assert np.all((0 < error) & (error <= limit))
  # The layers are the flow.
  np.testing.assert_allclose(
      values[-1],
      same_weights(make_flow)[0].inverse(tf.reshape(x, [20, 8, 8, 2])),
      rtol=1e-4, atol=1e-4 * scale,
  )


def test_the_worst_rounding_of_scalings_attains_the_bound(rng):
  # Layers that scale all of space: the errors can all point one way.
  scales = np.exp(rng.normal(size=6))
  c, u = 16.0, 2.0**-24
  worst = c * u
  values = [np.array([3.0])]
  for scale in scales:
    exact = values[-1] / scale
    values.append(exact * (1 + 2 * worst))
  back = values[-1]
  for scale in scales[::-1]:
    back = back * scale * (1 + 2 * worst)
  layers = [lip.LipschitzBounds(s, 1 / s) for s in scales]
  limit = lip.reconstruction_error_bound(
      layers, [abs(float(v[0])) for v in values], tf.float32, rounding=c
  )
  error = abs(float(back[0] - values[0][0]))
  assert error <= limit <= error * (1 + 1e-3)


def test_reconstruction_bound_of_bijectors():
  layers = [tfb.Scale(2.0), tfb.Shift(1.0)]
  one = lip.reconstruction_error_bound(layers, [1.0, 0.5, 0.6], tf.float32)
  assert isinstance(one, float) and 0 < one < 1e-4
  pairs = [lip.lipschitz_bounds(layer) for layer in layers]
  norms = [[1.0, 10.0], [0.5, 5.0], [0.6, 6.0]]
  both = lip.reconstruction_error_bound(pairs, norms, 'float32')
  np.testing.assert_allclose(both, [one, 10 * one], rtol=1e-12)
  double = lip.reconstruction_error_bound(layers, [1.0, 0.5, 0.6], tf.float64)
  assert double == pytest.approx(one * 2.0**-29, rel=1e-4)
  infinite = [tfb.Exp(), tfb.Scale(2.0)]
  assert lip.reconstruction_error_bound(infinite, [0, 0, 0], 'float32') == (
      math.inf
  )


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'dtype': tf.int32}, 'dtype'),
        ({'norms': [1.0]}, 'norms'),
        ({'norms': [1.0, math.nan]}, 'norms'),
        ({'norms': [1.0, -1.0]}, 'norms'),
        ({'rounding': 0.0}, 'rounding'),
        ({'rounding': math.nan}, 'rounding'),
        ({'rounding': 1e9}, 'rounding'),
    ],
)
def test_bad_arguments_are_named(arguments, match):
  good = {
      'layers': [lip.LipschitzBounds(1.0, 1.0)],
      'norms': [1.0, 1.0],
      'dtype': tf.float32,
  }
  with pytest.raises(ValueError, match=match):
    lip.reconstruction_error_bound(**(good | arguments))
