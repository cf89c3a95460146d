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


def moved(num_steps):
  """How far equal changes of all linear weights move the latents."""
  flow = fo.bijectors.ImageFlow(
      [4, 4, 4], 1, num_steps, 4, tile_sizes=(), dtype=tf.float64
  )
  before = flow.inverse(tf.identity(IMAGES))
  changed = 0
  for v in flow.trainable_variables:
    # The log-scales, which all push in one direction.
    if 'offset' in v.name:
      v.assign_add(tf.fill(v.shape, tf.constant(1e-3, v.dtype)))
      changed += 1
  assert changed
  return float(tf.norm(flow.inverse(tf.identity(IMAGES)) - before))


def test_deep_flows_move_no_further_for_a_step():
  """Or learning rates that suit a flow of 8 steps would be too large."""
  eight = moved(8)
  assert moved(2) < 0.3 * eight
  np.testing.assert_allclose(moved(32), eight, rtol=0.01)
