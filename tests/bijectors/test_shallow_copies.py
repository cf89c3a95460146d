"""`copy` of a bijector: what is shared, what may change, what may not."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob = fo.bijectors


class Wide(fob.ActNorm):
  """Its constructor does not take what its `parameters` name."""

  def __init__(self, pairs):
    super().__init__(2 * pairs, dtype=tf.float64)
    self.calls = getattr(self, 'calls', 0) + 1


def test_the_constructor_does_not_run_again():
  bijector = Wide(2)
  bijector.initialize(np.ones([4]), 4.0 * np.ones([4]))
  copy = bijector.copy(name='other', validate_args=True)
  assert type(copy) is Wide and copy.calls == 1
  assert (copy.name, copy.validate_args) == ('other', True)
  assert copy.parameters == {
      **bijector.parameters, 'name': 'other', 'validate_args': True
  }
  assert (bijector.name, bijector.validate_args) == ('act_norm', False)
  assert [v.ref() for v in copy.variables] == [
      v.ref() for v in bijector.variables
  ]
  assert copy != bijector and hash(copy) != hash(bijector)
  # What one gets later is not the other's.
  copy.more = tf.Variable(1.0)
  assert len(copy.variables) == 1 + len(bijector.variables)
  path = tf.train.Checkpoint(b=bijector)
  assert len(path.b._trackable_children()) == 2


def test_settings_change_and_are_checked():
  y = tf.random.stateless_normal([2, 4, 4, 6], [0, 1])
  bijector = fob.RadialScaling(num_groups=2)
  bijector.log_slopes.variables[0].assign([0.1, -0.1, 0.05, 0.2])
  copy = bijector.copy(tile_size=2).copy(num_groups=3)
  assert (copy.tile_size, copy.num_groups) == (2, 3)
  assert (bijector.tile_size, bijector.num_groups) == (1, 2)
  other = fob.RadialScaling(2, num_groups=3)
  for a, b in zip(other.variables, bijector.variables, strict=True):
    a.assign(b)
  np.testing.assert_array_equal(copy.inverse(y), other.inverse(y))
  for wrong, match in (
      ({'tile_size': 0}, 'tile_size'),
      ({'tile_size': 2, 'num_terms': 3}, r"\['num_terms'\].*make a new one"),
  ):
    with pytest.raises(ValueError, match=match):
      bijector.copy(**wrong)
  with pytest.raises(TypeError, match=r"\['tiles'\]"):
    bijector.copy(tiles=2)


def test_without_own_weights_everything_may_change():
  one, two = (fo.lipschitz.LipschitzDense(1, 1, seed=i) for i in range(2))
  coupling = fob.AdditiveCoupling(one, event_ndims=1)
  copy = coupling.copy(conditioner=two)
  assert copy.conditioner is two and copy.parameters['conditioner'] is two
  residual = fob.LipschitzResidual(lambda_network())
  assert residual.copy(num_terms=3).parameters['num_terms'] == 3


def lambda_network():
  return fo.networks.DenseConditioner(
      2, 4, 2, lipschitz=0.5, activation='smooth_max_min'
  )


def test_tfp_copies_what_holds_it():
  bijector = fob.ActNorm(1)
  bijector.initialize([1.0], [4.0])
  normal = tfp.distributions.Normal(0.0, 1.0)
  normal = tfp.distributions.Sample(normal, [2, 2, 1])
  distribution = tfp.distributions.TransformedDistribution(normal, bijector)
  copy = distribution.copy(bijector=bijector.copy(name='other'))
  x = tf.ones([3, 2, 2, 1])
  np.testing.assert_array_equal(
      copy.log_prob(tf.identity(x)), distribution.log_prob(x)
  )
  np.testing.assert_array_equal(
      distribution[...].log_prob(tf.identity(x)), distribution.log_prob(x)
  )
  inverted = tfp.bijectors.Invert(bijector).copy(name='inverted')
  assert inverted.bijector is bijector
  assert [v.ref() for v in copy.trainable_variables] == [
      v.ref() for v in bijector.trainable_variables
  ]


def test_cascades_alike_share_graphs():
  one, two = (fob.ScalingCascade(2, [2, 1]) for _ in range(2))
  other = fob.ScalingCascade(2, [4])
  assert one._scalings[0] is two._scalings[0]
  assert one._scalings[0] not in other._scalings
  assert not {v.ref() for v in one.variables} & {v.ref() for v in two.variables}
