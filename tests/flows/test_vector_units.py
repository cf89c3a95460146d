"""Starts of flows of vectors in other units, and within bounds that bind."""

import math

import numpy as np
import pytest
from support import registry

import tfp_flowopt as fo


def correlated(size, seed=0):
  covariance = 0.5 * np.ones([size, size]) + 0.5 * np.eye(size)
  z = np.random.default_rng(seed).normal(size=[2000, size])
  return z @ np.linalg.cholesky(covariance).T


def mean_log_prob(flow, x, **kwargs):
  return float(np.mean(flow.log_prob(x, **kwargs)))


@pytest.mark.parametrize('curves', [None, False])
@pytest.mark.parametrize(
    ('scale', 'shift'),
    [
        ([1e5, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]),
        # A year and a fraction; seconds since 1970.
        ([5.0, 5e-4, 1.0, 1.0], [2000.0, 1e-3, 0.0, 0.0]),
        ([3e7, 1.0, 1.0, 1.0], [1.6e9, 0.0, 0.0, 0.0]),
    ],
)
def test_a_large_column_spoils_no_other(scale, shift, curves):
  """Rounding of one column was taken for that of all."""
  x = correlated(4)
  best = float(fo.likelihood_optimum(x).log_likelihood)
  kwargs = {} if curves is None else {'gaussianize_marginals': curves}
  flow = fo.vector_flow(4, num_steps=0, **kwargs)
  x = (x * scale + shift).astype(np.float32)
  predicted = fo.initialize_at_optimum(flow, x)
  unit = np.log(scale).sum()
  assert predicted + unit == pytest.approx(best, abs=0.03)
  assert mean_log_prob(flow, x) == pytest.approx(predicted, abs=0.01)
  draws = flow.sample(4000, seed=[0, 1]).numpy().astype(np.float64)
  np.testing.assert_allclose(draws.std(axis=0) / scale, 1.0, atol=0.1)


@pytest.mark.parametrize(
    ('scale', 'bounds'),
    [(1e-3, (0.0, 10.0)), (100.0, (0.1, 10.0)), (1.0, (0.5, 0.9))],
)
@pytest.mark.parametrize('heavy', [False, True])
def test_no_function_of_the_norm_undoes_a_bound(scale, bounds, heavy):
  x = correlated(3)
  if heavy:
    x = x / np.sqrt(np.random.default_rng(1).chisquare(3, [2000, 1]) / 3.0)
  x = (scale * x).astype(np.float32)
  flow = fo.vector_flow(3, num_steps=0, gaussianize_marginals=False)
  predicted = fo.initialize_at_optimum(flow, x, lipschitz=bounds)
  linear = float(fo.likelihood_optimum(x, lipschitz=bounds).log_likelihood)
  assert predicted >= linear - 1e-3 * abs(linear)
  assert mean_log_prob(flow, x) == pytest.approx(predicted, rel=1e-3)
  found = fo.lipschitz.lipschitz_bounds(flow.bijector)
  assert found.inverse <= bounds[1] * 1.001
  assert found.forward <= 1.001 / max(bounds[0], 1e-30)


@pytest.mark.parametrize('deviation', [1e-5, 1e-3])
def test_a_condition_that_says_nearly_all(deviation):
  """What is subtracted rounds; what is left is not finer than that."""
  rng = np.random.default_rng(0)
  c = rng.normal(size=[2000, 20]) + 100.0
  x = c @ rng.normal(size=[20, 3]) + deviation * rng.normal(size=[2000, 3])
  x, c = x.astype(np.float32), c.astype(np.float32)
  flow = fo.vector_flow(3, num_steps=0, conditioning=[20])
  predicted = fo.initialize_at_optimum(flow, x, conditioning=c)
  got = mean_log_prob(flow, x, bijector_kwargs={'conditioning': c})
  assert got == pytest.approx(predicted, abs=0.06)


@pytest.mark.parametrize('num_features', [20, 60])
def test_a_condition_that_says_all(num_features):
  """Bounds are wide: only the rounding of what is subtracted is in the way."""
  rng = np.random.default_rng(0)
  c = rng.normal(size=[2000, num_features])
  x = (c @ rng.normal(size=[num_features, 3])).astype(np.float32)
  c = c.astype(np.float32)
  flow = fo.vector_flow(3, num_steps=0, conditioning=[num_features])
  predicted = fo.initialize_at_optimum(
      flow, x, lipschitz=(0.0, 1e8), conditioning=c
  )
  got = mean_log_prob(flow, x, bijector_kwargs={'conditioning': c})
  assert got == pytest.approx(predicted, abs=0.05)


def test_bounds_of_a_linear_flow_of_one_dimension():
  x = np.random.default_rng(0).normal(size=[50, 1]) * 3.0
  flow = fo.likelihood_optimum(x).distribution()
  found = fo.lipschitz.lipschitz_bounds(flow.bijector)
  assert found.forward == pytest.approx(x.std(), rel=1e-5)
  assert found.inverse == pytest.approx(1.0 / x.std(), rel=1e-5)


@pytest.mark.parametrize('coupling', ['spline', 'affine', 'residual', 'convex'])
def test_a_budget_that_rounding_takes(coupling):
  with pytest.raises(ValueError, match='`lipschitz_budget` must be more'):
    fo.vector_flow(3, coupling=coupling, lipschitz_budget=1e-9)


@pytest.mark.parametrize('coupling', [
    'affine', 'spline', 'autoregressive', 'residual', 'convex'
])
def test_steps_keep_to_their_budget(coupling):
  for budget in (0.3, 4.0):
    flow = fo.vector_flow(
        4, 2, 8, coupling=coupling, lipschitz_budget=budget
    ).bijector
    registry.randomize(flow.steps, 3.0)
    bounds = flow.bounds_by_part().nonlinear
    assert 0.8 * budget < math.log(max(bounds)) <= budget
    # The function of the norm is none of the steps.
    flow.radius.initialize([3.0], [1.0])
    assert flow.bounds_by_part().nonlinear == bounds
    whole = fo.lipschitz.lipschitz_bounds(flow)
    for parts, both in zip(
        zip(*flow.bounds_by_part(), strict=True), whole, strict=True
    ):
      assert math.prod(parts) == pytest.approx(both, rel=1e-4)
