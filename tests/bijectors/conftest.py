"""What tests share: steps and images of RepeatedSteps, a coupling."""

import pytest
from support import one_weight
from support import step_chains
import tensorflow as tf

import tfp_flowopt as fo


@pytest.fixture(scope='module')
def steps():
  return [step_chains.make_step(seed) for seed in range(3)]


@pytest.fixture(scope='module')
def small_steps(steps):
  """Where tracing is most of the time."""
  return [[step[0], step[3]] for step in steps[:2]]


@pytest.fixture
def x(rng):
  return tf.constant(rng.normal(size=(5, 4, 6, 4)))


@pytest.fixture
def network():
  return one_weight.Network()


@pytest.fixture
def coupling(network):
  return fo.bijectors.AffineCoupling(network, event_ndims=1)
