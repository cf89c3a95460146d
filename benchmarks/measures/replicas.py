"""The same run on one device, on several, and in several processes.

Trains a small flow for some steps, with one global batch and seed, and compares
losses and weights with those of one device. Beside it `tfb.Glow` on two
devices, as its documentation would have one do: made in the scope of the
strategy, the loss of a replica divided by the global batch, gradients summed by
the optimiser. Its replicas drift apart.
"""

import json
import pathlib
import tempfile
import time

from arms import tfb_glow
from harness import cluster
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SUBJECT = _ROOT / 'tests' / 'support' / 'train_replicas.py'
# Name: argument of the program, further settings, number of processes.
_RUNS = {
    '1 device': ('default', {}, 1),
    '1 device, in 4 parts': ('default', {'accumulation': 4}, 1),
    '2 devices': ('mirrored-2', {}, 1),
    '4 devices': ('mirrored-4', {}, 1),
    '2 processes': ('workers', {}, 2),
    '4 processes': ('workers', {}, 4),
}
# Of images for `tfb.Glow`.
_SIZE, _BATCH = 8, 16


def measure(settings, seed, context):
  """See `run.py`."""
  del seed, context
  if settings['arm'] == 'tfb.Glow':
    return _glow(settings)
  values, one = {}, None
  with tempfile.TemporaryDirectory() as folder:
    for i, name in enumerate(_RUNS):
      began = time.monotonic()
      result, checksums = _train(name, pathlib.Path(folder) / str(i), settings)
      one = one or result
      difference = np.abs(result['weights'] - one['weights'])
      values[name] = {
          'loss': np.max(np.abs(result['losses'] / one['losses'] - 1)),
          'held_out': np.max(np.abs(result['held_out'] / one['held_out'] - 1)),
          'weights_median': np.median(difference),
          'weights_largest': np.max(difference),
          'weights_beyond': np.mean(difference > 1e-4),
          'checksums': sorted(checksums),
          'seconds': time.monotonic() - began,
      }
  return values


def failures(values):
  """Runs whose replicas differ."""
  return [
      f'{name}: weights differ between replicas'
      for name, row in values.items()
      # Of tfb.Glow nothing is promised.
      if name in _RUNS and len(row['checksums']) > 1
  ]


def _train(name, folder, settings):
  """Runs one of `_RUNS`; returns its results, and all checksums."""
  strategy, overrides, processes = _RUNS[name]
  folder.mkdir()
  config = {
      'train_steps': settings['steps'],
      'learning_rate': settings['learning_rate'],
      'eval_every': 10,
      **overrides,
  }
  output = folder / 'result.npz'
  running = cluster.start(
      [_SUBJECT, strategy, folder / 'run', output, json.dumps(config)],
      [folder / f'{i}.txt' for i in range(processes)],
  )
  # All of them: one that is left would hang.
  if any([process.wait() for process in running]):
    texts = (path.read_text()[-2000:] for path in folder.glob('*.txt'))
    raise RuntimeError(f'{name} failed:\n' + '\n'.join(texts))
  checksums = set()
  for path in folder.glob('result.npz.*'):
    checksums |= set(path.read_text().split())
  with np.load(output) as arrays:
    return dict(arrays), checksums


def _glow(settings):
  """Differences between the weights of two replicas, every tenth step."""
  tf.config.set_logical_device_configuration(
      tf.config.list_physical_devices('CPU')[0],
      [tf.config.LogicalDeviceConfiguration()] * 2,
  )
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  rng, size = np.random.default_rng(0), 3 * _SIZE**2
  tfd = tfp.distributions
  with strategy.scope():
    glow = tfb_glow.make_glow(_SIZE, 3, 2, 2, 8)
    distribution = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [size]), glow
    )
    optimizer = tf_keras.optimizers.Adam(settings['learning_rate'])

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
  for i in range(settings['steps'] + 1):
    if i % 10 == 0:
      copies = map(strategy.experimental_local_results, variables)
      largest = [np.max(np.abs(a.numpy() - b.numpy())) for a, b in copies]
      rows.append({
          'step': i,
          'variables_that_differ': np.count_nonzero(largest),
          'variables': len(largest),
          'largest_difference': max(largest),
      })
    loss = float(step(batch()))
    rows[-1].setdefault('loss', loss)
  return {'evaluations': rows}
