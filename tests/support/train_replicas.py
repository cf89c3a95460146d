"""Trains a small flow on several replicas; a program, or called as `train`.

  python train_replicas.py STRATEGY WORKDIR OUTPUT.npz [OVERRIDES.json]

`STRATEGY` is `default`, `mirrored-N` (N logical CPUs), or `workers`: a worker
of a `MultiWorkerMirroredStrategy` (`TF_CONFIG`). `OVERRIDES` are fields of
`TrainConfig`.
"""

import functools
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
import tf_keras


def make_strategy(name):
  if name == 'workers':
    return tf.distribute.MultiWorkerMirroredStrategy()
  if name == 'default':
    return tf.distribute.get_strategy()
  count = int(name.removeprefix('mirrored-'))
  tf.config.set_logical_device_configuration(
      tf.config.list_physical_devices('CPU')[0],
      [tf.config.LogicalDeviceConfiguration()] * count,
  )
  return tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(count)])


def main():
  name, workdir, output, *overrides = sys.argv[1:]
  # As for the tests in this process: see conftest.
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  train(name, workdir, output, *map(json.loads, overrides))


def train(name, workdir, output, overrides=None):
  """What the program does; it leaves a few names of others changed."""
  # The strategy of several workers must exist before all else.
  strategy = make_strategy(name)
  from support import images

  import tfp_flowopt as fo
  from tfp_flowopt.training import replicas
  from tfp_flowopt.training import training_loop

  # Adam makes a gradient that is nothing but rounding errors as large as any
  # other. With a large epsilon its step is a smooth function of the gradient,
  # and so are the weights, whatever the processor rounds.
  optimizers = tf_keras.optimizers.legacy
  optimizers.Adam = functools.partial(optimizers.Adam, epsilon=0.1)
  config = {
      'learning_rate': 0.1,
      'train_steps': 10,
      'batch_size': 16,
      'warmup_steps': 4,
      'eval_every': 5,
      # Neither full batches nor the same number of them for each replica.
      'eval_images': 300,
      'checkpoint_every': 4,
      'init_images': 300,
      'local_constants': False,
  }
  config.update(overrides or {})
  initialize = fo.flows.initialize_at_optimum

  def initialize_differently(distribution, *args, **kwargs):
    """As a processor with other kernels would, and away from a kink.

    Products of the columns of new kernels, whose absolute values rescale them,
    are 0 but for rounding errors: the gradient would be that of their signs.
    """
    result = initialize(distribution, *args, **kwargs)
    offset = 0.0 if replicas.Replicas(strategy).is_chief else 1e-3
    for i, variable in enumerate(distribution.trainable_variables):
      noise = 0.02 * np.random.default_rng(i).normal(size=variable.shape)
      for copy in strategy.experimental_local_results(variable):
        copy.assign_add(tf.cast(noise + offset, copy.dtype))
    return result

  fo.flows.initialize_at_optimum = initialize_differently
  with strategy.scope():
    distribution = fo.image_flow(
        [8, 8, 3], 1, 1, 8, tile_sizes=(2,), lipschitz_budget=5.0
    )
    trainer = fo.training.Trainer(
        distribution,
        images.crops(seed=0),
        images.crops(seed=1),
        workdir,
        fo.training.TrainConfig(**config),
    )
  training_loop.TrainingLoop._draw_pictures = lambda self: None
  first_weights = _weights(distribution)
  summary = trainer.train()
  checksums = []
  for i in range(len(strategy.experimental_local_results(trainer._state.step))):
    copies = [
        strategy.experimental_local_results(v)[i].numpy()
        for v in distribution.trainable_variables
    ]
    checksums.append(str(replicas.checksum(copies)))
  if trainer._replicas.is_chief:
    rows = trainer._files.rows()
    np.savez(
        output,
        losses=[float(row['train_bits_per_dim']) for row in rows[:-1]],
        held_out=[
            float(row['held_out_bits_per_dim'])
            for row in rows
            if row['held_out_bits_per_dim']
        ],
        start=[summary['predicted'], summary['measured']],
        first_weights=first_weights,
        weights=_weights(distribution),
        checksums=checksums,
    )
  pathlib.Path(f'{output}.{trainer._replicas.own[0]}').write_text(
      '\n'.join(checksums)
  )


def _weights(distribution):
  return np.concatenate(
      [v.numpy().ravel() for v in distribution.trainable_variables]
  )


if __name__ == '__main__':
  main()
