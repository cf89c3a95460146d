import numpy as np
import pytest
from support import programs
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


def test_networks_in_bfloat16(rng):
  x = tf.constant(rng.normal(size=(2, 4, 6, 3)), tf.float32)
  networks = [
      registry.randomize(
          fo.networks.ConvConditioner(3, 8, 4, compute_dtype=compute_dtype)
      )
      for compute_dtype in (None, tf.bfloat16)
  ]
  outputs, gradients = [], []
  for network in networks:
    assert {v.dtype for v in network.variables} == {tf.float32}
    with tf.GradientTape() as tape:
      y = network(x)
      value = tf.reduce_sum(tf.sin(y))
    outputs.append(y)
    gradients.append(tape.gradient(value, network.trainable_variables))
  assert outputs[1].dtype == tf.float32
  difference = np.abs(outputs[0] - outputs[1]).max()
  # It is of lower precision, so it was used; and of no lower one than bfloat16.
  assert 1e-5 < difference < 2e-2 * np.abs(outputs[0]).max()
  for exact, rounded in zip(*gradients, strict=True):
    # Some pairs of channels change their order.
    assert np.linalg.norm(exact - rounded) < 0.3 * np.linalg.norm(exact)
  with pytest.raises(ValueError, match=r'compute_dtype.*int32'):
    fo.networks.ConvConditioner(3, 8, 4, compute_dtype=tf.int32)


EMPTY = """
import tensorflow as tf
import tfp_flowopt as fo

network = fo.networks.ConvConditioner(2, 8, 4, conditioning_channels=3)
for batch in (None, 0):
  for size in (1, 6):
    specs = [tf.TensorSpec([batch, *rest]) for rest in ([6, 6, 2],
                                                        [size, size, 3])]
    call = tf.function(network, input_signature=specs)
    x, c = (tf.zeros([0, *spec.shape[1:]]) for spec in specs)
    assert call(x, c).shape == network(x, c).shape == [0, 6, 6, 4]
    with tf.GradientTape() as tape:
      tape.watch(x)
      total = tf.reduce_sum(call(x, c) ** 2)
    gradients = tape.gradient(total, [x, *network.trainable_variables])
    assert all(g.shape == v.shape for g, v in zip(
        gradients, [x, *network.trainable_variables]
    ))
"""


def test_empty_batches_in_graphs():
  """Of which oneDNN, which programs have, and Grappler made a wrong shape."""
  programs.run('-c', EMPTY).check_returncode()
