"""The contract of every bijector (see `support/registry.py`)."""

import numpy as np
import pytest
from support import adversary
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions

def each_bijector_but(*names):
  """Parametrises a test; left out is what is part of an `ImageFlow`."""
  entries = {k: v for k, v in registry.ENTRIES.items() if k not in names}
  return pytest.mark.parametrize('entry', entries.values(), ids=entries.keys())


each_bijector = each_bijector_but()
# A flow has both in it.
each_bijector_but_parts = each_bijector_but('FlowLevel', 'FactorOut')


def data(entry, batch, dtype, scale=1.0, seed=0):
  rng = np.random.default_rng(seed)
  x = scale * rng.normal(size=(*batch, *entry.data_shape))
  return tf.constant(x, dtype)


def base_shape(bijector, entry):
  return tuple(bijector.inverse_event_shape(entry.data_shape).as_list())


def test_every_public_bijector_is_in_the_registry():
  public = {
      name
      for name in fo.bijectors.__all__
      if isinstance(getattr(fo.bijectors, name), type)
      and issubclass(getattr(fo.bijectors, name), tfp.bijectors.Bijector)
  }
  registered = {
      type(entry.make(tf.float32)).__name__
      for entry in registry.ENTRIES.values()
  }
  assert public - {'JointBijector'} == registered


@each_bijector_but_parts
@pytest.mark.parametrize(
    ('dtype', 'batches'), [(tf.float32, [(2, 3), ()]), (tf.float64, [(7,)])]
)
def test_round_trip(entry, dtype, batches):
  bijector = entry.make(dtype)
  # Relative to the scale of the data: the rounding error of a layer is
  # amplified by the Lipschitz constants of the layers around it.
  scale = 10.0
  tolerance = scale * (1e-5 if dtype == tf.float32 else 1e-13)
  rng = np.random.default_rng(0)
  for batch in batches:
    shape = batch + base_shape(bijector, entry)
    y = tf.constant(
        rng.uniform(-scale, scale, size=batch + entry.data_shape), dtype
    )
    x = tf.identity(bijector.inverse(y))
    assert x.dtype == dtype and x.shape == shape
    back = bijector.forward(x)
    assert back.dtype == dtype and back.shape == y.shape
    assert np.abs(back - y).max() <= tolerance
    # And the other way round.
    z = tf.constant(rng.uniform(-scale, scale, size=shape), dtype)
    again = bijector.inverse(tf.identity(bijector.forward(z)))
    assert np.abs(again - z).max() <= tolerance


# A level is part of a flow, and its Jacobian takes long.
@each_bijector_but('FlowLevel')
def test_log_det_equals_autodiff(entry):
  bijector = entry.make(tf.float64)
  jacobian_inverse, jacobian_forward = map(
      jacobians.jacobian_of, (bijector.inverse, bijector.forward)
  )
  # Only the weights are constant: gradients by them have tests of their own.
  with fo.lipschitz.frozen(bijector):
    # At the scale of the data, and in the tails.
    for scale in (1.0, 100.0):
      y = data(entry, [3], tf.float64, scale)
      ildj = bijector.inverse_log_det_jacobian(
          y, event_ndims=bijector.inverse_min_event_ndims
      )
      np.testing.assert_allclose(
          np.broadcast_to(ildj, [3]),
          np.linalg.slogdet(jacobian_inverse(y))[1],
          rtol=0,
          atol=1e-8,
      )
      x = tf.identity(bijector.inverse(y))
      fldj = bijector.forward_log_det_jacobian(
          x, event_ndims=bijector.forward_min_event_ndims
      )
      np.testing.assert_allclose(
          np.broadcast_to(fldj, [3]),
          np.linalg.slogdet(jacobian_forward(x))[1],
          rtol=0,
          atol=1e-8,
      )


@each_bijector
def test_shapes(entry):
  bijector = entry.make(tf.float32)
  shape = base_shape(bijector, entry)
  assert bijector.forward_event_shape(shape) == entry.data_shape
  np.testing.assert_array_equal(
      bijector.forward_event_shape_tensor(shape), entry.data_shape
  )
  np.testing.assert_array_equal(
      bijector.inverse_event_shape_tensor(entry.data_shape), shape
  )
  assert bijector.experimental_batch_shape() == []


@each_bijector
def test_larger_events_and_single_events(entry):
  bijector = entry.make(tf.float64)
  y = data(entry, [2, 5], tf.float64)
  ndims = bijector.inverse_min_event_ndims
  single = bijector.inverse_log_det_jacobian(y, event_ndims=ndims)
  single = np.broadcast_to(single, [2, 5])
  larger = bijector.inverse_log_det_jacobian(y, event_ndims=ndims + 1)
  np.testing.assert_allclose(
      np.broadcast_to(larger, [2]), single.sum(axis=1), atol=1e-9
  )
  alone = bijector.inverse_log_det_jacobian(y[1, 2], event_ndims=ndims)
  np.testing.assert_allclose(alone, single[1, 2], atol=1e-9)


joint = fo.bijectors.inverse_and_log_det


@each_bijector_but_parts
def test_traced_with_a_dynamic_batch(entry):
  check_compiled(entry, jit_compile=False)


# For XLA a `FactorOut` stands for the flow: one level is in it.
@each_bijector_but('FlowLevel', 'ImageFlow')
def test_compiled_by_xla(entry):
  check_compiled(entry, jit_compile=True)


def check_compiled(entry, jit_compile):
  bijector = entry.make(tf.float32)

  @tf.function(
      jit_compile=jit_compile,
      input_signature=[tf.TensorSpec([None, *entry.data_shape])],
  )
  def compiled(y):
    with tf.GradientTape() as tape:
      tape.watch(y)
      x, log_det = joint(bijector, y)
      value = tf.reduce_sum(tf.square(x)) + tf.reduce_sum(log_det)
    back = bijector.forward(tf.identity(x))
    return x, log_det, back, tape.gradient(value, y)

  # XLA compiles anew for each size.
  for n in [5] if jit_compile else [1, 5]:
    y = data(entry, [n], tf.float32)
    x, log_det, back, gradient = compiled(y)
    want, want_log_det = joint(bijector, tf.identity(y))
    np.testing.assert_allclose(x, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, want_log_det, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, y, atol=1e-4)
    assert np.all(np.isfinite(gradient))


@each_bijector_but_parts
def test_gradients_of_all_weights_equal_finite_differences(entry):
  bijector = entry.make(tf.float64)
  y = data(entry, [4], tf.float64)
  variables = bijector.trainable_variables
  if not variables:
    return

  @tf.function
  def value():
    x, log_det = joint(bijector, tf.identity(y))
    # Weighted, so that no gradient vanishes by a symmetry.
    weights = tf.reshape(tf.sin(tf.range(tf.size(x), dtype=x.dtype)), x.shape)
    return tf.reduce_sum(weights * tf.square(x)) + tf.reduce_sum(log_det)

  with tf.GradientTape() as tape:
    result = value()
  rng = np.random.default_rng(0)
  for variable, gradient in zip(
      variables, tape.gradient(result, variables), strict=True
  ):
    if not variable.shape.num_elements():
      continue
    assert gradient is not None, variable.name
    direction = rng.normal(size=variable.shape)
    before = tf.identity(variable)
    step = 1e-6
    variable.assign(before + step * direction)
    above = value()
    variable.assign(before - step * direction)
    below = value()
    variable.assign(before)
    np.testing.assert_allclose(
        np.sum(gradient * direction),
        (above - below) / (2 * step),
        rtol=1e-4,
        atol=1e-4,
        err_msg=variable.name,
    )


@each_bijector
def test_checkpoint_and_copy(entry, tmp_path):
  bijector = entry.make(tf.float32)
  y = data(entry, [3], tf.float32)
  want = bijector.inverse(y).numpy()
  path = tf.train.Checkpoint(b=bijector).save(str(tmp_path / 'c'))
  other = registry.randomize(entry.make(tf.float32), seed=9)
  tf.train.Checkpoint(b=other).restore(path).assert_consumed()
  np.testing.assert_array_equal(other.inverse(tf.identity(y)), want)
  # A copy shares the weights: it does not start anew.
  copy = bijector.copy(name='copy')
  np.testing.assert_array_equal(copy.inverse(tf.identity(y)), want)
  registry.randomize(bijector, seed=5)
  np.testing.assert_array_equal(
      copy.inverse(tf.identity(y)), bijector.inverse(tf.identity(y))
  )


@each_bijector_but_parts
def test_saved_model(entry, tmp_path):
  bijector = entry.make(tf.float32)
  module = tf.Module()
  module.bijector = bijector
  module.inverse = tf.function(
      lambda y: joint(bijector, y),
      input_signature=[tf.TensorSpec([None, *entry.data_shape])],
  )
  tf.saved_model.save(module, str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  y = data(entry, [3], tf.float32)
  for got, want in zip(loaded.inverse(y), joint(bijector, y), strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-5)


WRAPS = {
    'bare': lambda b: b,
    'chain': lambda b: tfb.Chain([b]),
    'inner': lambda b: tfb.Chain([tfb.Scale(2.0), b, tfb.Shift(1.0)]),
    'inverted': lambda b: tfb.Invert(tfb.Invert(b)),
}


# Where no network is counted, what is left is that densities agree.
@pytest.mark.parametrize(
    ('name', 'wrap'),
    [
        (name, wrap)
        for name, entry in registry.ENTRIES.items()
        for wrap in (WRAPS if entry.num_networks else ['inner'])
    ],
)
def test_one_network_evaluation(name, wrap, monkeypatch):
  entry = registry.ENTRIES[name]
  bijector = entry.make(tf.float32)
  calls = []
  run = fo.networks.ConvConditioner.__call__
  monkeypatch.setattr(
      fo.networks.ConvConditioner,
      '__call__',
      lambda self, x: calls.append(id(self)) or run(self, x),
  )
  shape = base_shape(bijector, entry)
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), shape), WRAPS[wrap](bijector)
  )
  y = data(entry, [3], tf.float32)
  log_prob = distribution.log_prob(y)
  assert log_prob.shape == [3]
  assert len(calls) == len(set(calls)) == entry.num_networks
  calls.clear()
  y, log_prob = distribution.experimental_sample_and_log_prob(3, seed=[0, 1])
  assert len(calls) == len(set(calls)) == entry.num_networks
  np.testing.assert_allclose(
      log_prob, distribution.log_prob(tf.identity(y)), rtol=1e-4, atol=1e-3
  )


# Levels: tests/lipschitz/test_adversary.py; whole flows: tests/flows.
@each_bijector_but('FlowLevel', 'ImageFlow')
def test_certified_constants_against_an_adversary(entry):
  bijector = entry.make(tf.float64)
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  shape = base_shape(bijector, entry)
  # Here no weight changes.
  with fo.lipschitz.frozen(bijector):
    for name, function, event, bound in (
        ('forward', bijector.forward, shape, bounds.forward),
        ('inverse', bijector.inverse, entry.data_shape, bounds.inverse),
    ):
      assert np.isfinite(bound)
      # Long enough to find what must be found; else for a look around.
      num_steps = 60 if entry.sharp else 15
      found = max(
          adversary.largest_expansion(function, event, num_steps=num_steps),
          adversary.largest_local_expansion(function, event),
      )
      assert found <= bound * (1 + 1e-6), name
      assert found >= entry.sharp * bound * (1 - 1e-3), (name, found, bound)
