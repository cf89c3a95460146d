"""Flows whose values pass through curves first."""

import math

import numpy as np
import pytest
from support import images
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions

SMALL = {
    'num_levels': 2,
    'num_steps': 2,
    'hidden_channels': 8,
    'tile_sizes': (2,),
}


def bits_per_dim(distribution, x):
  return float(fo.bits_per_dim(np.mean(distribution.log_prob(x)), 192))


def with_background(num, seed=0):
  """Images three quarters of which are black, preprocessed."""
  rng = np.random.default_rng(seed)
  x = images.preprocessed(num, seed=seed).numpy()
  noise = rng.random(x.shape) / 256 - 0.5
  mask = x.mean(-1, keepdims=True) < np.quantile(x.mean(-1), 0.75)
  return np.where(mask, noise, x).astype(np.float32)


def test_marginals_make_use_of_a_background():
  x = with_background(600)
  plain = fo.image_flow([8, 8, 3], **SMALL)
  curved = fo.image_flow([8, 8, 3], gaussianize_marginals=True, **SMALL)
  worse = fo.initialize_at_optimum(plain, x)
  predicted = fo.initialize_at_optimum(curved, x)
  assert predicted < worse - 1.0
  assert bits_per_dim(curved, x) == pytest.approx(predicted, abs=1e-3)
  fresh = with_background(600, seed=7)
  assert bits_per_dim(curved, fresh) == pytest.approx(predicted, abs=0.1)
  # Exact on what is not like the data, too.
  flow = curved.bijector
  for scale in (1.0, 100.0):
    y = scale * np.random.default_rng(0).normal(size=[5, 8, 8, 3])
    back = flow.forward(tf.identity(flow.inverse(y.astype(np.float32))))
    np.testing.assert_allclose(back, y, atol=5e-4 * scale)
  layers = fo.diagnostics.layer_report(curved, x[:4], 0)
  assert layers[0].name == 'marginals'
  np.testing.assert_allclose(
      sum(layer.log_det for layer in layers),
      np.mean(flow.inverse_log_det_jacobian(x[:4])),
      rtol=1e-4,
  )
  whole = fo.lipschitz.lipschitz_bounds(flow)
  linear, nonlinear = flow.bounds_by_part()
  assert linear.inverse > fo.lipschitz.lipschitz_bounds(flow.marginals).inverse
  assert nonlinear.inverse < math.exp(7.0)
  top, curves = (
      fo.lipschitz.lipschitz_bounds(part)
      for part in (flow.levels[0], flow.marginals)
  )
  np.testing.assert_allclose(whole, np.multiply(top, curves))
  assert whole.inverse <= linear.inverse * nonlinear.inverse * 1.001
  # The same levels, for values that have passed the curves.
  others = fo.bijectors.ImageFlow([8, 8, 3], **SMALL)
  others._top_level = flow.levels[0]
  rest = tfd.TransformedDistribution(curved.distribution, others)
  z = flow.marginals.inverse(tf.identity(x[:4]))
  assert fo.diagnostics.reconstruction_errors(
      curved, x[:4]
  ) == fo.diagnostics.reconstruction_errors(rest, z)
  # A checkpoint holds the curves.
  copy = curved.copy()
  np.testing.assert_array_equal(
      copy.log_prob(tf.identity(x[:4])), curved.log_prob(tf.identity(x[:4]))
  )


def test_marginals_on_replicas_are_those_of_one_device():
  x = with_background(300)
  alone = fo.image_flow([8, 8, 3], gaussianize_marginals=True, **SMALL)
  want = fo.initialize_at_optimum(alone, x)
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    flow = fo.image_flow([8, 8, 3], gaussianize_marginals=True, **SMALL)
    got = fo.initialize_at_optimum(flow, x)
  assert got == pytest.approx(want, rel=1e-6)
  for copy in strategy.experimental_local_results(
      flow.bijector.marginals.outputs
  ):
    np.testing.assert_array_equal(copy, alone.bijector.marginals.outputs)


def test_marginals_are_not_set_if_something_fails():
  flow = fo.image_flow([8, 8, 3], gaussianize_marginals=True, **SMALL)
  before = flow.bijector.marginals.outputs.numpy()
  x = with_background(50)
  x[3, 2, 1, 0] = np.nan
  with pytest.raises(tf.errors.InvalidArgumentError, match='finite'):
    fo.initialize_at_optimum(flow, x)
  np.testing.assert_array_equal(flow.bijector.marginals.outputs, before)
  assert not flow.bijector.initialized


def test_act_norm_sees_what_the_curves_make():
  x = with_background(300)
  distribution = fo.image_flow([8, 8, 3], gaussianize_marginals=True, **SMALL)
  fo.flows.initialize_act_norm(distribution, x)
  flow = distribution.bijector
  level = flow.levels[0]
  h = level.whiten.inverse(level.squeeze.inverse(flow.marginals.inverse(x)))
  h = level.steps[0][0].inverse(h)
  np.testing.assert_allclose(
      tf.math.reduce_std(h, [0, 1, 2]), np.ones(12), rtol=1e-3
  )
