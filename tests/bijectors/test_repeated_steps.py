"""RepeatedSteps against a `tfb.Chain` of the same steps."""

import itertools

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob, tfb, tfd = fo.bijectors, tfp.bijectors, tfp.distributions

# Bijectors that keep the shape of their input.
SAME_SHAPE = {
    name: entry
    for name, entry in registry.ENTRIES.items()
    if name not in ('FlowLevel', 'ImageFlow', 'RepeatedSteps')
    and entry.make(tf.float32).inverse_event_shape(entry.data_shape)
    == list(entry.data_shape)
}


class Holder(tf.Module):
  """Tracks variables in the order in which `RepeatedSteps` has them."""

  def __init__(self, parts):
    super().__init__()
    self.parts = parts


def make_step(seed, dtype=tf.float64, scale=0.3, **coupling):
  network = fo.networks.ConvConditioner(2, 6, 4, dtype=dtype, seed=seed)
  parts = [
      fob.ActNorm(4, dtype=dtype),
      fob.InvertibleConv1x1(4, dtype=dtype),
      fob.AdditiveCoupling(
          fo.lipschitz.LipschitzConv2D(2, 2, use_bias=False, dtype=dtype)
      ),
      fob.AffineCoupling(network, **coupling),
  ]
  return [registry.randomize(part, scale, seed) for part in parts]


@pytest.fixture(scope='module')
def steps():
  return [make_step(seed) for seed in range(3)]


@pytest.fixture(scope='module')
def small_steps(steps):
  """Where tracing is most of the time."""
  return [[step[0], step[3]] for step in steps[:2]]


@pytest.fixture
def x(rng):
  return tf.constant(rng.normal(size=(5, 4, 6, 4)))


def chained(steps):
  return tfb.Chain([part for step in steps for part in step])


def loss(bijector, x, direction):
  """Depends on every value and on each log-determinant."""
  y = getattr(bijector, direction)(x)
  log_det = getattr(bijector, f'{direction}_log_det_jacobian')(
      x, event_ndims=bijector.forward_min_event_ndims
  )
  weights = tf.range(1.0, tf.cast(tf.shape(x)[0], x.dtype) + 1.0, dtype=x.dtype)
  return tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(weights * log_det)


def value_and_gradients(bijector, x, direction, variables):
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = loss(bijector, x, direction)
  return value, tape.gradient(
      value, [x, *variables], unconnected_gradients='zero'
  )


def expected(steps, x, direction):
  """Value and gradients of the chain, with gradients of weights stacked."""
  columns = [Holder(step).trainable_variables for step in steps]
  value, (dx, *flat) = value_and_gradients(
      chained(steps), tf.identity(x), direction, sum(columns, ())
  )
  n = len(columns[0])
  return value, [
      dx, *(tf.stack(flat[i::n]) for i in range(n))
  ]


def assert_all_close(actual, desired, rtol=1e-9):
  scale = max(float(tf.reduce_max(tf.abs(d))) for d in desired)
  for a, d in zip(actual, desired, strict=True):
    assert a.shape == d.shape
    np.testing.assert_allclose(a, d, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize(
    ('memory', 'direction', 'mode'),
    [
        *itertools.product(
            ['reversible', 'stored'],
            ['forward', 'inverse'],
            ['eager', 'graph'],
        ),
        # One is enough: compiling takes long.
        ('reversible', 'inverse', 'xla'),
    ],
)
def test_values_and_gradients_are_those_of_a_chain(
    steps, x, memory, direction, mode
):
  bijector = fob.RepeatedSteps(steps, memory=memory)
  value, gradients = expected(steps, x, direction)

  def function(x):
    return value_and_gradients(
        bijector, x, direction, bijector.trainable_variables
    )

  if mode != 'eager':
    function = tf.function(
        function, autograph=False, jit_compile=mode == 'xla'
    )
  actual, actual_gradients = function(tf.identity(x))
  np.testing.assert_allclose(actual, value, rtol=1e-12)
  assert_all_close(actual_gradients, gradients)
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
  bijector = fob.RepeatedSteps(steps, tolerance=1e-3)
  x = tf.constant(rng.normal(size=(2, *entry.data_shape)))
  # Only there are all log-determinants deterministic.
  value, gradients = expected(steps, x, 'inverse')
  actual, actual_gradients = value_and_gradients(
      bijector, tf.identity(x), 'inverse', bijector.trainable_variables
  )
  np.testing.assert_allclose(actual, value, rtol=1e-10)
  assert_all_close(actual_gradients, gradients, rtol=1e-5)
  assert bijector.monitor.num_fallbacks == 0


def test_one_step_for_all():
  step = tfb.Chain(make_step(1))
  bijector = fob.RepeatedSteps(step, num_steps=3)
  x = tf.ones([1, 2, 2, 4], tf.float64)
  np.testing.assert_allclose(
      bijector.inverse(x), tfb.Chain([step] * 3).inverse(x), rtol=1e-12
  )
  # The weights are copies, one variable for all steps.
  assert {v.shape[0] for v in bijector.variables if v.shape.rank} == {3}
  assert len(bijector.trainable_variables) == len(Holder(make_step(1))
                                                  .trainable_variables)


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

  bijector = fob.RepeatedSteps(steps)
  value, gradients = gradients_of(bijector, bijector.trainable_variables)
  columns = [Holder(step).trainable_variables for step in steps]
  desired, flat = gradients_of(chained(steps), sum(columns, ()))
  n = len(columns[0])
  np.testing.assert_allclose(value, desired, rtol=1e-11)
  assert_all_close(gradients, [tf.stack(flat[i::n]) for i in range(n)])


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
          value = loss(bijector, x, 'inverse')
        gradients = inner.gradient(value, sources)
        product = sum(tf.reduce_sum(tf.sin(g)) for g in gradients)
      return outer.gradient(product, sources)

    if in_graph:
      function = tf.function(function, autograph=False)
    return function(tf.identity(x))

  bijector = fob.RepeatedSteps(steps)
  dx, *stacked = hessian_vector(bijector, bijector.trainable_variables)
  columns = [Holder(step).trainable_variables for step in steps]
  desired, *flat = hessian_vector(chained(steps), sum(columns, ()))
  n = len(columns[0])
  assert_all_close(
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

  np.testing.assert_allclose(
      jvp(fob.RepeatedSteps(steps, memory='stored')),
      jvp(chained(steps)),
      rtol=1e-9,
      atol=1e-9,
  )
  with pytest.raises(NotImplementedError, match="memory='stored'"):
    jvp(fob.RepeatedSteps(steps))


def _function_library(bijector, x):
  @tf.function(autograph=False)
  def function(x):
    return value_and_gradients(
        bijector, x, 'inverse', bijector.trainable_variables
    )

  return function.get_concrete_function(x).graph.as_graph_def().library


def test_graph_does_not_grow_and_nothing_is_stored(x):
  def ops(num_steps, memory):
    bijector = fob.RepeatedSteps(
        tfb.Chain(make_step(0)), num_steps=num_steps, memory=memory
    )
    return [
        node.op
        for function in _function_library(bijector, x).function
        for node in function.node_def
    ]

  assert len(ops(2, 'reversible')) == len(ops(20, 'reversible'))
  # What TensorFlow stores for a gradient, a loop pushes.
  assert 'TensorListPushBack' not in ops(2, 'reversible')
  assert 'TensorListPushBack' in ops(2, 'stored')


def test_one_network_evaluation_for_inverse_and_gradient(x):
  calls = []

  class Counting(fo.networks.ConvConditioner):

    def __call__(self, x):
      calls.append(x)
      return super().__call__(x)

  coupling = fob.AffineCoupling(Counting(2, 6, 4, dtype=tf.float64))
  bijector = fob.RepeatedSteps(coupling, num_steps=3)
  with tf.GradientTape() as tape:
    value = loss(bijector, x, 'inverse')
  calls_forward = len(calls)
  tape.gradient(value, bijector.trainable_variables)
  # Twice: the loss asks for values and log-determinants of one tensor, which
  # the cache answers once.
  assert calls_forward == 3
  assert len(calls) == 6


@pytest.mark.parametrize('in_graph', [False, True])
def test_fall_back_instead_of_a_wrong_gradient(rng, in_graph):
  """Large scales and inputs: nothing of the input can be recomputed."""
  steps = [
      make_step(
          seed, tf.float32, 1.0, scale_bound=12.0, tail_bound=np.inf
      )
      for seed in range(4)
  ]
  x = tf.constant(1e4 * rng.normal(size=(3, 4, 4, 4)), tf.float32)
  bijectors = [
      fob.RepeatedSteps(steps, memory=memory)
      for memory in ('reversible', 'stored')
  ]

  def gradients_of(bijector):
    def function(x):
      return value_and_gradients(
          bijector, x, 'inverse', bijector.trainable_variables
      )[1]

    if in_graph:
      function = tf.function(function, autograph=False)
    return function(tf.identity(x))

  actual, desired = (gradients_of(bijector) for bijector in bijectors)
  assert all(np.all(np.isfinite(g)) for g in desired)
  for a, d in zip(actual, desired, strict=True):
    np.testing.assert_allclose(
        a, d, rtol=0, atol=1e-4 * float(tf.reduce_max(tf.abs(d)))
    )
  monitor = bijectors[0].monitor
  assert monitor.num_fallbacks == 1
  # An error of NaN is none that is tolerable, either.
  assert not monitor.error <= 1e-4
  # Without it the gradient is wrong: else this test would show nothing.
  careless = fob.RepeatedSteps(steps, tolerance=np.inf)
  wrong = gradients_of(careless)
  assert careless.monitor.num_fallbacks == 0
  assert not all(
      np.allclose(w, d, rtol=0, atol=0.1 * np.max(np.abs(d)))
      for w, d in zip(wrong, desired, strict=True)
  )


def test_what_the_monitor_keeps():
  monitor = fob.ReconstructionMonitor(tolerance=1e-3)
  assert monitor.record(tf.constant(1e-4))
  assert monitor.record(tf.constant(1e-5))
  np.testing.assert_allclose(monitor.error, 1e-4)
  assert monitor.num_fallbacks == 0
  assert not monitor.record(tf.constant(np.nan))
  assert not monitor.record(tf.constant(1e-2))
  # NaN stays until the account starts anew.
  assert np.isnan(monitor.error)
  assert monitor.num_fallbacks == 2
  monitor.restart()
  assert monitor.error == 0
  assert monitor.num_fallbacks == 2
  with pytest.raises(ValueError, match=r'tolerance.*0'):
    fob.ReconstructionMonitor(tolerance=0)


@pytest.mark.parametrize('scale', [0.1, 0.5])
def test_measured_errors_are_below_the_certified_bound(rng, scale):
  steps = [make_step(seed, tf.float32, scale) for seed in range(8)]
  bijector = fob.RepeatedSteps(steps)
  x = tf.constant(rng.normal(size=(1, 4, 4, 4)), tf.float32)
  norms, value = [tf.norm(x)], x
  for part in bijector.parts:
    value = part.inverse(value)
    norms.append(tf.norm(value))
  bound = fo.lipschitz.reconstruction_error_bound(
      bijector.parts, norms, tf.float32
  )
  value_and_gradients(bijector, x, 'inverse', [])
  assert 0 < bijector.monitor.error <= bound / norms[0]


def test_steps_to_look_at_and_to_change(steps, x):
  bijector = fob.RepeatedSteps(steps)
  assert [len(step) for step in bijector.steps] == [4] * 3
  np.testing.assert_array_equal(
      bijector.steps[1][0].shift, steps[1][0].shift
  )
  before = tf.identity(bijector.inverse(tf.identity(x)))
  np.testing.assert_allclose(
      tfb.Chain(bijector.parts).inverse(tf.identity(x)), before, atol=1e-13
  )
  step = bijector.trainable_step(1)
  step[0].initialize(np.zeros(4), np.full(4, 0.25))
  np.testing.assert_array_equal(bijector.inverse(tf.identity(x)), before)
  bijector.assign(1, step)
  changed = chained([steps[0], step, steps[2]])
  np.testing.assert_allclose(
      bijector.inverse(x), changed.inverse(x), atol=1e-13
  )
  with pytest.raises(ValueError, match='another structure'):
    bijector.assign(1, step[:2])


def test_steps_that_were_used_have_the_same_structure(x):
  used, new = make_step(0), make_step(1)
  for part in used:  # TFP keeps what it found out in the bijector
    part.inverse(x)
    repr(part)
  assert fob.RepeatedSteps([used, new]).num_steps == 2


def test_bounds_are_those_of_the_chain(steps):
  bounds = fo.lipschitz.lipschitz_bounds(fob.RepeatedSteps(steps))
  np.testing.assert_allclose(
      bounds, fo.lipschitz.lipschitz_bounds(chained(steps)), rtol=1e-9
  )


def test_mirrored_replicas_equal_one_device(steps, x):
  x = tf.concat([x, tf.cos(x[:1])], axis=0)
  alone = fob.RepeatedSteps(steps)
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    bijector = fob.RepeatedSteps(steps)

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
  assert_all_close(step(halves), gradients)
  assert bijector.monitor.num_fallbacks == 0
  assert bijector.monitor.error > 0


class Doubling(fob.JointBijector):
  """Changes the shape of its input."""

  def __init__(self):
    super().__init__(forward_min_event_ndims=1, parameters={}, name='doubling')

  def _forward_and_log_det(self, x):
    return tf.concat([x, x], -1), tf.zeros(x.shape[:-1])

  _inverse_and_log_det = _forward_and_log_det


@pytest.mark.parametrize(
    ('arguments', 'error', 'match'),
    [
        ({'step': fob.ActNorm(4)}, ValueError, 'num_steps.*None'),
        ({'step': fob.ActNorm(4), 'num_steps': 0}, ValueError, 'num_steps.*0'),
        ({'step': []}, ValueError, 'not be empty'),
        (
            {'step': [fob.ActNorm(4)] * 2, 'num_steps': 3},
            ValueError,
            'num_steps.*3 and 2',
        ),
        (
            {'step': fob.ActNorm(4), 'num_steps': 2, 'memory': 'none'},
            ValueError,
            "memory.*'none'",
        ),
        ({'step': tfb.Tanh(), 'num_steps': 2}, TypeError, 'step.*Tanh'),
        (
            {'step': [fob.ActNorm(4), fob.ActNorm(6)]},
            ValueError,
            r'step 1.*\(4,\).*\(6,\)',
        ),
        (
            {'step': [fob.ActNorm(4), fob.ActNorm(4, log_range=2.0)]},
            ValueError,
            'log_range is 1.0 in one and 2.0',
        ),
        (
            {'step': [fob.ActNorm(4), fob.InvertibleConv1x1(4)]},
            ValueError,
            'ActNorm in one, InvertibleConv1x1',
        ),
    ],
)
def test_bad_arguments(arguments, error, match):
  with pytest.raises(error, match=match):
    fob.RepeatedSteps(**arguments)


def test_bad_steps():
  with pytest.raises(ValueError, match='must keep the shape'):
    fob.RepeatedSteps(Doubling(), num_steps=2).inverse(tf.ones([2, 3]))
  # Variables that nobody tracks would be left out of the gradient.
  hidden = tf.Variable(tf.ones([2]))
  coupling = fob.AdditiveCoupling(lambda x: hidden * x, event_ndims=1)
  bijector = fob.RepeatedSteps(coupling, num_steps=2)
  with pytest.raises(TypeError, match='variables'):
    with tf.GradientTape():
      bijector.inverse(tf.ones([3, 4]))


def test_copies_share_weights(steps, x):
  bijector = fob.RepeatedSteps(steps)
  copy = bijector.copy(memory='stored')
  assert copy.memory == 'stored'
  assert copy.monitor is bijector.monitor
  for a, b in zip(
      copy.trainable_variables, bijector.trainable_variables, strict=True
  ):
    assert a is b
  with pytest.raises(ValueError, match='num_steps'):
    bijector.copy(num_steps=2)
