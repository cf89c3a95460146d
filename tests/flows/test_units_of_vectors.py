"""Flows of vectors in any units, and behind supports of any kind."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors

CHOL = np.linalg.cholesky([[1.0, 0.95], [0.95, 1.0]])


def start(flow, x, conditioning=None):
  """What is predicted, and the mean log-likelihood, of float32 data."""
  x, kwargs = x.astype(np.float32), {}
  if conditioning is not None:
    conditioning = conditioning.astype(np.float32)
    kwargs = {'bijector_kwargs': {'conditioning': conditioning}}
  predicted = fo.initialize_at_optimum(flow, x, conditioning=conditioning)
  return predicted, np.mean(flow.log_prob(x, **kwargs))


@pytest.mark.parametrize(('kwargs', 'units'), [
    ({}, [1e-20, 1e-6, 1e-3, 1e3, 1e6, 1e8]),
    (
        {'gaussianize_marginals': False, 'gaussianize_radius': False},
        [1e-20, 1e-3, 1e8],
    ),
])
def test_a_unit_changes_the_start_by_its_logarithm(kwargs, units, rng):
  z = rng.normal(size=[2000, 2]) @ CHOL.T
  own, _ = start(fo.vector_flow(2, num_steps=0, **kwargs), z)
  for unit in units:
    flow = fo.vector_flow(2, num_steps=0, **kwargs)
    predicted, measured = start(flow, unit * z)
    expected = own - 2.0 * np.log(unit)
    assert predicted == pytest.approx(expected, abs=2e-3), unit
    assert measured == pytest.approx(expected, abs=2e-3), unit


def test_columns_of_very_different_units(rng):
  z = rng.normal(size=[2000, 2]) @ CHOL.T
  own, _ = start(fo.vector_flow(2, num_steps=0), z)
  # Seconds since 1970, and years.
  predicted, measured = start(
      fo.vector_flow(2, num_steps=0), [1.7e9, 2000.0] + [1e6, 10.0] * z
  )
  assert predicted == pytest.approx(own - np.log(1e7), abs=0.03)
  assert measured == pytest.approx(predicted, abs=2e-3)


@pytest.mark.parametrize('unit', [1e-20, 1e-9, 1e6])
def test_units_of_features_change_nothing(unit, rng):
  c = rng.normal(size=[500, 2])
  x = c @ [[1.0, 2.0], [0.5, -1.0]] + 0.3 * rng.normal(size=[500, 2])
  own, _ = start(fo.vector_flow(2, num_steps=1, conditioning=[2]), x, c)
  flow = fo.vector_flow(2, num_steps=1, conditioning=[2])
  for value in start(flow, x, unit * c):
    assert value == pytest.approx(own, abs=1e-3)


@pytest.mark.parametrize('bounds', [(0.5, 2.0), (0.0, 3.0)])
def test_bounds_that_are_given_hold(bounds, rng):
  x = (rng.normal(size=[500, 2]) * [10.0, 0.01]).astype(np.float32)
  flow = fo.vector_flow(2, num_steps=0, gaussianize_marginals=False,
                        gaussianize_radius=False)
  fo.initialize_at_optimum(flow, x, lipschitz=bounds)
  low, high = (
      1.0 / np.max(fo.lipschitz.lipschitz_bounds(flow.bijector).forward),
      np.max(fo.lipschitz.lipschitz_bounds(flow.bijector).inverse),
  )
  assert low > 0.99 * bounds[0] and high < 1.01 * bounds[1]
  assert high == pytest.approx(bounds[1], rel=0.01)


@pytest.mark.parametrize(
    'support',
    [
        tfb.Scale(10.0),
        tfb.Scale([2.0, 3.0, 4.0]),
        tfb.ScaleMatvecTriL([[2.0, 0, 0], [1, 3, 0], [0, 0, 1]]),
        tfb.Chain([tfb.Shift(1.0), tfb.Scale(10.0)]),
        tfb.Permute([2, 0, 1]),
        tfb.Blockwise([tfb.Exp(), tfb.Scale(3.0)], [1, 2]),
    ],
    ids=lambda support: support.name,
)
def test_log_determinants_of_supports_count_once_a_vector(support, rng):
  x = support.forward(rng.normal(size=[300, 3]).astype(np.float32)).numpy()
  flow = fo.vector_flow(3, num_steps=0, support=support)
  predicted, measured = start(flow, x)
  assert predicted == pytest.approx(measured, abs=1e-3)


def test_a_support_of_parts_is_exported(tmp_path, rng):
  """`Blockwise` has a constructor that a copy must not call."""
  support = tfb.Blockwise([tfb.Exp(), tfb.Sigmoid(-10.0, 30.0)])
  x = support.forward(rng.normal(size=[300, 2]).astype(np.float32))
  flow = fo.vector_flow(2, 1, 4, support=support)
  fo.initialize_at_optimum(flow, x)
  fo.export.save(flow, tmp_path / 'model')
  served = tf.saved_model.load(tmp_path / 'model').signatures['log_prob']
  np.testing.assert_allclose(
      served(x=x[:5])['log_prob'], flow.log_prob(x[:5]), atol=1e-5
  )


def test_a_flow_of_float64_is_served_in_it(tmp_path, rng):
  c = 1e6 + rng.normal(size=[300, 2])
  x = c - 1e6 + 0.01 * rng.normal(size=[300, 2])
  flow = fo.vector_flow(2, 0, conditioning=[2], dtype=tf.float64)
  fo.initialize_at_optimum(flow, x, conditioning=c)
  fo.export.save(flow, tmp_path / 'model')
  served = tf.saved_model.load(tmp_path / 'model').signatures['log_prob']
  given = {'conditioning': c[:5]}
  np.testing.assert_allclose(
      served(x=tf.constant(x[:5]), **{k: tf.constant(v)
                                      for k, v in given.items()})['log_prob'],
      flow.log_prob(x[:5], bijector_kwargs=given),
      atol=1e-9,
  )


@pytest.mark.parametrize(
    'support',
    [
        tfb.Sigmoid(np.zeros(3), np.ones(3)),
        tfb.Scale(np.float64(2.0)),
        tfb.FillTriangular(),
        tfb.Scale([1.0, 2.0]),
        tfb.Reshape([3, 1]),
        3,
    ],
)
def test_what_is_no_support_is_named(support):
  with pytest.raises(ValueError, match='Argument `support` must'):
    fo.vector_flow(3, support=support)
  if support != 3:
    with pytest.raises(ValueError, match=r'Argument `(support|coupling)` must'):
      fo.flows.surrogate_posterior([3], support=support)
