"""RepeatedSteps against a `tfb.Chain` of the same steps."""

import itertools

import numpy as np
import pytest
from support import registry
from support import step_chains
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.bijectors.repeated import reconstruction_monitor
from tfp_flowopt.internal import device_memory

fob, tfb, tfd = fo.bijectors, tfp.bijectors, tfp.distributions

# Bijectors that keep the shape of their input.
SAME_SHAPE = {
    name: entry
    for name, entry in registry.ENTRIES.items()
    if name.split(',')[0]
    not in ('FlowLevel', 'ImageFlow', 'RepeatedSteps', 'VectorFlow')
    and entry.make(tf.float32).inverse_event_shape(entry.data_shape)
    == list(entry.data_shape)
}


@pytest.mark.parametrize(
    ('memory', 'direction', 'mode'),
    [
        *itertools.product(
            ['reversible', 'stored', 'unrolled'],
            ['forward', 'inverse'],
            ['eager', 'graph'],
        ),
        # One is enough: compiling takes long.
        ('reversible', 'inverse', 'xla'),
    ],
)
def test_values_and_gradients_are_those_of_a_chain(
    steps, small_steps, x, memory, direction, mode
):
  if mode == 'xla':
    steps = small_steps
  bijector = fob.RepeatedSteps(steps, memory=memory)
  value, gradients = step_chains.expected(steps, x, direction)

  def function(x):
    return step_chains.value_and_gradients(
        bijector, x, direction, bijector.trainable_variables
    )

  if mode != 'eager':
    function = tf.function(
        function, autograph=False, jit_compile=mode == 'xla'
    )
  actual, actual_gradients = function(tf.identity(x))
  np.testing.assert_allclose(actual, value, rtol=1e-12)
  step_chains.assert_all_close(actual_gradients, gradients)
  assert bijector.monitor.num_fallbacks == 0
  if memory == 'reversible':
    assert 0 < bijector.monitor.error < 1e-12


@pytest.mark.parametrize('name', SAME_SHAPE)
def test_every_bijector_can_be_repeated(name, rng):
  entry = SAME_SHAPE[name]
  first, second = (entry.make(tf.float64) for _ in range(2))
  registry.randomize(second, 0.1, seed=7)
  steps = [[first], [second]]
  # Solved inverses find back to their tolerance only.
  bijector = fob.RepeatedSteps(steps, tolerance=1e-3, memory='reversible')
  x = tf.constant(rng.normal(size=(2, *entry.data_shape)))
  # Only there are all log-determinants deterministic.
  value, gradients = step_chains.expected(steps, x, 'inverse')
  actual, actual_gradients = step_chains.value_and_gradients(
      bijector, tf.identity(x), 'inverse', bijector.trainable_variables
  )
  np.testing.assert_allclose(actual, value, rtol=1e-10)
  step_chains.assert_all_close(actual_gradients, gradients, rtol=1e-5)
  assert bijector.monitor.num_fallbacks == 0


def test_one_step_for_all():
  step = tfb.Chain(step_chains.make_step(1))
  bijector = fob.RepeatedSteps(step, num_steps=3, memory='reversible')
  x = tf.ones([1, 2, 2, 4], tf.float64)
  np.testing.assert_allclose(
      bijector.inverse(x), tfb.Chain([step] * 3).inverse(x), rtol=1e-12
  )
  # The weights are copies, one variable for all steps.
  assert {v.shape[0] for v in bijector.variables if v.shape.rank} == {3}
  one = step_chains.Holder(step_chains.make_step(1))
  assert len(bijector.trainable_variables) == len(one.trainable_variables)


def test_likelihood_and_samples_in_one_graph(small_steps, x):
  """Both directions, and one of them twice, in one loss."""
  steps = small_steps

  def gradients_of(bijector, variables):
    base = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), [4, 6, 4])
    distribution = tfd.TransformedDistribution(base, bijector)

    @tf.function(autograph=False)
    def function(x):
      with tf.GradientTape() as tape:
        y = distribution.sample(5, seed=[1, 2])
        value = tf.reduce_sum(tf.cos(y)) + tf.reduce_sum(
            distribution.log_prob(x) + distribution.log_prob(tf.sin(x))
        )
      return value, tape.gradient(value, variables)

    return function(x)

  bijector = fob.RepeatedSteps(steps, memory='reversible')
  value, gradients = gradients_of(bijector, bijector.trainable_variables)
  columns = [step_chains.Holder(step).trainable_variables for step in steps]
  desired, flat = gradients_of(step_chains.chained(steps), sum(columns, ()))
  n = len(columns[0])
  np.testing.assert_allclose(value, desired, rtol=1e-11)
  step_chains.assert_all_close(
      gradients, [tf.stack(flat[i::n]) for i in range(n)]
  )


@pytest.mark.parametrize('in_graph', [False, True])
def test_gradients_of_gradients(small_steps, x, in_graph):
  """Hessian times vector, with respect to the input and all weights."""
  steps = small_steps

  def hessian_vector(bijector, variables):
    def function(x):
      sources = [x, *variables]
      with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
          inner.watch(x)
          value = step_chains.loss(bijector, x, 'inverse')
        gradients = inner.gradient(value, sources)
        product = sum(tf.reduce_sum(tf.sin(g)) for g in gradients)
      return outer.gradient(product, sources)

    if in_graph:
      function = tf.function(function, autograph=False)
    return function(tf.identity(x))

  bijector = fob.RepeatedSteps(steps, memory='reversible')
  dx, *stacked = hessian_vector(bijector, bijector.trainable_variables)
  columns = [step_chains.Holder(step).trainable_variables for step in steps]
  desired, *flat = hessian_vector(step_chains.chained(steps), sum(columns, ()))
  n = len(columns[0])
  step_chains.assert_all_close(
      [dx, *stacked],
      [desired, *(tf.stack(flat[i::n]) for i in range(n))],
      rtol=1e-8,
  )


def test_forward_mode(steps, x):
  tangent = tf.cos(x)

  def jvp(bijector):
    with tf.autodiff.ForwardAccumulator(x, tangent) as accumulator:
      y = bijector.inverse(tf.identity(x))
    return accumulator.jvp(y)

  for memory in ('stored', 'unrolled'):
    np.testing.assert_allclose(
        jvp(fob.RepeatedSteps(steps, memory=memory)),
        jvp(step_chains.chained(steps)),
        rtol=1e-9,
        atol=1e-9,
    )
  with pytest.raises(NotImplementedError, match="memory='stored'"):
    jvp(fob.RepeatedSteps(steps, memory='reversible'))


def test_mirrored_replicas_equal_one_device(steps, x):
  x = tf.concat([x, tf.cos(x[:1])], axis=0)
  alone = fob.RepeatedSteps(steps, memory='reversible')
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    bijector = fob.RepeatedSteps(steps, memory='reversible')

  @tf.function(autograph=False)
  def step(x):
    def replica(x):
      with tf.GradientTape() as tape:
        y = bijector.inverse(x)
        log_det = bijector.inverse_log_det_jacobian(x, event_ndims=3)
        value = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det)
      return tape.gradient(value, bijector.trainable_variables)

    return [
        strategy.reduce(tf.distribute.ReduceOp.SUM, g, axis=None)
        for g in strategy.run(replica, args=(x,))
    ]

  halves = strategy.experimental_distribute_values_from_function(
      lambda context: x[context.replica_id_in_sync_group :: 2]
  )
  with tf.GradientTape() as tape:
    y = alone.inverse(tf.identity(x))
    log_det = alone.inverse_log_det_jacobian(tf.identity(x), event_ndims=3)
    whole = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det)
  gradients = tape.gradient(whole, alone.trainable_variables)
  step_chains.assert_all_close(step(halves), gradients)
  assert bijector.monitor.num_fallbacks == 0
  assert bijector.monitor.error > 0


def test_bounds_are_those_of_the_chain(steps):
  bounds = fo.lipschitz.lipschitz_bounds(fob.RepeatedSteps(steps))
  chain = step_chains.chained(steps)
  np.testing.assert_allclose(
      bounds, fo.lipschitz.lipschitz_bounds(chain), rtol=1e-9
  )


def _memory(monkeypatch, num_bytes):
  monkeypatch.setattr(device_memory, 'device_memory', lambda: num_bytes)


def test_what_fits_into_the_device_is_stored(monkeypatch):
  steps = fo.bijectors.RepeatedSteps(
      tfb.Chain([
          fo.bijectors.InvertibleConv1x1(4),
          fo.bijectors.AffineCoupling(fo.networks.ConvConditioner(2, 16, 4)),
      ]),
      num_steps=3,
  )
  assert steps.memory == 'auto'
  # 12 numbers a channel, and 2 for each output: two rotations, three kernels.
  kept = 12 * 4 + 2 * (2 * 4 + 16 + 16 + 4)
  needed = 3 * (5 * 8 * 8) * kept * 4
  for more, memory in ((-8, 'reversible'), (0, 'stored')):
    _memory(monkeypatch, 8 * needed + more)
    assert steps.memory_for([5, 8, 8, 4]) == memory
  assert steps.memory_for([None, 8, 8, 4]) == 'reversible'
  _memory(monkeypatch, None)
  assert steps.memory_for([5, 8, 8, 4]) == 'reversible'
  for memory in ('reversible', 'stored'):
    assert steps.copy(memory=memory).memory_for([5, 8, 8, 4]) == memory


def test_gradients_are_computed_as_is_said(monkeypatch):
  steps = fo.bijectors.RepeatedSteps(
      fo.bijectors.AffineCoupling(fo.networks.ConvConditioner(2, 8, 4)), 2
  )
  x = tf.ones([1, 4, 4, 4])

  recorded = []
  monkeypatch.setattr(
      reconstruction_monitor.ReconstructionMonitor,
      'record',
      lambda self, error: recorded.append(error) or tf.constant(True),
  )
  for num_bytes, count in ((2**40, 0), (1, 1)):
    _memory(monkeypatch, num_bytes)
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = steps.inverse(tf.identity(x))
    assert tape.gradient(y, x) is not None
    assert len(recorded) == count


@pytest.mark.parametrize('memory', ['auto', 'stored'])
def test_xla_takes_a_graph_of_any_batch(memory, rng):
  """As of a function that was traced outside, and is called inside.

  What steps get is reshaped before, so that its batch is found at run time.
  """
  x = tf.constant(rng.normal(size=[5, 4, 4, 2]), tf.float32)
  flow = fo.image_flow(
      [4, 4, 2], 1, 2, 4, tile_sizes=(), memory=memory
  ).bijector

  def evaluate(x):
    if memory == 'stored':
      # TensorFlow's own gradient of a loop needs shapes that XLA knows.
      return fob.inverse_and_log_det(flow, x)
    return step_chains.value_and_gradients(
        flow, x, 'inverse', flow.trainable_variables
    )

  function = tf.function(
      evaluate,
      autograph=False,
      input_signature=[tf.TensorSpec([None, *x.shape[1:]])],
  )
  expected = function(x)  # it is traced here
  compiled = tf.function(
      lambda x: function(x), autograph=False, jit_compile=True
  )
  for found, value in zip(
      tf.nest.flatten(compiled(x)), tf.nest.flatten(expected), strict=True
  ):
    np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)
