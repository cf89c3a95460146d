import math

import numpy as np
import pytest
from support import images
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.flows import level_start

SMALL = {
    'num_levels': 2,
    'num_steps': 2,
    'hidden_channels': 8,
    'tile_sizes': (2,),
}


def bits_per_dim(distribution, x):
  return float(
      fo.bits_per_dim(
          np.mean(distribution.log_prob(x), dtype=np.float64),
          distribution.event_shape.num_elements(),
      )
  )


@pytest.mark.parametrize('squeeze', ['blocks', 'wavelet'])
def test_a_new_flow_squeezes_and_nothing_else(squeeze):
  distribution = fo.image_flow([8, 8, 3], squeeze=squeeze, **SMALL)
  x = images.preprocessed(5)
  before = [v.numpy() for v in distribution.variables]
  z = distribution.bijector.inverse(x)
  assert z.shape == [5, 192]
  # The second half of the channels of the first squeeze comes last.
  squeezed = tf.nn.space_to_depth(x, 2)
  if squeeze == 'wavelet':
    squeezed = fo.bijectors.WaveletTransform().inverse(x)
  np.testing.assert_allclose(
      z[:, 96:], tf.reshape(squeezed[..., 6:], [5, 96]), atol=1e-5
  )
  if squeeze == 'blocks':
    np.testing.assert_allclose(
        np.sort(z, axis=1), np.sort(tf.reshape(x, [5, 192]), axis=1), atol=1e-5
    )
  want = tfp.distributions.Normal(0.0, 1.0).log_prob(z)
  np.testing.assert_allclose(
      distribution.log_prob(tf.identity(x)),
      tf.reduce_sum(want, axis=1),
      rtol=1e-5,
  )
  # It works uninitialised, and changes nothing.
  assert not distribution.bijector.initialized
  for value, variable in zip(before, distribution.variables, strict=True):
    np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize('coupling', ['affine', 'additive'])
@pytest.mark.parametrize('lipschitz', [(1e-3, 1e3), (0.5, 20.0)])
def test_step_0_is_the_predicted_value(coupling, lipschitz):
  x = images.preprocessed(600)
  distribution = fo.image_flow([8, 8, 3], coupling=coupling, **SMALL)
  predicted = fo.initialize_at_optimum(
      distribution, x.numpy(), lipschitz=lipschitz
  )
  assert distribution.bijector.initialized
  assert bits_per_dim(distribution, x) == pytest.approx(predicted, abs=1e-4)
  # Fresh crops of the same images.
  fresh = images.preprocessed(2000, seed=7)
  assert bits_per_dim(distribution, fresh) == pytest.approx(predicted, abs=0.1)


@pytest.mark.parametrize('squeeze', ['blocks', 'wavelet'])
def test_one_level_is_at_the_pointwise_optimum(squeeze):
  x = images.preprocessed(600)
  squeezed = tf.nn.space_to_depth(x, 2)
  if squeeze == 'wavelet':
    squeezed = fo.bijectors.WaveletTransform().inverse(tf.identity(x))
  for lipschitz in [(1e-3, 1e3), (0.5, 20.0)]:
    distribution = fo.image_flow(
        [8, 8, 3], num_levels=1, num_steps=2, hidden_channels=8, tile_sizes=(),
        squeeze=squeeze,
    )
    predicted = fo.initialize_at_optimum(distribution, x, lipschitz=lipschitz)
    best = fo.likelihood_optimum(
        squeezed, 'pointwise', lipschitz=lipschitz
    )
    assert predicted == pytest.approx(
        float(fo.bits_per_dim(best.log_likelihood, 192)), abs=1e-5
    )
    # Gradient of the optimum: no linear map of a step improves it.
    variables = [
        v
        for v in distribution.trainable_variables
        if 'act_norm' in v.name or 'rotation' in v.name
    ]
    assert len(variables) == 6
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(distribution.log_prob(tf.identity(x))) / 192
    if lipschitz[1] > 1e2:
      for gradient in tape.gradient(loss, variables):
        np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=2e-3)


def test_equal_changes_of_weights_change_latents_equally(rng):
  x = images.preprocessed(100)
  distribution = fo.image_flow([8, 8, 3], **SMALL)
  fo.initialize_at_optimum(distribution, x)
  flow = distribution.bijector
  log_s = [
      level.whiten.log_singular_values.numpy() for level in flow.levels
  ]
  for level in flow.levels:
    assert not level.whiten.trainable_variables
    assert not level.restore.trainable_variables
  # Latents are very unequal functions of the pixels.
  assert np.ptp(log_s[0]) > math.log(10)
  z = flow.inverse(tf.identity(x))
  changes = []
  for variable in flow.trainable_variables:
    value = variable.numpy()
    variable.assign(value + 1e-3 * rng.choice([-1.0, 1.0], size=value.shape))
    change = flow.inverse(tf.identity(x)) - z
    changes.append(np.sqrt(np.mean(change**2, axis=0)).max())
    variable.assign(value)
  assert 1e-3 < max(changes) < 0.035


def test_large_eigenvalues_travel_on():
  x = images.preprocessed(600)
  distribution = fo.image_flow([8, 8, 3], **SMALL)
  fo.initialize_at_optimum(distribution, x)
  first = distribution.bijector.levels[0]
  log_s = first.whiten.log_singular_values.numpy()
  # Whitening divides by the square root of the eigenvalue.
  assert np.all(np.diff(log_s) >= 0)
  h = tf.identity(x)
  for part in first.parts:
    h = part.inverse(h)
  covariance = fo.AutoCorrelation('pointwise', h.shape[1:])
  covariance.update(h)
  np.testing.assert_allclose(covariance.moments().matrix, np.eye(12), atol=1e-3)
  # The channels that leave the level are the whitened ones, in order.
  white = first.whiten.inverse(first.squeeze.inverse(tf.identity(x)))
  np.testing.assert_allclose(h, white, atol=1e-4)
  # Neighbours still resemble each other in what travels on, not in the rest.
  a, b = h[:, :-1].numpy(), h[:, 1:].numpy()
  resemblance = np.mean(a * b, axis=(0, 1, 2))
  assert resemblance[0] > 0.5 > np.abs(resemblance[6:]).max()


def test_it_beats_act_norm_by_more_than_a_bit():
  x = images.preprocessed(600)
  optimum, act_norm = (
      fo.image_flow([8, 8, 3], squeeze='blocks', **SMALL) for _ in range(2)
  )
  fo.initialize_at_optimum(optimum, x)
  fo.flows.initialize_act_norm(act_norm, x)
  assert bits_per_dim(optimum, x) < bits_per_dim(act_norm, x) - 1.0
  # ActNorm's own promise holds: unit variance after the first one.
  level = act_norm.bijector.levels[0]
  first = level.steps[0][0]
  h = first.inverse(level.whiten.inverse(level.squeeze.inverse(x)))
  np.testing.assert_allclose(
      tf.math.reduce_std(h, [0, 1, 2]), np.ones(12), rtol=1e-3
  )


@pytest.mark.parametrize('batch_size', [1, 64])
def test_a_dataset_gives_the_same_as_an_array(batch_size, monkeypatch):
  """Its batches are put together: each one takes thousands of operations."""
  x = images.preprocessed(300)
  a, b = (fo.image_flow([8, 8, 3], **SMALL) for _ in range(2))
  predicted = fo.initialize_at_optimum(a, x)
  evaluated = []
  terms = level_start._terms
  monkeypatch.setattr(
      level_start,
      '_terms',
      lambda parts, y: evaluated.append(len(y)) or terms(parts, y),
  )
  dataset = tf.data.Dataset.from_tensor_slices(x).batch(batch_size)
  assert fo.initialize_at_optimum(b, dataset) == predicted
  assert evaluated == [300] * 2  # levels


def test_a_checkpoint_is_not_initialised_again(tmp_path):
  x = images.preprocessed(300)
  trained = fo.image_flow([8, 8, 3], **SMALL)
  fo.initialize_at_optimum(trained, x)
  registry.randomize(trained, scale=0.05)
  want = trained.log_prob(x).numpy()
  path = tf.train.Checkpoint(d=trained).save(str(tmp_path / 'c'))
  other = fo.image_flow([8, 8, 3], **SMALL, seed=5)
  tf.train.Checkpoint(d=other).restore(path).assert_consumed()
  np.testing.assert_array_equal(other.log_prob(tf.identity(x)), want)
  for initialize in (
      fo.initialize_at_optimum,
      fo.flows.initialize_act_norm,
  ):
    with pytest.raises(ValueError, match='initialised already'):
      initialize(other, x)
  np.testing.assert_array_equal(other.log_prob(tf.identity(x)), want)


def test_cached_values_do_not_survive_initialisation():
  distribution = fo.image_flow([8, 8, 3], **SMALL)
  x = images.preprocessed(300)
  z = distribution.bijector.inverse(x)
  distribution.bijector.inverse_log_det_jacobian(x)
  fo.initialize_at_optimum(distribution, x)
  fresh = distribution.bijector.inverse(tf.identity(x))
  assert np.abs(fresh - z).max() > 1
  np.testing.assert_array_equal(distribution.bijector.inverse(x), fresh)
  np.testing.assert_array_equal(
      distribution.bijector.inverse_log_det_jacobian(x),
      distribution.bijector.inverse_log_det_jacobian(tf.identity(x)),
  )


@pytest.mark.parametrize(
    'shape', [(5, 16, 4, 3), (5, 16, 16, 3), (5, 8, 8, 1), (8, 3)]
)
def test_images_of_another_shape_are_refused(shape):
  distribution = fo.image_flow([8, 8, 3], **SMALL)
  flow = distribution.bijector
  with pytest.raises(ValueError, match='shape'):
    distribution.log_prob(tf.zeros(shape))
  with pytest.raises(ValueError, match='shape'):
    flow.inverse(tf.zeros(shape))
  for size in (100, 400):
    with pytest.raises(ValueError, match='192'):
      flow.forward(tf.zeros([5, size]))
  with pytest.raises(ValueError, match='shape'):
    flow.inverse_event_shape([100, 100, 100])


def test_constant_images_meet_the_bound_instead_of_infinity():
  distribution = fo.image_flow([8, 8, 3], **SMALL)
  x = np.zeros([20, 8, 8, 3], np.float32)
  predicted = fo.initialize_at_optimum(distribution, x)
  assert np.isfinite(predicted)
  assert bits_per_dim(distribution, x) == pytest.approx(predicted, abs=1e-3)


def test_a_base_of_images_has_temperatures_too():
  normal = tfp.distributions.Normal(0.0, 1.0)
  distribution = tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(normal, [2, 2, 3]), fo.bijectors.ActNorm(3)
  )
  samples = fo.flows.sample_at_temperature(distribution, 2, [0, 0], 0.0)
  np.testing.assert_array_equal(samples, np.zeros([2, 2, 2, 3]))


def test_no_images():
  distribution = fo.image_flow([8, 8, 3], **SMALL)
  x = tf.zeros([0, 8, 8, 3])
  with tf.GradientTape() as tape:
    log_prob = distribution.log_prob(x)
    loss = tf.reduce_sum(log_prob)
  assert log_prob.shape == [0]
  tape.gradient(loss, distribution.trainable_variables)
  assert distribution.bijector.monitor.error == 0
  assert distribution.sample(0, seed=[0, 1]).shape == x.shape


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'event_shape': [8, 12, 3], 'num_levels': 3}, 'divisible by 8'),
        ({'event_shape': [8, 8]}, r'\[H, W, C\]'),
        ({'event_shape': [8, None, 3]}, 'fully known'),
        ({'event_shape': [0, 8, 3]}, 'positive'),
        ({'event_shape': [8, 8, 3], 'num_levels': 0}, 'num_levels'),
        ({'event_shape': [8, 8, 3], 'num_steps': 0}, 'num_steps'),
        ({'event_shape': [8, 8, 3], 'coupling': 'spline'}, 'coupling'),
        ({'event_shape': [8, 8, 3], 'hidden_channels': 7}, 'hidden_channels'),
        ({'event_shape': [8, 8, 3], 'tile_sizes': (0,)}, 'tile_sizes'),
        ({'event_shape': [8, 8, 3], 'lipschitz_budget': 1e-4}, 'must be more'),
    ],
)
def test_bad_arguments_are_named(arguments, match):
  with pytest.raises(ValueError, match=match):
    fo.image_flow(**arguments)


def test_it_takes_the_place_of_glow():
  flow = fo.bijectors.ImageFlow([8, 8, 3], **SMALL)
  shape = flow.inverse_event_shape([8, 8, 3])
  distribution = flow(tfp.distributions.Sample(
      tfp.distributions.Normal(0.0, 1.0), shape
  ))
  assert distribution.sample(4, seed=[0, 1]).shape == [4, 8, 8, 3]
  assert distribution.log_prob(tf.zeros([2, 5, 8, 8, 3])).shape == [2, 5]


def test_sampling_at_temperatures():
  distribution = fo.image_flow([8, 8, 3], **{**SMALL, 'tile_sizes': ()})
  fo.initialize_at_optimum(distribution, images.preprocessed(300))
  sample = fo.flows.sample_at_temperature
  a = sample(distribution, 50, [1, 2])
  np.testing.assert_array_equal(a, sample(distribution, 50, [1, 2]))
  assert np.any(a != sample(distribution, 50, [1, 3]))
  # The flow is affine at the start: half the temperature, half the deviation.
  mean = sample(distribution, 1, [0, 0], temperature=0.0)
  b = sample(distribution, 50, [1, 2], temperature=0.5)
  np.testing.assert_allclose(b - mean, 0.5 * (a - mean), atol=1e-4)


@pytest.mark.parametrize('bits', [8, 5, 1])
def test_quantisation_undoes_dequantisation(bits):
  x = tf.range(256)
  kept = x // 2 ** (8 - bits) * 2 ** (8 - bits)
  for noise in (0.0, 0.5, 1.0 - 2.0**-15):
    y = fo.flows.dequantize(x, bits, noise)
    assert np.all((y >= -0.5) & (y < 0.5))
    np.testing.assert_array_equal(fo.flows.quantize(y, bits), kept)
  np.testing.assert_array_equal(
      fo.flows.quantize(tf.constant([-9.0, 9.0])), [0, 255]
  )
  noise = fo.flows.dequantization_noise([100_000], [0, 1])
  assert 0 <= np.min(noise) and np.max(noise) < 1
  assert np.mean(noise) == pytest.approx(0.5, abs=0.01)
