"""Settings of all tests."""

import functools
import gc
import os
import random
import typing
import zlib

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Else TensorFlow loads Keras 3, and with it scikit-learn, beside the tf_keras
# of TFP: a quarter of the time that a program takes to start.
os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
# For small matrices OpenBLAS's threads wait for each other, actively: where
# another process needs the cores, a QR takes a hundred times as long.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
# XLA takes longer to optimise a small program than to run it.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')
# Passes over each graph, for kernels of which small tests have little. Programs
# have it: see `support/programs.py`.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import numpy as np
import pytest
from support import programs
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import ops
import tensorflow_probability as tfp

# To rewrite a small graph takes longer than to run it. The example binaries,
# in processes of their own, are tested with rewriting.
tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})

# Threads that look for work take it from the other process of the tests.
tf.config.threading.set_intra_op_parallelism_threads(1)

# Two devices, so that replicas can be tested in any test.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

# What is imported stays: to look through it for garbage, again and again while
# graphs are traced, takes a tenth of the time.
gc.collect()
gc.freeze()
gc.set_threshold(100_000, 50, 50)

programs.forget_stacks()

# Python 3.11 looks through the classes of a protocol whenever TensorFlow asks
# whether a number has it.
typing._get_protocol_attrs = functools.cache(typing._get_protocol_attrs)

# Files whose tests start programs, and take longest.
_SLOW = ('test_strategies', 'test_fault_injection', 'test_train_image_flow')


def pytest_collection_modifyitems(items):
  """The slow ones first: at the end, one process would wait for another."""
  slow = {item.path for item in items if item.get_closest_marker('slow')}
  items.sort(
      key=lambda item: (item.path.stem not in _SLOW, item.path not in slow)
  )


def pytest_collection_finish():
  """Nor is there garbage in the tests and in what all of them import."""
  gc.collect()
  gc.freeze()


@pytest.fixture(autouse=True, scope='module')
def _free_graphs():
  """Frees the graphs of a file of tests, which would stay for ever.

  TFP caches what its own bijectors have computed, and TensorFlow keeps a list
  of the gradients that programs define: each entry holds the graph it is about.
  And graphs are held in cycles, which Python is slow to look for.
  """
  gradients = ops.gradient_registry._registry
  before = set(gradients)
  yield
  vars(tfp.bijectors.Bijector)['_cache'].clear()  # of all, alive or not
  for name in set(gradients) - before:
    del gradients[name]
  tf.random.set_seed(0)  # which frees the kernels
  gc.collect()


@pytest.fixture(autouse=True)
def _seed(request):
  """The same numbers, whichever tests ran before.

  Kernels that draw them go on where they were. With a seed of its own a test
  has new ones; `tf.random.set_seed` makes all kernels anew.
  """
  seed = zlib.crc32(request.node.nodeid.encode())
  eager = context.context()
  eager._seed, eager._rng = seed, random.Random(seed)
  np.random.seed(0)


@pytest.fixture(autouse=True)
def _own_collectives():
  """Strategies of a test are not taken for those of an earlier one.

  They count what they add up from the same number on, and devices remember its
  shapes.
  """
  tf.distribute.MirroredStrategy._collective_key_base += 1000


@pytest.fixture
def rng():
  return np.random.default_rng(0)
