"""What certificates refuse: regions, radii and base densities."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions


def _flow(base=None):
  """A linear flow of four components, whose events could be taken apart."""
  if base is None:
    base = tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), [4])
  bijector = fo.bijectors.ActNorm(4, dtype=base.dtype, event_ndims=1)
  bijector.initialize(np.arange(4.0), np.arange(1.0, 5.0))
  return tfd.TransformedDistribution(base, bijector)


def test_what_is_no_region_or_no_flow(rng):
  distribution, x = _flow(), rng.normal(size=[3, 4])
  with pytest.raises(tf.errors.InvalidArgumentError, match='not negative'):
    fo.diagnostics.certified_log_prob(distribution, x[:2], -1.0)
  with pytest.raises(ValueError, match='floating-point'):
    fo.diagnostics.certified_log_prob(distribution, np.ones([2, 4], int), 0.1)
  with pytest.raises(ValueError, match='`distribution`'):
    fo.diagnostics.certified_log_prob(tfd.Normal(0.0, 1.0), 0.5, 0.1)
  bijector = distribution.bijector
  with pytest.raises(ValueError, match='a Ball or a Box'):
    fo.lipschitz.lipschitz_bounds(bijector, region=(x, 0.1))
  with pytest.raises(ValueError, match='`conditioning`'):
    fo.lipschitz.lipschitz_bounds(bijector, conditioning=[1])
  with pytest.raises(tf.errors.InvalidArgumentError, match='not negative'):
    fo.lipschitz.lipschitz_bounds(
        bijector, region=fo.lipschitz.Box(x[:2], x[:2] - 1.0)
    )


def test_a_radius_does_not_say_what_an_event_is(rng):
  """Where the distribution does: rows would count as one event together."""
  scalar = tfd.TransformedDistribution(
      tfd.Normal(tf.constant(0.0, tf.float64), 1.0), tfb.Softsign()
  )
  flow = _flow()
  for distribution, shape, radius in (
      (flow, (2, 3, 4), (2,)),
      (flow, (4,), (4,)),
      (flow, (3, 4), (3, 4)),
      (flow, (3, 4), (1,)),
      (scalar, (2, 3), (2,)),
  ):
    x = rng.uniform(-0.5, 0.5, size=shape)
    with pytest.raises(ValueError, match='`radius` must be a number, or one'):
      fo.diagnostics.certified_log_prob(distribution, x, np.zeros(radius))
    if distribution is flow:
      ball = fo.lipschitz.Ball(x, np.zeros(radius))
      with pytest.raises(ValueError, match='`radius` must be a number, or one'):
        fo.lipschitz.lipschitz_bounds(flow.bijector, region=ball)
    # The batch's own, a number and integers are one radius an event.
    batch = distribution.log_prob(x).shape
    for radius in (np.zeros(batch), 0, np.zeros(batch, int)):
      for bound in fo.diagnostics.certified_log_prob(distribution, x, radius):
        np.testing.assert_allclose(bound, distribution.log_prob(x), rtol=1e-9)


def test_sides_of_a_box_have_one_shape(rng):
  low = rng.normal(size=[2, 4])
  with pytest.raises(ValueError, match='`region`: a Box must have two sides'):
    fo.lipschitz.lipschitz_bounds(
        _flow().bijector, region=fo.lipschitz.Box(low, np.ones([3, 4]))
    )
  with pytest.raises(tf.errors.InvalidArgumentError, match='`region`'):
    fo.lipschitz.lipschitz_bounds(
        _flow().bijector, region=fo.lipschitz.Box(low, low + np.inf)
    )
  with pytest.raises(ValueError, match='`region`: a Box must hold events of 1'):
    fo.lipschitz.lipschitz_bounds(
        _flow().bijector, region=fo.lipschitz.Box(-0.5, 0.5)
    )


class Steeper(tfd.Sample):
  """Has the parameters of a standard normal, and another density."""

  def _log_prob(self, x):
    return 2.0 * super()._log_prob(x)


@pytest.mark.parametrize(
    'base',
    [
        Steeper(tfd.Normal(0.0, 1.0), [4]),
        tfd.Sample(tfd.TruncatedNormal(0.0, 1.0, -4.0, 4.0), [4]),
        tfd.Sample(tfd.Normal(0.04, 1.0), [4]),
        tfd.Sample(tfd.Normal(0.0, 1.0009), [4]),
        tfd.Sample(tfd.StudentT(1500.0, 0.0, 1.0), [4]),
        tfd.MultivariateNormalDiag([0.0, 0.0, 0.001, 0.0]),
        tfd.Sample(tfd.Uniform(-40.0, 40.0), [4]),
    ],
    ids=lambda base: type(base).__name__,
)
def test_a_base_that_is_nearly_normal(base):
  with pytest.raises(ValueError, match='must have a standard normal'):
    fo.diagnostics.CertifiedLogProb(_flow(base))


@pytest.mark.parametrize(
    'base',
    [
        tfd.Logistic(0.0, 0.62666),
        tfd.Laplace(0.0, 1.2533),
        tfd.Uniform(-1.2533, 1.2533),
        tfd.Cauchy(0.0, 0.798),
        tfd.StudentT(200.0, 0.0, 1.0),
    ],
    ids=lambda base: type(base).__name__,
)
def test_a_base_of_one_dimension_that_is_as_high_at_0(base):
  distribution = tfd.TransformedDistribution(
      tfd.Sample(base, [1]), tfp.bijectors.Identity()
  )
  with pytest.raises(ValueError, match='must have a standard normal'):
    fo.diagnostics.CertifiedLogProb(distribution)


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
def test_a_base_that_is_normal(dtype):
  zeros = tf.zeros([4], dtype)
  for base in (
      tfd.MultivariateNormalDiag(zeros),
      tfd.MultivariateNormalTriL(zeros, tf.eye(4, dtype=dtype)),
      tfd.Independent(tfd.Normal(zeros, tf.ones([], dtype)), 1),
      tfd.Sample(tfd.Normal(tf.zeros([], dtype), 1.0), [4]),
  ):
    fo.diagnostics.CertifiedLogProb(_flow(base))


def test_a_base_is_looked_at_where_functions_run_eagerly():
  tf.config.run_functions_eagerly(True)
  try:
    fo.diagnostics.CertifiedLogProb(_flow())
  finally:
    tf.config.run_functions_eagerly(False)


def test_weights_are_not_read_in_a_graph(rng):
  distribution = _flow()
  x = rng.normal(size=[2, 4])
  for call in (
      lambda: fo.diagnostics.certified_log_prob(distribution, x, 0.1).lower,
      lambda: fo.lipschitz.lipschitz_bounds(
          distribution.bijector, region=fo.lipschitz.Ball(x, 0.1)
      ).inverse,
  ):
    call()
    with pytest.raises(ValueError, match=r'outside of a tf\.function: this'):
      tf.function(call, autograph=False)()
