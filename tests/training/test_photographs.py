"""What the library promises, on the photographs of the demo."""

import numpy as np
import pytest
from sklearn import datasets
import tensorflow as tf

import tfp_flowopt as fo

# Small: most of the time is to trace the flow.
SIZE = 16
MODEL = {
    'num_levels': 2,
    'num_steps': 1,
    'hidden_channels': 32,
    'tile_sizes': (2, 1),
}


@pytest.fixture(scope='module')
def photographs():
  parts = fo.training.split_columns(datasets.load_sample_images().images)
  return [fo.training.ImageCrops(part, SIZE) for part in parts]


def test_step_0(photographs):
  images = photographs[0].draw(1024, [0, 0])
  noise = fo.flows.dequantization_noise(images.shape, [0, 1])
  x = fo.flows.dequantize(images, noise=noise)

  def measured(distribution):
    # Not traced: each flow is used once.
    values = distribution.log_prob(tf.identity(x))
    return fo.bits_per_dim(np.mean(values, dtype=np.float64), SIZE**2 * 3)

  optimum, act_norm = (
      fo.image_flow([SIZE, SIZE, 3], **MODEL) for _ in range(2)
  )
  predicted = fo.initialize_at_optimum(optimum, x)
  fo.flows.initialize_act_norm(act_norm, x)
  at_optimum = measured(optimum)
  assert at_optimum == pytest.approx(predicted, abs=1e-4)
  assert at_optimum < measured(act_norm) - 1.5


def test_a_minute_of_training_beats_every_linear_flow_of_blocks(
    photographs, tmp_path, without_pictures
):
  trainer = fo.training.Trainer(
      fo.image_flow([SIZE, SIZE, 3], **MODEL),
      *photographs,
      tmp_path,
      fo.training.TrainConfig(
          train_steps=40, batch_size=32, eval_images=128, init_images=1024
      ),
  )
  summary = trainer.train()
  assert summary['skipped_steps'] == 0
  # On the very images that they were fitted to, too.
  assert summary['held_out_bits_per_dim'] < min(
      *summary['held_out_optimum'].values(),
      *summary['train_optimum'].values(),
  )
