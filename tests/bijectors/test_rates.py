"""How far maps move for a step of their weights."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

RNG = np.random.default_rng(0)
IMAGES = tf.constant(RNG.normal(size=[2, 4, 4, 4]))
LAYERS = {
    'ActNorm': lambda rate: fo.bijectors.ActNorm(
        4, rate=rate, dtype=tf.float64
    ).inverse,
    'InvertibleConv1x1': lambda rate: fo.bijectors.InvertibleConv1x1(
        4, rate=rate, dtype=tf.float64
    ).inverse,
    'LipschitzConv2D': lambda rate: fo.lipschitz.LipschitzConv2D(
        4, 4, zero_initial=True, rate=rate, use_bias=False, dtype=tf.float64
    ),
}
layers = pytest.mark.parametrize('make', LAYERS.values(), ids=LAYERS.keys())


def weights(function):
  module = getattr(function, '__self__', function)
  return [v for v in module.trainable_variables if 'shift' not in v.name]


@layers
def test_a_rate_multiplies_the_weights(make):
  one, slow = make(1.0), make(0.25)
  np.testing.assert_array_equal(one(IMAGES), slow(IMAGES))
  for v, w in zip(weights(one), weights(slow), strict=True):
    values = 0.3 * RNG.normal(size=v.shape)
    v.assign(values)
    w.assign(values / 0.25)
  y = tf.identity(IMAGES)
  assert np.abs(one(y) - y).max() > 0.1
  np.testing.assert_allclose(one(y), slow(y), rtol=1e-12)


@pytest.mark.parametrize('rate', [0.0, -1.0, float('inf'), float('nan')])
@layers
def test_a_rate_is_positive(make, rate):
  with pytest.raises(ValueError, match='rate'):
    make(rate)


def test_the_initial_kernel_is_the_same():
  one, slow = (
      fo.lipschitz.LipschitzConv2D(2, 3, rate=rate) for rate in (1.0, 0.1)
  )
  np.testing.assert_allclose(
      one.effective_kernel(), slow.effective_kernel(), rtol=1e-5, atol=1e-7
  )


# Of the first step: end of the name and shape of one step's weights.
WEIGHTS = {
    'scales of ActNorm': ('act_norm/offset:0', [16]),
    'singular values': ('rotation/offset:0', [16]),
    'rotations': ('rotation/lower:0', [120]),
    'linear coupling': ('kernel:0', [3, 3, 8, 8]),
}


def moved(num_steps, name, shape):
  """How far a change of such weights of the first step moves the latents."""
  flow = fo.bijectors.ImageFlow(
      [4, 4, 4], 1, num_steps, 4, tile_sizes=(), dtype=tf.float64
  )
  before = flow.inverse(tf.identity(IMAGES))
  rng = np.random.default_rng(1)
  variables = [
      v
      for v in flow.trainable_variables
      if v.name.endswith(name) and v.shape[1:] == shape
  ]
  assert variables
  for v in variables:
    # Not the same for all: left and right rotations would cancel.
    v.scatter_nd_add([[0]], 1e-4 * rng.normal(size=[1, *shape]))
  return float(tf.norm(flow.inverse(tf.identity(IMAGES)) - before))


@pytest.mark.parametrize(
    ('name', 'shape'), WEIGHTS.values(), ids=WEIGHTS.keys()
)
def test_in_deep_flows_each_step_moves_less(name, shape):
  """Or learning rates that suit a flow of 8 steps would be too large."""
  # All else is an isometry at first, so what comes after changes nothing.
  two, eight, many = (moved(k, name, shape) for k in (2, 8, 32))
  assert eight > 1e-5, eight
  np.testing.assert_allclose(two, eight, rtol=1e-2)
  np.testing.assert_allclose(many, eight / 4, rtol=1e-2)


def test_without_normalisation_there_is_no_rate():
  with pytest.raises(ValueError, match='rate'):
    fo.lipschitz.LipschitzConv2D(2, 3, normalization=None, rate=0.1)
