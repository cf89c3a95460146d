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


<<<<<<< HEAD
=======
def test_smooth_max_min():
  rng = np.random.default_rng(0)
  sizes = np.geomspace(1e-3, 1e3, 200)[:, np.newaxis]
  x = tf.constant(sizes * rng.normal(size=(200, 4)))
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = fo.lipschitz.smooth_max_min(x)
  jacobian = tape.batch_jacobian(y, x).numpy()
  norms = np.linalg.norm(jacobian, ord=2, axis=(1, 2))
  assert norms.max() <= 1 + 1e-12
  # Away from the corner it is MaxMin and loses nothing.
  far = np.abs(x[:, :2] - x[:, 2:]).min(axis=1) > 10
  np.testing.assert_allclose(
      np.abs(np.linalg.det(jacobian[far])), 1, atol=1e-2
  )
  np.testing.assert_allclose(y, fo.lipschitz.max_min(x), atol=0.11)
  # The Jacobian has no jump: along a line, its steps shrink with the grid's.
  jumps = []
  for num in (1001, 2001):
    line = tf.constant(np.linspace(-1, 1, num)[:, None] * [[1.0, -1.0]])
    with tf.GradientTape() as tape:
      tape.watch(line)
      larger = fo.lipschitz.smooth_max_min(line)[:, 0]
    slopes = tape.gradient(larger, line).numpy()
    jumps.append(np.abs(np.diff(slopes, axis=0)).max())
  assert jumps[1] < 0.6 * jumps[0]


>>>>>>> 68ad8b2 (Tests of the solver run in graphs, and all contractions in one batch)
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
