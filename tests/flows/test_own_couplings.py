"""Couplings and networks of the user's in the place of ours."""

import math
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb = tfp.bijectors
SMALL = {'num_levels': 2, 'num_steps': 2, 'hidden_channels': 4}


def glow_coupling(event_shape, log_lipschitz):
  """What `tfb.Glow` makes of a network: a coupling of the last dimension."""
  del log_lipschitz
  channels = event_shape[-1]
  network = tf_keras.Sequential([
      tf_keras.layers.Conv2D(
          4,
          3,
          padding='same',
          activation='relu',
          kernel_initializer=tf_keras.initializers.GlorotUniform(seed=0),
      ),
      tf_keras.layers.Conv2D(
          2 * (channels - channels // 2),
          3,
          padding='same',
          kernel_initializer='zeros',
      ),
  ])
  network.build([None, *event_shape[:-1], channels // 2])

  def shift_and_scale(x, units, **kwargs):
    del units, kwargs
    shift, raw = tf.split(network(x), 2, axis=-1)
    return tfb.Shift(shift)(tfb.Scale(tf.nn.sigmoid(raw) + 0.5))

  coupling = tfb.RealNVP(
      num_masked=channels // 2, bijector_fn=shift_and_scale
  )
  coupling.network = network  # a closure is not looked into for variables
  return coupling


def flow_of(**kwargs):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    return fo.image_flow([8, 8, 3], **SMALL, **kwargs)


def log_det_by_autodiff(flow, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = flow.inverse(x)
  jacobian = tape.jacobian(y, x)
  size = flow.event_size
  return np.linalg.slogdet(np.reshape(jacobian, [size, size]))[1]


def test_couplings_of_glow_take_the_place_of_ours(rng):
  with pytest.warns(UserWarning, match='certificate of the flow is infinite'):
    distribution = fo.image_flow(
        [4, 4, 3], 1, 2, tile_sizes=(), coupling_fn=glow_coupling
    )
  flow = distribution.bijector
  images = tf.constant(rng.uniform(-0.5, 0.5, [64, 4, 4, 3]), tf.float32)
  predicted = fo.initialize_at_optimum(distribution, images)
  measured = np.mean(
      fo.bits_per_dim(distribution.log_prob(images), flow.event_size)
  )
  assert measured == pytest.approx(predicted, abs=1e-3)
  # Weights of each step are its own, found, and trained.
  networks = [m for m in flow.submodules if isinstance(m, tf_keras.Model)]
  assert len(networks) == 2
  for v in flow.trainable_variables:
    v.assign_add(tf.constant(rng.normal(size=v.shape, scale=0.1), v.dtype))
  x = images[:3]
  back = flow.forward(tf.identity(flow.inverse(x)))
  np.testing.assert_allclose(back, x, atol=1e-4)
  exact = log_det_by_autodiff(flow, x[:1])
  log_det = flow.inverse_log_det_jacobian(x[:1], 3)[0].numpy()
  assert log_det == pytest.approx(exact, abs=1e-3)
  # Of the couplings, not of the linear maps alone.
  coupling = flow.levels[0].steps[0][-1]
  y = tf.random.stateless_normal([1, 2, 2, 12], [0, 1])
  assert abs(coupling.inverse_log_det_jacobian(y, 3)[0]) > 0.02
  with tf.GradientTape() as tape:
    loss = -tf.reduce_mean(distribution.log_prob(x))
  variables = networks[0].trainable_variables
  for gradient in tape.gradient(loss, variables):
    assert np.any(gradient)
  assert max(fo.lipschitz.lipschitz_bounds(flow)) == math.inf
  assert max(flow.bounds_by_part().nonlinear) == math.inf
  assert max(flow.bounds_by_part().linear) < math.inf


class Scale(tfb.Scale):
  """A coupling, of sorts, that states what it does."""


@fo.lipschitz.lipschitz_bounds.register
def _(bijector: Scale):
  scale = abs(float(bijector.scale))
  return fo.lipschitz.LipschitzBounds(scale, 1.0 / scale)


def test_what_keeps_to_its_share_keeps_the_certificate():
  shares = []

  def scale(event_shape, log_lipschitz):
    assert len(event_shape) == 3
    shares.append(log_lipschitz)
    return Scale(tf.constant(math.exp(0.99 * log_lipschitz)))

  with warnings.catch_warnings():
    warnings.simplefilter('error')
    flow = fo.bijectors.ImageFlow(
        [8, 8, 3], coupling_fn=scale, lipschitz_budget=5.0, **SMALL
    )
  bounds = flow.bounds_by_part().nonlinear
  assert math.log(max(bounds)) <= 5.0
  # All of what couplings may have is used, along the longest path.
  assert math.log(max(bounds)) >= 0.98 * sum(shares)
  with pytest.raises(ValueError, match='leaves a coupling'):
    fo.bijectors.ImageFlow(
        [8, 8, 3],
        coupling_fn=lambda _, share: Scale(tf.constant(math.exp(1.1 * share))),
        lipschitz_budget=5.0,
        **SMALL,
    )


@pytest.mark.parametrize('coupling', ['affine', 'additive'])
def test_networks_that_state_their_constant(coupling):
  given = []

  def network(inputs, outputs, lipschitz):
    given.append(lipschitz)
    return fo.networks.ConvConditioner(
        inputs, 6, outputs, lipschitz=0.9 * lipschitz
    )

  flow = fo.bijectors.ImageFlow(
      [8, 8, 3], conditioner_fn=network, coupling=coupling, **SMALL
  )
  assert len(given) == 4 and given[0] > given[-1] > 0
  bounds = flow.bounds_by_part().nonlinear
  assert 0 < math.log(max(bounds)) <= 7.0
  plain = fo.bijectors.ImageFlow(
      [8, 8, 3], conditioner_fn=network, lipschitz_budget=None, **SMALL
  )
  assert given[-1] == 4.0
  assert max(fo.lipschitz.lipschitz_bounds(plain)) < math.inf


def test_wrong_functions_are_named():
  with pytest.raises(ValueError, match='`coupling_fn` must return'):
    flow_of(coupling_fn=lambda *_: 3)
  with pytest.raises(ValueError, match='`coupling_fn` must be a function'):
    flow_of(coupling_fn=3)
  with pytest.raises(ValueError, match='give one of them'):
    flow_of(coupling_fn=glow_coupling, conditioner_fn=glow_coupling)
  with pytest.raises(ValueError, match='events of at most 3'):
    flow_of(coupling_fn=lambda *_: tfb.Transpose(rightmost_transposed_ndims=4))


def test_couplings_that_do_something_at_first_are_no_optimum(rng):
  distribution = flow_of(
      coupling_fn=lambda *_: tfb.Shift(tf.ones([])), lipschitz_budget=None
  )
  images = rng.uniform(-0.5, 0.5, [64, 8, 8, 3]).astype(np.float32)
  with pytest.raises(ValueError, match=r'not the identity.*act_norm` takes'):
    fo.initialize_at_optimum(distribution, images)


def scale_of(event_shape, log_lipschitz):
  """A bijector of TFP's that wants images of its own size."""
  del log_lipschitz
  return tfb.Chain([tfb.Scale(tf.ones(event_shape)), tfb.Shift(tf.zeros([]))])


def splines(event_shape, log_lipschitz):
  del log_lipschitz
  channels = event_shape[-1]
  network = fo.networks.ConvConditioner(
      channels // 2, 4, 16 * (channels - channels // 2)
  )
  return fo.bijectors.SplineCoupling(network)


@pytest.mark.parametrize('coupling', [glow_coupling, scale_of, splines])
def test_they_have_all_that_ours_have(coupling, rng, tmp_path):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    distribution = fo.image_flow(
        [8, 8, 1], 2, 1, tile_sizes=(), coupling_fn=coupling,
        lipschitz_budget=None,
    )
  images = tf.constant(rng.uniform(-0.5, 0.5, [64, 8, 8, 1]), tf.float32)
  predicted = fo.initialize_at_optimum(distribution, images)
  log_prob = distribution.log_prob(images)
  measured = np.mean(fo.bits_per_dim(log_prob, 64))
  assert measured == pytest.approx(predicted, abs=1e-3)
  names = [layer.name for layer in fo.diagnostics.layer_report(
      distribution, images[:1]
  )]
  assert [name for name in names if 'step' in name] == [
      'level 0 step 0', 'level 1 step 0'
  ]
  # Batches of any size.
  traced = tf.function(
      distribution.log_prob,
      input_signature=[tf.TensorSpec([None, 8, 8, 1])],
      autograph=False,
  )
  np.testing.assert_allclose(traced(images[:3]), log_prob[:3], rtol=1e-4)
  path = fo.export.save(distribution, tmp_path / '1')
  served = tf.saved_model.load(path).signatures['sample']
  samples = served(
      num_samples=tf.constant(3), seed=tf.constant([0, 1]),
      temperature=tf.constant(1.0),
  )
  assert samples['images'].shape == [3, 8, 8, 1]


def test_conditional_ones_may_be_in_a_chain(rng):
  def coupling(event_shape, log_lipschitz):
    del log_lipschitz
    channels = event_shape[-1]
    network = fo.networks.ConvConditioner(
        channels // 2, 4, 2 * (channels - channels // 2),
        conditioning_channels=3,
    )
    return tfb.Invert(fo.bijectors.AffineCoupling(network))

  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    distribution = fo.image_flow(
        [4, 4, 1], 1, 1, tile_sizes=(), coupling_fn=coupling, conditioning=3,
        lipschitz_budget=None,
    )
  images = tf.constant(rng.uniform(-0.5, 0.5, [64, 4, 4, 1]), tf.float32)
  labels = tf.constant(rng.integers(3, size=64))
  predicted = fo.initialize_at_optimum(
      distribution, images, conditioning=labels
  )
  measured = np.mean(fo.bits_per_dim(distribution.log_prob(
      images, bijector_kwargs={'conditioning': labels}
  ), 16))
  assert measured == pytest.approx(predicted, abs=1e-3)
