"""Conditions reach bijectors inside of others, or nothing is evaluated."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions


def coupling(seed, name=None):
  network = fo.networks.DenseConditioner(
      1, 8, 2, conditioning_features=3, zero_initial=False, seed=seed
  )
  return fo.bijectors.AffineCoupling(
      network, event_ndims=1, name=name or f'coupling_{seed}'
  )


@pytest.fixture(name='x')
def _x():
  return tf.random.stateless_normal([5, 2], [0, 1])


@pytest.fixture(name='c')
def _c():
  return tf.random.stateless_normal([5, 3], [2, 3])


@pytest.mark.parametrize(
    'wrapped, forward',
    [
        (tfb.Invert, True),
        (lambda b: tfb.Chain([b]), False),
        (lambda b: tfb.Chain([tfb.Scale(2.0), tfb.Invert(b)]), True),
        (lambda b: tfb.Invert(tfb.Invert(b)), False),
    ],
)
def test_conditions_reach_what_tfp_wraps(wrapped, forward, x, c):
  first, second = coupling(1), coupling(2)
  wrapper = wrapped(second)
  y, log_det = fo.bijectors.inverse_and_log_det(first, x, c)
  if len(getattr(wrapper, 'bijectors', [])) == 2:
    y, log_det = y / 2.0, log_det - 2.0 * np.log(2.0)
  direction = ('inverse', 'forward')[forward]
  evaluate = getattr(fo.bijectors, f'{direction}_and_log_det')
  want, second_log_det = evaluate(second, y, c)
  sequence = fo.bijectors.Sequential([first, wrapper])
  got, got_log_det = fo.bijectors.inverse_and_log_det(sequence, x, c)
  np.testing.assert_allclose(got, want, rtol=1e-5)
  np.testing.assert_allclose(got_log_det, log_det + second_log_det, atol=1e-5)
  # It does depend on the condition.
  other = sequence.inverse(x, conditioning=c + 1.0)
  assert np.abs(other - got).max() > 1e-3
  base = tfd.Sample(tfd.Normal(0.0, 1.0), 2)
  flow = tfd.TransformedDistribution(base, sequence)
  np.testing.assert_allclose(
      flow.log_prob(x, bijector_kwargs={'conditioning': c}),
      base.log_prob(got) + got_log_det,
      rtol=1e-5,
  )


def test_a_condition_that_would_be_lost_is_refused(x, c):
  pair = tfb.Blockwise([coupling(1), tfb.Identity()], [2, 1])
  x = tf.concat([x, x[:, :1]], axis=1)
  with pytest.raises(ValueError, match=r'`conditioning` would not reach'):
    fo.bijectors.Sequential([pair]).inverse(x, conditioning=c)
  # Two parts of one name, of which one takes it.
  alike = tfb.Chain([coupling(1, 'same'), tfb.Scale(2.0, name='same')])
  with pytest.raises(ValueError, match=r'`conditioning` would not reach'):
    fo.bijectors.inverse_and_log_det(alike, x[:, :2], c)


def test_a_condition_that_is_missing_is_not_zero(x, c):
  """As TFP's chain, which hands on what has the names of its parts alone."""
  layer = coupling(1)
  base = tfd.Sample(tfd.Normal(0.0, 1.0), 2)
  flow = tfd.TransformedDistribution(base, tfb.Chain([layer]))
  with pytest.raises(ValueError, match=r'missing: coupling_1'):
    flow.log_prob(x, bijector_kwargs={'conditioning': c})
  with pytest.raises(ValueError, match='`conditioning` is missing'):
    layer.forward(x)
  given = {layer.name: {'conditioning': c}}
  assert flow.log_prob(x, bijector_kwargs=given).shape == [5]


@pytest.mark.parametrize(
    'wrapped', [tfb.Invert, lambda b: tfb.Chain([b, tfb.Scale(2.0)])]
)
def test_a_flow_without_a_condition_beside_one_with(wrapped, x, c):
  flow = fo.vector_flow(2, num_steps=1, hidden_units=4).bijector
  with_one = coupling(1)
  sequence = fo.bijectors.Sequential([wrapped(flow), with_one])
  got = sequence.inverse(x, conditioning=c)
  want = with_one.inverse(wrapped(flow).inverse(x), conditioning=c)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
