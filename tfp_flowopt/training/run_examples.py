"""The sets of images that a run looks at again and again."""

import tensorflow as tf

from tfp_flowopt.data import example_batches
from tfp_flowopt.training import run_pictures

__all__ = ['RunExamples']

# Streams of random numbers that are not a training step's; steps count up
# from 0, so negative numbers never meet them.
_INIT, _HELD_OUT, _SAMPLE, _DRAWS = -1, -2, -3, -4


class RunExamples:
  """The same images each time a run is started.

  Attributes:
    init: `ExampleBatches` of training images, for the initialisation.
    held_out: `ExampleBatches` of held-out images, for evaluations.
    samples: `ExampleBatches` of training images, shown beside samples.
  """

  def __init__(self, train_images, held_out_images, config):
    """Chooses them.

    Args:
      train_images: As `Trainer` takes them.
      held_out_images: The same.
      config: `TrainConfig`.
    """
    self._held_out_images = held_out_images
    self._seed = config.seed
    self.init, self.held_out, self.samples = (
        example_batches.ExampleBatches(
            images, num, tf.constant([config.seed, stream], tf.int64)
        )
        for images, num, stream in (
            (train_images, config.init_images, _INIT),
            (held_out_images, config.eval_images, _HELD_OUT),
            (train_images, run_pictures.NUM_SAMPLES, _SAMPLE),
        )
    )

  def draw(self, num_images, draw):
    """Held-out images with other noise.

    Args:
      num_images: Number of images.
      draw: Number of the noise, from 0 on.

    Returns:
      `ExampleBatches`.
    """
    return example_batches.ExampleBatches(
        self._held_out_images,
        num_images,
        self.held_out.seed,
        tf.constant([self._seed, _DRAWS - draw], tf.int64),
    )
