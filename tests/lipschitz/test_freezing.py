import numpy as np
import pytest
from support import registry
import tensorflow as tf

import tfp_flowopt as fo

lip = fo.lipschitz


@pytest.fixture
def network():
  network = fo.networks.ConvConditioner(2, 6, 3, lipschitz=2.0)
  return registry.randomize(network, 0.5)


def rescalings(function, *args):
  graph = tf.function(function).get_concrete_function(*args).graph
  return sum(op.type == 'Rsqrt' for op in graph.get_operations())


def test_the_same_values_without_rescaling(network):
  x = tf.random.stateless_normal([2, 4, 4, 2], [0, 1])
  want = network(x).numpy()
  assert np.abs(want).max() > 0.01
  with lip.frozen(network) as kernels:
    np.testing.assert_array_equal(network(x), want)
    assert rescalings(network.__call__, x) == 0
    # They win over sharing, and nest.
    with lip.shared_rescaling(), lip.frozen(network):
      np.testing.assert_array_equal(network(x), want)
  assert len(kernels.variables) == 3
  assert not any(v.trainable for v in kernels.variables)
  assert rescalings(network.__call__, x) == 3


def test_rescaling_twice_would_be_another_map(rng):
  # Not of every kernel.
  kernels = tf.constant(rng.normal(size=(20, 3, 3, 2, 3)))
  once = lip.almost_orthogonal(kernels)
  assert np.abs(lip.almost_orthogonal(once) - once).max() > 1e-3


def test_trained_weights_are_never_touched(network, tmp_path):
  x = tf.random.stateless_normal([2, 4, 4, 2], [0, 1])
  before = [v.numpy() for v in network.variables]
  want = network(x).numpy()
  with pytest.raises(KeyboardInterrupt), lip.frozen(network):
    # What a killed process leaves behind: a checkpoint of this moment.
    assert len(network.variables) == len(before)
    path = tf.train.Checkpoint(n=network).save(str(tmp_path / 'c'))
    raise KeyboardInterrupt
  for a, b in zip(network.variables, before, strict=True):
    np.testing.assert_array_equal(a, b)
  registry.randomize(network, 0.5, seed=1)
  assert np.any(network(x) != want)  # not frozen any more
  tf.train.Checkpoint(n=network).restore(path).assert_consumed()
  np.testing.assert_array_equal(network(x), want)


def test_functions_keep_the_frozen_kernels_until_they_are_updated(network):
  x = tf.random.stateless_normal([2, 4, 4, 2], [0, 1])
  kernels = lip.FrozenKernels(network)

  @tf.function
  def function(x):
    with kernels.in_use():
      return network(x)

  want = function(x)
  for variable in network.trainable_variables:
    if variable.shape.rank == 4:
      variable.assign(0.5 * variable + 0.1)
  np.testing.assert_array_equal(function(x), want)
  kernels.update()
  np.testing.assert_allclose(function(x), network(x), atol=1e-6)
  assert np.abs(function(x) - want).max() > 1e-3


def test_what_has_no_rescaling_is_not_copied():
  layer = lip.LipschitzConv2D(2, 3, normalization=None)
  kernels = lip.FrozenKernels(layer)
  assert not kernels.variables
  # A layer can be the module itself; its factor is frozen, too.
  layer = lip.LipschitzDense(2, 3, lipschitz=4.0, normalization='gram')
  (kernel,) = lip.FrozenKernels(layer).variables
  np.testing.assert_array_equal(kernel, layer.effective_kernel())
  assert np.linalg.norm(kernel, ord=2) > 3.9


def test_bad_input(network):
  with pytest.raises(ValueError, match=r'module.*tf\.Module.*list'):
    lip.FrozenKernels([network])

  @tf.function
  def inside():
    with lip.frozen(network):
      return network(tf.zeros([1, 4, 4, 2]))

  with pytest.raises(ValueError, match=r'module.*tf\.function'):
    inside()
