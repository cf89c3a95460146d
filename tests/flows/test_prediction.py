"""The likelihood that initialisation predicts is the one that is measured."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

SMALL = {'num_steps': 1, 'hidden_channels': 2, 'memory': 'stored'}


@pytest.fixture(scope='module')
def flow():
  return fo.image_flow([8, 8, 1], num_levels=3, tile_sizes=(2,), **SMALL)


@pytest.fixture(scope='module')
def plain():
  return fo.image_flow([8, 8, 1], num_levels=3, tile_sizes=(), **SMALL)


@pytest.fixture(scope='module')
def curved():
  return fo.image_flow(
      [4, 4, 1],
      num_levels=1,
      tile_sizes=(),
      gaussianize_marginals=True,
      **SMALL,
  )


def initialize(distribution, data, **options):
  """Again: whatever initialisation sets, it sets anew."""
  distribution.bijector.initialized.assign(False)
  for level in distribution.bijector.levels:
    cascade = level.factor_out.scaling
    if cascade is not None:
      channels = cascade.parts[0].shift.shape[0]
      zeros = np.zeros([cascade.num_scalings, channels])
      cascade.initialize(zeros, zeros, zeros[:, 0], 1.0 + zeros[:, 0])
  return fo.initialize_at_optimum(distribution, data, **options)


def smooth(rng, num, size=8):
  x = rng.normal(size=(num, size, size, 1)).cumsum(1).cumsum(2)
  x = np.floor((x / np.abs(x).max() * 0.45 + 0.5) * 256)
  return ((x + rng.uniform(size=x.shape)) / 256 - 0.5).astype(np.float32)


def measured(distribution, x):
  # Padded to one shape: one graph serves all tests.
  padded = np.resize(x, [64, *x.shape[1:]])
  log_prob = distribution.log_prob(padded)[: len(x)]
  return float(
      fo.bits_per_dim(np.mean(log_prob, dtype=np.float64), x[0].size)
  )


def copies(x):
  return np.repeat(x[:1], len(x), axis=0)


@pytest.mark.parametrize(
    'num, change, options',
    [
        (1, None, {'lipschitz': (1e-3, 1e5)}),
        (2, None, {'lipschitz': (1e-3, 1e5)}),
        (40, copies, {'lipschitz': (1e-3, 1e5)}),
        (40, lambda x: np.full_like(x, 0.3), {}),
    ],
)
def test_data_that_do_not_vary(flow, rng, num, change, options):
  x = smooth(rng, num)
  x = x if change is None else change(x)
  predicted = initialize(flow, x, **options)
  assert measured(flow, x) == pytest.approx(predicted, abs=1e-3)


def test_where_data_vary_the_scales_are_those_of_the_closed_form(plain, rng):
  x = smooth(rng, 300)
  initialize(plain, x)
  for level in plain.bijector.levels:
    x = tf.identity(x)
    if level.whiten_whole is not None:
      x = level.whiten_whole.inverse(x)
    h = level.squeeze.inverse(x)
    moments = fo.AutoCorrelation('pointwise', h.shape[1:])
    moments.update(h)
    eigenvalues, _ = moments.moments().eigh()
    np.testing.assert_allclose(
        level.whiten.log_singular_values, -0.5 * np.log(eigenvalues), atol=1e-3
    )
    x, _ = level.factor_out.split(level.whiten.inverse(h))


def test_a_lower_bound_that_amplifies_rounding_is_refused(rng):
  flow = fo.image_flow([8, 8, 1], num_levels=3, tile_sizes=(2,), **SMALL)
  before = [v.numpy() for v in flow.variables]
  with pytest.raises(ValueError, match=r'`lipschitz`.*float32'):
    fo.initialize_at_optimum(flow, smooth(rng, 1), lipschitz=(1e4, 1e5))
  for value, variable in zip(before, flow.variables, strict=True):
    if variable.dtype.is_floating:
      np.testing.assert_array_equal(variable, value)


def test_a_flow_with_any_weight_moved_is_refused_or_right(rng):
  """One kind of weights after the other, then all that are taken at once."""
  flow = fo.image_flow([4, 4, 1], num_levels=2, tile_sizes=(2,), **SMALL)
  x = smooth(rng, 60, size=4)
  # Whatever is accepted is read, and there is nothing.
  nothing = tf.data.Dataset.from_tensors(x[:0])
  kinds = {(v.name, *v.shape): v for v in flow.variables if v.dtype.is_floating}
  taken = []
  for variable in kinds.values():
    value = variable.numpy()
    variable.assign_add(0.1 * tf.ones_like(value))
    with pytest.raises(ValueError, match=r'changed|empty') as e:
      fo.initialize_at_optimum(flow, nothing)
    if 'empty' in str(e.value):
      taken.append((variable, variable.numpy()))
    variable.assign(value)
  for variable, value in taken:
    variable.assign(value)
  predicted = fo.initialize_at_optimum(flow, x)
  assert measured(flow, x) == pytest.approx(predicted, abs=1e-3)
  assert 4 < len(taken) < len(kinds) - 8


def batches(x, sizes, shape=None):
  return tf.data.Dataset.from_generator(
      lambda: iter(np.split(x, np.cumsum(sizes)[:-1])),
      output_types=tf.float32,
      output_shapes=shape,
  )


def test_data_sets_of_unknown_shape_and_empty_batches(curved, rng):
  x = smooth(rng, 20, size=4)
  want = initialize(curved, x)
  for shape in (None, [None, None, 4, None]):
    data = batches(x, [7, 0, 13], shape)
    assert initialize(curved, data) == pytest.approx(want)
  for wrong in (x[:, :, :2], x[..., 0], np.concatenate([x, x], axis=-1)):
    with pytest.raises(tf.errors.InvalidArgumentError, match='`data` must'):
      initialize(curved, batches(wrong, [20]))
  with pytest.raises(ValueError, match='`data` is an empty'):
    initialize(curved, batches(x[:0], [0]))
  assert not curved.bijector.initialized


def test_values_that_do_not_fill_the_range_are_warned_of(curved, rng):
  x = smooth(rng, 20, size=4)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    tail = x.copy()
    tail[0, 0, 0] = 0.51
    initialize(curved, tail)
  for scale, shift in ((1.0, 0.5), (1e-3, 0.0)):
    wrong = (scale * x + shift).astype(np.float32)
    with pytest.warns(UserWarning, match=r'fill.*between'):
      predicted = initialize(curved, wrong)
    # Of little use, but no lie.
    assert measured(curved, wrong) == pytest.approx(predicted, abs=1e-3)


def test_more_bins_than_knots_are_refused(curved, rng):
  x = smooth(rng, 5, size=4)
  curved.bijector.initialized.assign(False)
  for function in (fo.initialize_at_optimum, fo.flows.initialize_act_norm):
    with pytest.raises(ValueError, match=r'`bits`.*marginal_knots=577'):
      function(curved, x, bits=9)


def test_temperatures_are_checked(curved):
  def sample(temperature):
    return fo.flows.sample_at_temperature(curved, 2, [0, 0], temperature)

  spec = tf.TensorSpec([], tf.float32)
  graph = tf.function(sample, input_signature=[spec], autograph=False)
  for value in (-1.0, -1e-6, np.nan, np.inf):
    for function in (sample, graph):
      with pytest.raises(tf.errors.InvalidArgumentError, match='`temperature`'):
        function(value)
  with pytest.raises(ValueError, match='`temperature` must be a scalar'):
    sample([0.5, 1.0])
  np.testing.assert_allclose(sample(0), graph(0.0))


def test_in_the_scope_of_a_strategy_of_one_device(rng):
  x = smooth(rng, 40, size=4)
  predicted = []
  for strategy in (
      tf.distribute.get_strategy(),
      # As `MirroredStrategy()` is where there is one GPU, or none.
      tf.distribute.MirroredStrategy(['CPU:0']),
  ):
    with strategy.scope():
      distribution = fo.image_flow([4, 4, 1], 1, tile_sizes=(), **SMALL)
      predicted.append(fo.initialize_at_optimum(distribution, x))
  np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-6)
