"""One rule for conditions: one for all events, or one for each."""

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.bijectors.multiscale import conditioning
from tfp_flowopt.diagnostics import local_constants
from tfp_flowopt.training import evaluation
from tfp_flowopt.training import event_kinds
from tfp_flowopt.training import replicas

tfb, tfd = tfp.bijectors, tfp.distributions

# As many features of a vector as events.
NUM = 3
SPECS = {'labels': 4, 'vectors': [NUM], 'maps': [2, 2, 2]}
# Shapes of a batch that broadcast to [NUM].
BATCHES = ([], [1], [NUM])
each_kind = pytest.mark.parametrize('kind', SPECS)


@pytest.fixture(name='distributions', scope='module')
def _distributions():
  result = {}
  for kind, spec in SPECS.items():
    flow = fo.bijectors.ImageFlow(
        [2, 2, 2],
        num_levels=1,
        num_steps=1,
        hidden_channels=4,
        tile_sizes=(),
        lipschitz_budget=None,
        conditioning=spec,
    )
    registry.randomize(flow, 0.7, seed=3)
    result[kind] = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), 8), flow
    )
  yield result
  GRAPHS.clear()


@pytest.fixture(name='x')
def _x(rng):
  return tf.constant(rng.normal(size=[NUM, 2, 2, 2]), tf.float32)


def pairs(kind, rng):
  """Conditions, and a copy of them for each event."""
  for batch in BATCHES:
    if kind == 'labels':
      c = rng.integers(SPECS[kind], size=batch)
    else:
      c = 3.0 * rng.normal(size=[*batch, *SPECS[kind]]).astype(np.float32)
    yield c, np.broadcast_to(c, [NUM, *c.shape[len(batch) :]])


@each_kind
def test_rows(kind, distributions, rng):
  flow = distributions[kind].bijector
  inner = tfb.Chain([tfb.Shift(0.0, name='shift'), flow], name='inner')
  chain = tfb.Chain([tfb.Invert(inner, name='outer')])
  for c, full in pairs(kind, rng):
    kwargs = {'conditioning': c, 'seed': 7}
    for bijector, names in ((flow, []), (chain, ['outer', flow.name])):
      given = kwargs
      for name in reversed(names):
        given = {name: given}
      given = conditioning.of_each_event(bijector, given, NUM)
      some = conditioning.of_some_events(given, [2, 0])
      for name in names:
        given, some = given[name], some[name]
      np.testing.assert_array_equal(given['conditioning'], full)
      np.testing.assert_array_equal(some['conditioning'], full[[2, 0]])
      assert given['seed'] == some['seed'] == 7
  for wrong in ([2], [NUM, 1], [1, NUM], [0]):
    shape = wrong + flow.conditioning.spec.shape[1:]
    with pytest.raises(ValueError, match='for each event or for all, got'):
      conditioning.of_each_event(
          flow, {'conditioning': np.zeros(shape, np.int64)}, NUM
      )


def log_prob(distribution, x, **kwargs):
  return distribution.log_prob(x, **kwargs)


def sample_at_temperature(distribution, x, **kwargs):
  return fo.flows.sample_at_temperature(distribution, len(x), [0, 1], **kwargs)


def reconstruction_errors(distribution, x, **kwargs):
  # Of the errors only the bounds are more than rounding.
  errors = fo.diagnostics.reconstruction_errors(distribution, x, **kwargs)
  return [level.bound for level in errors]


GRAPHS = {}


def made_once(make, distribution):
  """What holds graphs, for all calls."""
  key = make, id(distribution)
  if key not in GRAPHS:
    GRAPHS[key] = make(distribution)
  return GRAPHS[key]


def layer_report(distribution, x, **kwargs):
  report = made_once(fo.diagnostics.LayerReporter, distribution)
  return [layer[2:] for layer in report(x, 2, **kwargs)]


def optimum_report(distribution, x, **kwargs):
  data = np.random.default_rng(1).normal(size=[20, 2, 2, 2])
  report = fo.diagnostics.optimum_report(
      distribution, data.astype(np.float32), np.asarray(x), **kwargs
  )
  return report.log_likelihood, report.volume_balance


def evaluator(distribution):
  of_one = replicas.Replicas(tf.distribute.get_strategy())
  return evaluation.FlowEvaluator(
      distribution,
      event_kinds.kind_of(distribution, fo.training.TrainConfig()),
      of_one,
  )


def evaluated(distribution, x, **kwargs):
  return made_once(evaluator, distribution).log_prob(x, **kwargs)


QUICK = (
    log_prob,
    sample_at_temperature,
    fo.diagnostics.volume_balance,
    reconstruction_errors,
)


@pytest.mark.parametrize(
    ('function', 'kind'),
    [
        *((function, kind) for function in QUICK for kind in SPECS),
        (layer_report, 'vectors'),
        (layer_report, 'maps'),
        (optimum_report, 'labels'),
        (evaluated, 'labels'),
    ],
    ids=lambda value: getattr(value, '__name__', value),
)
def test_one_for_all_is_a_copy_for_each(
    function, kind, distributions, x, rng, monkeypatch
):
  def instead(bijector, x, num_steps, bijector_kwargs):
    """Depends on images and conditions as constants do, and is quick."""
    del num_steps
    y = bijector.inverse(x, **bijector_kwargs)
    return 2 * [tf.norm(tf.reshape(y, [y.shape[0], -1]), axis=1)]

  monkeypatch.setattr(local_constants, 'local_lipschitz', instead)
  distribution = distributions[kind]
  for c, full in pairs(kind, rng):
    got, want = (
        function(distribution, x, bijector_kwargs={'conditioning': k})
        for k in (c, full)
    )
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(want), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


class Network(tf.Module):
  """Conditioned on the sum of numbers."""

  conditioning_channels = NUM

  def __call__(self, x, conditioning):
    c = tf.reduce_sum(conditioning, axis=-1, keepdims=True)
    return tf.concat([tf.sin(x + c), 2.0 * c * x], axis=-1)


@pytest.mark.parametrize('chained', [False, True])
def test_local_constants(chained, rng):
  bijector = fo.bijectors.AffineCoupling(Network(), event_ndims=1, name='own')
  x = tf.constant(rng.normal(size=[NUM, 2]))
  c = tf.constant([0.7, -0.2, 0.4], tf.float64)
  jacobian = []
  for event in x:
    with tf.GradientTape() as tape:
      tape.watch(event)
      y = bijector.inverse(event, conditioning=c)
    jacobian.append(tape.jacobian(y, event))
  values = np.linalg.svd(jacobian, compute_uv=False)
  kwargs = [{'conditioning': c}, {'conditioning': c[tf.newaxis]}]
  if chained:
    bijector = tfb.Chain([tfb.Identity(), bijector])
    kwargs = [{'own': kwargs[0]}]
  for given in kwargs:
    local = fo.diagnostics.local_lipschitz(bijector, x, bijector_kwargs=given)
    np.testing.assert_allclose(local.inverse, values[:, 0], rtol=1e-6)
    np.testing.assert_allclose(local.forward, 1 / values[:, 1], rtol=1e-6)
