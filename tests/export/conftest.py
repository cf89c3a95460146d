"""An exported flow, made once for all tests of this folder."""

import numpy as np
import pytest
from support import images
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


@pytest.fixture(scope='package')
def distribution():
  result = fo.image_flow(
      [8, 8, 3], num_levels=2, num_steps=1, hidden_channels=8, tile_sizes=(2,)
  )
  fo.initialize_at_optimum(result, images.preprocessed(300))
  return registry.randomize(result, scale=0.05)


@pytest.fixture(scope='package')
def path(distribution, tmp_path_factory):
  """Of the exported flow."""
  path = tmp_path_factory.mktemp('model') / '1'
  before = [v.numpy() for v in distribution.variables]
  assert fo.export.save(distribution, path, certified=True) == str(path)
  # The flow itself goes on as it was.
  for variable, value in zip(distribution.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)
  return str(path)


@pytest.fixture(scope='package')
def signatures(path):
  return tf.saved_model.load(path).signatures
