"""What the library promises, on the photographs of the demo."""

import numpy as np
import pytest
from sklearn import datasets
import tensorflow as tf

import tfp_flowopt as fo

MODEL = {'num_levels': 3, 'num_steps': 2, 'hidden_channels': 32}


@pytest.fixture(scope='module')
def photographs():
  parts = fo.training.split_columns(datasets.load_sample_images().images)
  return [fo.training.ImageCrops(part, 32) for part in parts]


def test_step_0(photographs):
  images = photographs[0].draw(1024, [0, 0])
  noise = fo.flows.dequantization_noise(images.shape, [0, 1])
  x = fo.flows.dequantize(images, noise=noise)

  def measured(distribution):
    log_prob = tf.function(distribution.log_prob)
    values = [log_prob(x[i : i + 256]) for i in range(0, len(x), 256)]
    return fo.bits_per_dim(np.mean(values, dtype=np.float64), 32 * 32 * 3)

  optimum, act_norm = (fo.image_flow([32, 32, 3], **MODEL) for _ in range(2))
  predicted = fo.initialize_at_optimum(optimum, x)
  fo.flows.initialize_act_norm(act_norm, x)
  assert measured(optimum) == pytest.approx(predicted, abs=1e-4)
  assert measured(optimum) < measured(act_norm) - 1.5


def test_a_minute_of_training_beats_every_linear_flow_of_blocks(
    photographs, tmp_path
):
  trainer = fo.training.Trainer(
      fo.image_flow([32, 32, 3], **MODEL),
      *photographs,
      tmp_path,
      fo.training.TrainConfig(
          train_steps=150, batch_size=32, eval_images=256, init_images=1024
      ),
  )
  summary = trainer.train()
  assert summary['skipped_steps'] == 0
  # Below the optimum of the held-out images themselves, not only of those it
  # was trained on.
  assert summary['held_out_bits_per_dim'] < min(
      *summary['held_out_optimum'].values(),
      *summary['train_optimum'].values(),
  )
