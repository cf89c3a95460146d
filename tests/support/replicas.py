"""Accumulates moments on several replicas; run as a program.

  python replicas.py DATA.npz OUTPUT.npz STRUCTURE MIRRORED

`MIRRORED` is the number of logical CPUs of a `MirroredStrategy`; with 0 it is
a worker of a `MultiWorkerMirroredStrategy` (`TF_CONFIG`). Device `i` of all
gets batches `i`, `i + devices`, ... of the data, which need not be the same
number for each.
"""

import sys

import numpy as np
import tensorflow as tf


def main():
  data, output, structure, mirrored = sys.argv[1:]
  mirrored = int(mirrored)
  if mirrored:
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * mirrored
    )
    strategy = tf.distribute.MirroredStrategy(
        [f'CPU:{i}' for i in range(mirrored)]
    )
  else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
  # The strategy of several workers must exist before all else.
  import tfp_flowopt as fo

  with np.load(data) as arrays:
    batches = [arrays[name] for name in sorted(arrays)]
  with strategy.scope():
    stream = fo.AutoCorrelation(structure, batches[0].shape[1:])
  outside = fo.AutoCorrelation(structure, batches[0].shape[1:])
  devices = strategy.num_replicas_in_sync
  stacked = tf.concat(batches, axis=0)
  ends = np.cumsum([len(b) for b in batches])
  starts = tf.constant(np.concatenate([[0], ends[:-1]]))
  ends = tf.constant(ends)

  @tf.function
  def read(first, last):
    def replica():
      context = tf.distribute.get_replica_context()
      index = context.replica_id_in_sync_group
      i = first + (index - first) % devices
      while i < last:
        stream.update(stacked[starts[i] : ends[i]])
        i += devices

    strategy.run(replica)

  half = len(batches) // 2
  read(tf.constant(0), tf.constant(half))
  early = None
  try:
    stream.optimum()
  except tf.errors.InvalidArgumentError as e:
    early = str(e)
  stream.all_reduce()
  checkpoint = tf.train.Checkpoint(stream=stream)
  path = checkpoint.save(f'{output}.checkpoint')
  read(tf.constant(half), tf.constant(len(batches)))
  strategy.run(tf.function(stream.all_reduce))
  stream.all_reduce()  # nothing new: nothing changes
  best = stream.optimum()
  count = stream.count.numpy()
  inside = strategy.run(tf.function(lambda: stream.optimum().log_likelihood))
  refused = None
  try:
    strategy.run(lambda: outside.update(batches[0]))
  except ValueError as e:
    refused = str(e)
  # The second half again, from the checkpoint.
  checkpoint.restore(path)
  read(tf.constant(half), tf.constant(len(batches)))
  stream.all_reduce()
  np.savez(
      output,
      log_likelihood=best.log_likelihood,
      eigenvalues=best.eigenvalues,
      restored=stream.optimum().log_likelihood,
      count=count,
      inside=[x.numpy() for x in strategy.experimental_local_results(inside)],
      early=early or '',
      refused=refused or '',
  )


if __name__ == '__main__':
  main()
