"""A fixed set of examples, batch by batch."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.training import evaluation

__all__ = ['ExampleBatches']

# Numbers of a batch, images at most, and bytes that are kept in memory.
_BATCH_NUMBERS, _MOST_IMAGES = 2**19, 128
_KEPT_BYTES = 2**30


class ExampleBatches:
  """The first examples of a seed, the same ones each time they are read.

  Kept in memory if they take at most 1 GiB, else read again from their files.
  Iteration gives pairs of the number of the first image of a batch, int64, and
  the batch, uint8 `[N, H, W, C]`.
  """

  def __init__(self, images, num, seed, noise_seed=None):
    """Chooses the examples.

    Args:
      images: Object with `event_shape` and `examples`, such as `ImageDataset`.
      num: Number of examples.
      seed: `[2]` int64 `Tensor`.
      noise_seed: Of their noise; by default the same.
    """
    size = int(np.prod(images.event_shape))
    self.seed = seed
    self.noise_seed = seed if noise_seed is None else noise_seed
    self.num = num
    self.event_size = size
    self.batch_size = max(1, min(_BATCH_NUMBERS // size, _MOST_IMAGES, num))
    examples = images.examples(num, seed)
    if num * size <= _KEPT_BYTES:
      examples = tf.data.Dataset.from_tensor_slices(
          examples.batch(num).get_single_element()
      )
    starts = tf.data.Dataset.range(0, num, self.batch_size)
    self._dataset = tf.data.Dataset.zip(
        (starts, examples.batch(self.batch_size))
    )

  def __iter__(self):
    return iter(self._dataset)

  def dequantized(self, bits):
    """A finite `tf.data.Dataset` of preprocessed batches, noise included."""
    return self._dataset.map(
        lambda start, x: evaluation.dequantize(x, bits, self.noise_seed, start)
    )

  def array(self, bits, most_numbers):
    """The first preprocessed images, one array `[N, H, W, C]`.

    Args:
      bits: Number of bits of an image value.
      most_numbers: Of the array; two images are there in any case.
    """
    num = max(2, min(self.num, most_numbers // self.event_size))
    batches = self.dequantized(bits).unbatch().take(num).batch(num)
    return batches.get_single_element().numpy()
