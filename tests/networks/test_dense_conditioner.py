import numpy as np
import pytest
from support import adversary
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


@pytest.mark.parametrize('activation', ['max_min', 'smooth_max_min'])
@pytest.mark.parametrize('num_hidden_layers', [1, 3])
def test_certified_constant_against_an_adversary(activation, num_hidden_layers):
  network = registry.randomize(
      fo.networks.DenseConditioner(
          3,
          6,
          2,
          num_hidden_layers=num_hidden_layers,
          lipschitz=5.0,
          activation=activation,
          zero_initial=False,
          dtype=tf.float64,
      ),
      scale=0.2,
  )
  found = max(
      adversary.largest_expansion(network, [3], num_steps=20),
      adversary.largest_local_expansion(network, [3]),
  )
  assert 0.3 * network.lipschitz < found <= network.lipschitz * (1 + 1e-9)


def test_starts_at_zero_and_takes_single_vectors():
  network = fo.networks.DenseConditioner(3, 4, 2)
  assert np.all(network(tf.ones([5, 7, 3])) == 0)
  network = registry.randomize(network)
  x = tf.constant([0.5, -1.0, 2.0])
  np.testing.assert_allclose(network(x), network(x[None])[0])


def test_bad_arguments():
  for kwargs in (
      {'hidden_features': 3},
      {'hidden_features': 0},
      {'num_hidden_layers': 0},
      {'lipschitz': 0.0},
      {'lipschitz': np.inf},
      {'lipschitz': np.nan},
      {'activation': 'relu6'},
  ):
    arguments = {'hidden_features': 4, **kwargs}
    with pytest.raises(ValueError, match=next(iter(kwargs))):
      fo.networks.DenseConditioner(2, out_features=2, **arguments)
