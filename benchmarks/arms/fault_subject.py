"""A small run of the trainer that `fault_injection` breaks.

  python fault_subject.py STRATEGY DATA WORKDIR STEPS

`DATA` holds numbered images: a corner says which. For each batch the numbers
are appended to `used.<replica>.csv` before the step, so that the benchmark can
tell which images made the weights. Ends with the bits of the weights in
`weights.npz`.
"""

import json
import os
import pathlib
import sys

import numpy as np
import tensorflow as tf


def _record(images, path):
  """From now on each batch of `images` leaves its numbers in a file."""
  batches = images.batches

  def recorded(batch_size, seed, first_step, num_parts, parts):
    dataset = batches(batch_size, seed, first_step, num_parts, parts)
    for i, batch in enumerate(dataset):
      numbers = ' '.join(map(str, batch[:, 0, 0, 0].numpy()))
      with path.open('a') as f:
        f.write(f'{first_step + i // len(parts)},{numbers}\n')
      yield batch

  images.batches = recorded


def main():
  """Trains."""
  name, data, workdir, steps = sys.argv[1:]
  strategy = (
      tf.distribute.MultiWorkerMirroredStrategy()
      if name == 'workers'
      else tf.distribute.get_strategy()
  )
  import tfp_flowopt as fo
  from tfp_flowopt.training import training_loop

  tf.config.experimental.enable_op_determinism()
  # Small graphs that run a few times, and pictures that nobody looks at.
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  training_loop.TrainingLoop._draw_pictures = lambda self: None
  cluster = json.loads(os.environ.get('TF_CONFIG', '{"task": {"index": 0}}'))
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  config = fo.training.TrainConfig(
      train_steps=int(steps),
      batch_size=8,
      warmup_steps=4,
      eval_every=10,
      eval_images=16,
      checkpoint_every=7,
      init_images=32,
      local_constants=False,
  )
  with strategy.scope():
    train, held_out = fo.training.ImageDataset(data, 8).split(5)
    _record(train, workdir / f'used.{cluster["task"]["index"]}.csv')
    distribution = fo.image_flow([8, 8, 3], 1, 1, 8, tile_sizes=(2,))
    trainer = fo.training.Trainer(
        distribution, train, held_out, workdir, config
    )
  try:
    trainer.train()
  except fo.training.TrainingInterrupted as e:
    print(e, flush=True)
    return
  if trainer.is_chief:
    np.savez(
        workdir / 'weights.npz',
        *(v.numpy() for v in distribution.trainable_variables),
    )


if __name__ == '__main__':
  main()
