import numpy as np
import pytest
from support import images
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions
volume_balance = fo.diagnostics.volume_balance


def scaled(factor, size=5):
  """`inverse` multiplies by `factor`."""
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), size),
      tfb.Scale(tf.constant(1.0 / factor, tf.float64)),
  )


def test_zero_at_the_optimum():
  x = images.preprocessed(600)
  flow = fo.image_flow([8, 8, 3], 2, 1, 8, tile_sizes=(2,))
  # Pixels in [-0.5, 0.5) as they are: too small for the base.
  assert float(volume_balance(flow, x)) < -0.5
  fo.initialize_at_optimum(flow, x)
  assert abs(float(volume_balance(flow, x))) < 1e-3
  # Other crops of the same images.
  fresh = images.preprocessed(600, seed=3)
  assert abs(float(volume_balance(flow, fresh))) < 0.1
  z = flow.bijector.inverse(tf.identity(x)).numpy().astype(np.float64)
  np.testing.assert_allclose(
      float(volume_balance(flow, x)), np.mean(z**2) - 1, atol=1e-5
  )


def test_sign_and_slope(rng):
  x = rng.normal(size=(200, 5))
  mean_square = np.mean(x**2)
  for factor in (0.5, 3.0):
    balance = float(volume_balance(scaled(factor), x))
    assert balance == pytest.approx(factor**2 * mean_square - 1, rel=1e-12)
    # Too expanding is positive: contracting raises the likelihood.
    assert (balance > 0) == (factor > 1)

    def likelihood(c, factor=factor):
      return float(tf.reduce_mean(scaled(c * factor).log_prob(x)))

    slope = (likelihood(1 + 1e-5) - likelihood(1 - 1e-5)) / 2e-5
    assert slope == pytest.approx(-5 * balance, rel=1e-6)
    best = (1 + balance) ** -0.5
    assert float(volume_balance(scaled(best * factor), x)) == pytest.approx(
        0.0, abs=1e-12
    )
    gain = likelihood(best) - likelihood(1.0)
    assert gain == pytest.approx(
        2.5 * (balance - np.log1p(balance)), rel=1e-9
    )


def test_bases_that_are_not_standard_normal(rng):
  x = rng.laplace(size=(50, 4))
  for base in (
      tfd.Normal(tf.constant(0.5, tf.float64), 2.0),
      tfd.Laplace(tf.constant(0.0, tf.float64), 0.7),
  ):

    def likelihood(c, base=base):
      flow = tfd.TransformedDistribution(
          tfd.Sample(base, 4), tfb.Scale(tf.constant(1 / c, tf.float64))
      )
      return float(tf.reduce_mean(flow.log_prob(x)))

    flow = tfd.TransformedDistribution(tfd.Sample(base, 4), tfb.Identity())
    slope = (likelihood(1 + 1e-6) - likelihood(1 - 1e-6)) / 2e-6
    assert -4 * float(volume_balance(flow, x)) == pytest.approx(
        slope, rel=1e-6
    )


def test_in_a_graph_and_bad_arguments(rng):
  x = tf.constant(rng.normal(size=(8, 5)))
  flow = scaled(2.0)
  np.testing.assert_allclose(
      tf.function(lambda x: volume_balance(flow, x))(x), volume_balance(flow, x)
  )
  with pytest.raises(ValueError, match='distribution'):
    volume_balance(tfd.Normal(0.0, 1.0), x)
  with pytest.raises(ValueError, match='event at least'):
    volume_balance(flow, x[:0])
