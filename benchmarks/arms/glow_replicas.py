"""`tfb.Glow` on two replicas; run as a program.

  python glow_replicas.py STEPS OUTPUT.json

As its documentation would have one do: made in the scope of the strategy, the
loss of a replica divided by the global batch, gradients summed by the
optimiser. Writes, for each evaluation, the largest difference between the
weights of the two replicas.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
import tfb_glow

_SIZE, _BATCH = 8, 16


def main():
  """Trains, and compares the replicas every tenth step."""
  steps, output = sys.argv[1:]
  tf.config.set_logical_device_configuration(
      tf.config.list_physical_devices('CPU')[0],
      [tf.config.LogicalDeviceConfiguration()] * 2,
  )
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  rng = np.random.default_rng(0)
  size = 3 * _SIZE**2
  tfd = tfp.distributions
  with strategy.scope():
    glow = tfb_glow.make_glow(_SIZE, 3, 2, 2, 8)
    distribution = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [size]), glow
    )
    optimizer = tf_keras.optimizers.Adam(1e-3)

  def batch():
    base = rng.normal(size=[_BATCH, 1, 1, 3])
    x = 0.2 * base + 0.05 * rng.normal(size=[_BATCH, _SIZE, _SIZE, 3])
    halves = np.split(x.astype(np.float32), 2)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )

  # Its variables are made, and ActNorm initialised, at the first call.
  strategy.run(distribution.log_prob, args=(batch(),))
  variables = glow.trainable_variables
  with strategy.scope():
    optimizer.build(variables)

  def on_replica(x):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_sum(distribution.log_prob(x)) / _BATCH / size
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return loss

  @tf.function(autograph=False)
  def step(x):
    return strategy.reduce('SUM', strategy.run(on_replica, args=(x,)), None)

  rows = []
  for i in range(int(steps) + 1):
    if i % 10 == 0:
      pairs = [strategy.experimental_local_results(v) for v in variables]
      rows.append({
          'step': i,
          'variables_that_differ': sum(
              bool(np.any(a.numpy() != b.numpy())) for a, b in pairs
          ),
          'variables': len(pairs),
          'largest_difference': float(
              max(np.max(np.abs(a.numpy() - b.numpy())) for a, b in pairs)
          ),
      })
    loss = float(step(batch()))
    if i % 10 == 0:
      rows[-1]['loss'] = loss
  pathlib.Path(output).write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  main()
