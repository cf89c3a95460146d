"""Flows of one component: densities on a line, mostly under a condition."""

import math

import numpy as np
import pytest
from support import programs
from support import registry
import tensorflow as tf

import tfp_flowopt as fo

SMALL = {'num_steps': 2, 'hidden_units': 8}
KINDS = ['affine', 'spline', 'autoregressive', 'residual', 'convex']
GRAPHS = f"""
import numpy as np
import tensorflow as tf
import tfp_flowopt as fo

for coupling in {KINDS}:
  distribution = fo.vector_flow(1, coupling=coupling, **{SMALL})
  x = np.linspace(-1.0, 3.0, 20, dtype=np.float32)[:, np.newaxis]
  compiled = tf.function(distribution.log_prob)
  np.testing.assert_allclose(compiled(x), distribution.log_prob(x), atol=1e-5)
  assert compiled(x[:0]).shape == [0]
  draws = tf.function(lambda: distribution.sample(5, seed=[0, 1]))()
  assert draws.shape == [5, 1]
  local = fo.diagnostics.local_lipschitz(distribution.bijector, x[:3])
  assert np.all(np.isfinite(local.forward))
"""


def line(**kwargs):
  """A flow with weights that were trained, as it were."""
  distribution = fo.vector_flow(1, dtype=tf.float64, **{**SMALL, **kwargs})
  registry.randomize(distribution.bijector.steps, 1.0)
  return distribution


@pytest.mark.parametrize('coupling', KINDS)
@pytest.mark.parametrize('conditioning', [None, [2], 3])
def test_it_is_a_density_for_each_condition(coupling, conditioning):
  distribution = line(coupling=coupling, conditioning=conditioning)
  conditions = np.array(
      [0, 2] if conditioning == 3 else [[0.3, -1.0], [-2.0, 0.5]]
  )[: 1 if conditioning is None else 2]

  def given(number):
    """Each condition for so many events in turn, evaluated at once."""
    if conditioning is None:
      return {}
    return {'conditioning': tf.constant(np.repeat(conditions, number, axis=0))}

  count = len(conditions)
  z = np.tile(np.linspace(-6.0, 6.0, 1001), count)[:, np.newaxis]
  # Where the flow has its mass, and as dense as it is steep.
  x = distribution.bijector.forward(z, **given(1001)).numpy()
  density = np.exp(distribution.log_prob(x, bijector_kwargs=given(1001)))
  draws = distribution.sample(
      4000 * count, seed=[0, 1], bijector_kwargs=given(4000)
  )
  assert draws.shape == [4000 * count, 1]
  for at, height, drawn in zip(
      x.reshape([count, -1]), density.reshape([count, -1]),
      draws.numpy().reshape([count, -1]), strict=True,
  ):
    assert np.trapezoid(height, at) == pytest.approx(1.0, abs=2e-3)
    mean = np.trapezoid(at * height, at)
    error = np.std(drawn) / math.sqrt(4000)
    assert np.mean(drawn) == pytest.approx(mean, abs=5 * error)


@pytest.mark.parametrize('coupling', KINDS)
@pytest.mark.parametrize('budget', [None, 0.3, 4.0])
def test_slopes_are_within_the_certificate(coupling, budget, rng):
  distribution = line(
      coupling=coupling, conditioning=[2], lipschitz_budget=budget
  )
  steps = distribution.bijector.bounds_by_part().nonlinear
  if budget is not None:
    # All of it is there to be used: no half of the vector depends on another.
    assert 0.9 * budget < math.log(max(steps)) <= budget
  flow = distribution.bijector
  y = tf.constant(3.0 * rng.normal(size=[200, 1]))
  c = {'conditioning': tf.constant(rng.normal(size=[200, 2]))}
  with tf.GradientTape() as tape:
    tape.watch(y)
    x = flow.inverse(y, **c)
  slopes = np.abs(tape.gradient(x, y))
  constants = fo.lipschitz.lipschitz_bounds(flow)
  assert 1.0 / constants.forward <= slopes.min()
  assert slopes.max() <= constants.inverse
  np.testing.assert_allclose(flow.forward(tf.identity(x), **c), y, atol=1e-6)
  np.testing.assert_allclose(
      flow.inverse_log_det_jacobian(y, 1, **c), np.log(slopes[:, 0]), atol=1e-9
  )


@pytest.mark.parametrize('coupling', ['affine', 'spline', 'autoregressive'])
def test_noise_that_depends_on_the_condition_is_learned(coupling, rng):
  c = rng.uniform(-1.0, 1.0, [4000, 1]).astype(np.float32)
  scale = np.exp(1.5 * c)
  x = (np.sin(3.0 * c) + scale * rng.normal(size=c.shape)).astype(np.float32)
  distribution = fo.vector_flow(
      1, num_steps=2, hidden_units=16, coupling=coupling, conditioning=[1]
  )
  predicted = fo.initialize_at_optimum(distribution, x, conditioning=c)
  measured = np.mean(
      distribution.log_prob(x, bijector_kwargs={'conditioning': c})
  )
  assert measured == pytest.approx(predicted, abs=2e-3)
  result = fo.training.fit(
      distribution, x, c, train_steps=250, learning_rate=1e-2, quiet=True
  )
  # The entropy of the noise: E log scale = 0.
  truth = -0.5 * math.log(2.0 * math.pi * math.e)
  assert predicted < truth - 0.15
  assert result.validation == pytest.approx(truth, abs=0.12)


def test_a_network_of_the_condition_alone():
  network = fo.networks.DenseConditioner(0, 8, 4, conditioning_features=2)
  for variable in network.trainable_variables:
    variable.assign(tf.ones_like(variable))
  assert network.lipschitz == 0.0 and network.in_features == 0
  c = tf.constant([[1.0, 2.0], [1.0, 2.0], [0.0, 5.0]])
  y = network(tf.zeros([3, 0]), c)
  assert y.shape == [3, 4]
  np.testing.assert_array_equal(y[0], y[1])
  assert np.any(y[0] != y[2])
  coupling = fo.bijectors.AffineCoupling(
      fo.networks.DenseConditioner(0, 8, 2)
  )
  assert coupling.inverse(tf.ones([3, 1])).shape == [3, 1]
  with pytest.raises(ValueError, match='at least 2'):
    fo.bijectors.AffineCoupling(
        fo.networks.DenseConditioner(1, 8, 2)
    ).inverse(tf.ones([3, 1]))


def test_graphs_of_float32():
  """oneDNN, which programs have, ended the process at a product of nothing."""
  programs.run('-c', GRAPHS).check_returncode()


def test_it_is_trained_and_exported(rng, tmp_path):
  distribution = fo.vector_flow(1, **SMALL)
  x = rng.gamma(2.0, size=[200, 1]).astype(np.float32)
  fo.initialize_at_optimum(distribution, x)
  fo.training.fit(distribution, x, train_steps=3, batch_size=50, quiet=True)
  fo.export.save(distribution, tmp_path / 'model')
  served = tf.saved_model.load(str(tmp_path / 'model')).signatures['log_prob']
  (got,) = served(tf.constant(x)).values()
  np.testing.assert_allclose(got, distribution.log_prob(x), atol=1e-5)
