"""Flows within a Lipschitz budget."""

import itertools
import math

import numpy as np
import pytest
from support import adversary
from support import registry
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.bijectors import affine_coupling

SMALL = {'num_levels': 2, 'num_steps': 2, 'hidden_channels': 6}


def make_slopes(values):
  slopes = fo.lipschitz.LogSlopes(len(values), dtype=tf.float64)
  slopes.variables[0].assign(np.array(values) / 10.0)
  return slopes


def test_every_path_keeps_to_the_budget():
  """Against the sums, path by path, in numpy."""
  first, second, third = [3.0, -2.0], [8.0], [0.5, 0.5]
  budget = fo.lipschitz.LipschitzBudget(4.0)
  a, b, c = (make_slopes(x) for x in (first, second, third))
  budget.add_path([a, b], fixed=1.0)
  budget.add_path([a, c], fixed=2.5)
  # Half the sums of |s|: 6.5 of 3 that are left, 3 of 1.5.
  np.testing.assert_allclose(budget.factor(), 3.0 / 6.5, rtol=1e-5)
  np.testing.assert_allclose(a(), np.array(first) * 3.0 / 6.5, rtol=1e-5)
  b.variables[0].assign([0.0])
  np.testing.assert_allclose(budget.factor(), 0.5, rtol=1e-5)
  a.variables[0].assign([0.0, 0.0])
  np.testing.assert_allclose(budget.factor(), 1.0, rtol=1e-5)
  np.testing.assert_allclose(c(), third, rtol=1e-5)


def test_repeated_steps_have_a_budget_each(rng):
  def make(*values):
    scalings = [
        fo.bijectors.RadialScaling(1, num_terms=2, dtype=tf.float64)
        for _ in values
    ]
    members = [scaling.log_slopes for scaling in scalings]
    for slopes, value in zip(members, values, strict=True):
      slopes.variables[0].assign(np.array(value) / 10.0)
    fo.lipschitz.LipschitzBudget(0.5).add_path(members)
    return scalings

  # The first one is cut down to its budget.
  steps = [make([3.0, -2.0], [0.0, 5.0]), make([0.1, 0.2], [0.1, 0.0])]
  for step, expected in zip(
      steps, ([[0.3, -0.2], [0.0, 0.5]], [[0.1, 0.2], [0.1, 0.0]]), strict=True
  ):
    np.testing.assert_allclose(
        [part.log_slopes() for part in step], expected, rtol=1e-4
    )
  repeated = fo.bijectors.RepeatedSteps(steps)
  y = tf.constant(rng.normal(size=(3, 2, 2, 4)))
  x = y
  for part in itertools.chain(*steps):
    x = part.inverse(x)
  np.testing.assert_allclose(repeated.inverse(y), x, rtol=1e-12)
  bounds = fo.lipschitz.lipschitz_bounds(repeated)
  assert bounds.forward * bounds.inverse <= math.exp(2 * 2 * 0.5)


def test_slopes_alone_are_bounded():
  slopes = fo.lipschitz.LogSlopes(2, bound=3.0)
  slopes.variables[0].assign([1e6, -1e6])
  np.testing.assert_allclose(slopes(), [3.0, -3.0])


@pytest.mark.parametrize('log_lipschitz', [1e-6, 0.1, 1.0, 7.0, 20.0])
@pytest.mark.parametrize('tail_bound', [0.5, 3.0])
def test_a_coupling_uses_its_share_exactly(log_lipschitz, tail_bound):
  a, lipschitz = affine_coupling.constants_within(log_lipschitz, tail_bound)
  coupling = fo.bijectors.AffineCoupling(
      fo.networks.ConvConditioner(
          1, 2, 2, lipschitz=lipschitz, dtype=tf.float64
      ),
      scale_bound=a,
      tail_bound=tail_bound,
  )
  bounds = fo.lipschitz.lipschitz_bounds(coupling)
  np.testing.assert_allclose(
      math.log(bounds.forward), log_lipschitz, rtol=1e-6
  )
  assert bounds.inverse <= bounds.forward


@pytest.mark.parametrize('coupling', ['affine', 'additive'])
@pytest.mark.parametrize('beta', [0.2, 3.0, 12.0])
@pytest.mark.parametrize('scale', [0.0, 0.3, 30.0])
def test_the_nonlinear_part_keeps_to_the_budget(coupling, beta, scale):
  distribution = fo.image_flow(
      [8, 8, 2], coupling=coupling, lipschitz_budget=beta, **SMALL
  )
  flow = registry.randomize(distribution.bijector, scale)
  linear, nonlinear = flow.bounds_by_part()
  assert max(nonlinear) <= math.exp(beta)
  if scale == 30.0:
    assert max(nonlinear) > math.exp(0.98 * beta)  # and it is used
  # The whole flow is the product of both parts, along each path.
  whole = fo.lipschitz.lipschitz_bounds(flow)
  for a, b, c in zip(whole, linear, nonlinear, strict=True):
    assert a <= b * c * (1 + 1e-3)


def test_the_nonlinear_part_alone_against_an_adversary():
  """With isometries for linear maps the whole flow keeps to the budget."""
  beta = 1.5
  flow = fo.bijectors.ImageFlow(
      [4, 4, 1],
      num_levels=2,
      num_steps=1,
      hidden_channels=4,
      lipschitz_budget=beta,
      dtype=tf.float64,
  )
  rng = np.random.default_rng(3)
  for part in (*flow.levels[0].submodules, *flow.levels[1].submodules):
    if isinstance(part, fo.lipschitz.LogSlopes):
      slopes = rng.uniform(0.0, 1.0, size=part.num_slopes)
      part.variables[0].assign(slopes)
    if isinstance(part, fo.networks.ConvConditioner):
      registry.randomize(part, 0.5)
  found = [
      adversary.largest_local_expansion(function, shape)
      for function, shape in (
          (flow.forward, (16,)),
          (flow.inverse, (4, 4, 1)),
      )
  ]
  # Up to the scalars, which stretch one way what they shrink the other.
  assert found[0] * found[1] <= math.exp(2 * beta)
  assert found[0] * found[1] > math.exp(0.4 * beta)


def test_linear_couplings_count_as_linear_and_as_they_are():
  flow = fo.bijectors.ImageFlow([8, 8, 2], **SMALL)
  steps = flow.levels[0].repeated_steps
  step = steps.trainable_step(0)
  assert max(fo.lipschitz.lipschitz_bounds(step[2])) < 1.001
  before = flow.bounds_by_part()
  kernel = step[2].conditioner.variables[-1]
  kernel.assign(0.1 * tf.ones_like(kernel))
  steps.assign(0, step)
  after = flow.bounds_by_part()
  assert after.nonlinear == before.nonlinear
  assert after.linear.forward > before.linear.forward


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'lipschitz_budget': 0.0}, 'lipschitz_budget'),
        ({'lipschitz_budget': math.nan}, 'lipschitz_budget'),
        ({'lipschitz_budget': 3.0, 'scale_bound': 1.0}, 'scale_bound'),
        ({'conditioner_lipschitz': 1.0}, 'conditioner_lipschitz'),
    ],
)
def test_bad_budgets_are_named(arguments, match):
  with pytest.raises(ValueError, match=match):
    fo.bijectors.ImageFlow([8, 8, 2], **SMALL, **arguments)


def test_a_budget_that_is_spent_already_is_refused():
  with pytest.raises(ValueError, match='fixed'):
    fo.lipschitz.LipschitzBudget(1.0).add_path([make_slopes([1.0])], 1.0)
  with pytest.raises(ValueError, match='log_lipschitz'):
    fo.lipschitz.LipschitzBudget(math.inf)
