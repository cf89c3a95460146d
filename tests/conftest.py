"""Settings of all tests."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def _seed():
  tf.random.set_seed(0)
  np.random.seed(0)


@pytest.fixture
def rng():
  return np.random.default_rng(0)
