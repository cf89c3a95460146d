"""What TFP's own tests ask of every bijector, asked of ours.

After `bijector_properties_test.py` of TFP, which is not in its package; the
contract (`test_contract.py`) has round trips, log-determinants, gradients of
weights, `tf.function` and XLA.
"""

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions

each_bijector = pytest.mark.parametrize(
    'entry', registry.ENTRIES.values(), ids=registry.ENTRIES.keys()
)
# One of each kind of code: eager flows take long.
SOME = (
    'ActNorm',
    'AffineCoupling',
    'ConvexPotentialResidual',
    'FactorOut',
    'LipschitzResidual',
    'MarginalGaussianization',
    'RadialScaling, tiles',
    'ScalingCascade',
)
some_bijectors = pytest.mark.parametrize(
    'entry', [registry.ENTRIES[name] for name in SOME], ids=SOME
)


def events(entry, *batch, dtype=tf.float32):
  rng = np.random.default_rng(5)
  return tf.constant(rng.normal(size=[*batch, *entry.data_shape]), dtype)


@each_bijector
def test_static_properties(entry):
  bijector = entry.make(tf.float32)
  assert isinstance(bijector.name, str) and bijector.name in repr(bijector)
  assert bijector.dtype in (tf.float32, None)
  assert bijector.validate_args is False
  ndims = bijector.inverse_min_event_ndims
  assert ndims == len(entry.data_shape)
  latent = bijector.inverse_event_shape(entry.data_shape)
  assert bijector.forward_min_event_ndims == latent.rank
  assert bijector.forward_event_shape(latent) == entry.data_shape
  np.testing.assert_array_equal(
      bijector.forward_event_shape_tensor(latent.as_list()), entry.data_shape
  )
  np.testing.assert_array_equal(
      bijector.inverse_event_shape_tensor(list(entry.data_shape)), latent
  )
  # One bijector, not a batch of them.
  assert bijector.experimental_batch_shape() == []
  assert bijector.experimental_batch_shape(latent.rank + 1) == []
  assert list(bijector.experimental_batch_shape_tensor()) == []


@each_bijector
def test_parameters_can_be_read_and_copies_made(entry):
  bijector = entry.make(tf.float32)
  parameters = bijector.parameters
  assert {'name', 'validate_args'} <= set(parameters)
  assert 'self' not in parameters and '__class__' not in parameters
  assert bijector.parameter_properties() == {}
  other = bijector.copy(name='other')
  assert other.name.startswith('other') and type(other) is type(bijector)
  assert {v.ref() for v in other.variables} == {
      v.ref() for v in bijector.variables
  }


@each_bijector
def test_hashing_and_equality(entry):
  one, two = (entry.make(tf.float32) for _ in range(2))
  assert hash(one) == hash(one) and one == one
  # Those that may have weights are themselves, others what their arguments say.
  different = isinstance(one, fo.bijectors.JointBijector)
  assert (one != two) == different
  assert len({one, two, one}) == 1 + different


@some_bijectors
def test_slices(entry):
  """A batch of bijectors could be sliced; of one there is only the whole."""
  bijector = entry.make(tf.float32)
  y = events(entry, 2)
  np.testing.assert_array_equal(
      bijector[...].inverse(tf.identity(y)), bijector.inverse(y)
  )


@some_bijectors
def test_event_dimensions(entry):
  """Further dimensions of an event are added up in the log-determinant."""
  bijector = entry.make(tf.float64)
  y = events(entry, 2, 3, dtype=tf.float64)
  ndims = len(entry.data_shape)
  each = bijector.inverse_log_det_jacobian(y, ndims)
  assert each.shape in ([2, 3], [])
  together = bijector.inverse_log_det_jacobian(tf.identity(y), ndims + 1)
  np.testing.assert_allclose(
      together, np.broadcast_to(each, [2, 3]).sum(-1), rtol=1e-9
  )
  with pytest.raises(ValueError, match='event_ndims'):
    bijector.inverse_log_det_jacobian(tf.identity(y), ndims - 1)


@some_bijectors
def test_the_other_direction_of_the_log_determinant(entry):
  bijector = entry.make(tf.float64)
  y = events(entry, 3, dtype=tf.float64)
  x = tf.identity(bijector.inverse(y))
  there = bijector.inverse_log_det_jacobian(tf.identity(y))
  back = bijector.forward_log_det_jacobian(x)
  np.testing.assert_allclose(
      np.broadcast_to(back, [3]), -np.broadcast_to(there, [3]), atol=1e-7
  )


@some_bijectors
def test_vectorized_map(entry):
  bijector = entry.make(tf.float32)
  y = events(entry, 4)
  mapped = tf.vectorized_map(bijector.inverse, y)
  np.testing.assert_allclose(mapped, bijector.inverse(y), atol=2e-5)


@some_bijectors
def test_gradients_of_inputs(entry):
  bijector = entry.make(tf.float64)
  y = events(entry, 2, dtype=tf.float64)
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(y)
    x = bijector.inverse(y)
    total = tf.reduce_sum(x**2)
    log_det = tf.reduce_sum(bijector.inverse_log_det_jacobian(y))
  gradient = tape.gradient(total, y)
  assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
  gradient = tape.gradient(
      log_det, y, unconnected_gradients=tf.UnconnectedGradients.ZERO
  )
  assert np.all(np.isfinite(gradient))


@each_bijector
def test_wrong_types(entry):
  """A type that the weights do not have is an error, not a cast."""
  bijector = entry.make(tf.float32)
  if not bijector.variables:
    pytest.skip('works in any type')
  with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
    bijector.inverse(events(entry, 2, dtype=tf.float64))


@some_bijectors
def test_combinations(entry):
  """Calls of bijectors compose, and of distributions transform."""
  bijector = entry.make(tf.float32)
  shape = bijector.inverse_event_shape(entry.data_shape)
  base = tfd.Sample(tfd.Normal(0.0, 1.0), shape)
  transformed = bijector(base)
  assert transformed.bijector is bijector
  assert transformed.event_shape == entry.data_shape
  y = events(entry, 2)
  both = tfb.Shift(1.0)(bijector)
  np.testing.assert_allclose(
      both.inverse(y + 1.0), bijector.inverse(y), atol=1e-4
  )
  inverted = tfb.Invert(bijector)
  np.testing.assert_allclose(
      inverted.forward(tf.identity(y)), bijector.inverse(y), atol=1e-6
  )
  np.testing.assert_allclose(
      tf.broadcast_to(inverted.forward_log_det_jacobian(tf.identity(y)), [2]),
      tf.broadcast_to(bijector.inverse_log_det_jacobian(y), [2]),
      rtol=1e-5,
  )


def test_in_the_place_of_glow():
  """One line of a script changes."""
  script = """
flow = {flow}
base = tfd.Sample(tfd.Normal(0.0, 1.0), [8 * 8 * 3])
distribution = tfd.TransformedDistribution(base, flow)
with tf.GradientTape() as tape:
  loss = -tf.reduce_mean(distribution.log_prob(images))
gradients = tape.gradient(loss, distribution.trainable_variables)
samples = distribution.sample(2, seed=[0, 1])
latents = flow.inverse(samples)
back = flow.forward(tf.identity(latents))
"""
  shapes = []
  for flow in (
      'tfb.Glow(output_shape=(8, 8, 3), num_glow_blocks=2, '
      'num_steps_per_block=1, coupling_bijector_fn=tfb.GlowDefaultNetwork, '
      'exit_bijector_fn=tfb.GlowDefaultExitNetwork)',
      'fo.bijectors.ImageFlow((8, 8, 3), num_levels=2, num_steps=1)',
  ):
    images = tf.random.stateless_uniform([2, 8, 8, 3], [0, 1]) - 0.5
    names = {'tf': tf, 'tfb': tfb, 'tfd': tfd, 'fo': fo, 'images': images}
    exec(script.format(flow=flow), names)
    assert np.isfinite(names['loss']) and names['gradients']
    assert None not in names['gradients']
    shapes.append([names[n].shape for n in ('samples', 'latents', 'back')])
    np.testing.assert_allclose(names['back'], names['samples'], atol=1e-3)
  assert shapes[0] == shapes[1]
