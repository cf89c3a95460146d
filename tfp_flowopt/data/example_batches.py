"""A fixed set of examples, batch by batch."""

import copy
import functools

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import examples
from tfp_flowopt.data import labelled
from tfp_flowopt.data import quantization
from tfp_flowopt.internal import parallel

__all__ = ['ExampleBatches', 'VectorBatches']

# Numbers of a batch, images at most, and bytes that are kept in memory: with
# those that an `ImageDataset` reads ahead, less than 1 GiB.
_BATCH_NUMBERS, _MOST_IMAGES, _MOST_VECTORS = 2**19, 128, 4096
_KEPT_BYTES = 2**29
# Numbers of a set that linear flows are fitted to, and compared on, at most.
_REPORTED_NUMBERS = 2**27


class ExampleBatches:
  """The first examples of a seed, the same ones each time they are read.

  Kept in memory if they take at most 512 MiB, else read again from their files.
  Iteration gives pairs of the number of the first image of a batch, int64, and
  the batch, uint8 `[N, H, W, C]`, or a pair of that and labels `[N]`.

  Attributes:
    seed: `[2]` int64 `Tensor`.
    noise_seed: Of their noise; by default the same.
    num: Number of examples.
    num_independent: How many of them are independent: errors count these.
    num_disjoint: How many have pixels of their own: linear flows need these.
    event_shape: Shape of an image.
    event_size: Number of its values.
    batch_size: Examples of a batch.
  """

  _most = _MOST_IMAGES

  def __init__(self, images, num, seed):
    size = int(np.prod(images.event_shape))
    self.seed = self.noise_seed = seed
    self.num = num
    self.num_independent, self.num_disjoint = examples.counts(images, num)
    self.event_shape = list(images.event_shape)
    self.event_size = size
    self.batch_size = max(1, min(_BATCH_NUMBERS // size, self._most, num))
    starts = tf.data.Dataset.range(0, num, self.batch_size)
    self._dataset = tf.data.Dataset.zip(
        (starts, images.examples(num, seed).batch(self.batch_size))
    )
    spec, *_ = tf.nest.flatten(self._dataset.element_spec[1])
    if num * size * spec.dtype.size <= _KEPT_BYTES:
      self._dataset = self._dataset.cache()
      for _ in self._dataset:
        pass  # Only a whole pass is kept.

  def __iter__(self):
    return iter(self._dataset)

  def with_noise(self, seed):
    """The same examples, which are read and kept once, with other noise."""
    other = copy.copy(self)
    other.noise_seed = seed
    return other

  def all(self):
    """All examples as one batch."""
    batches = [batch for _, batch in self]
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *batches)

  def preprocessed(self, start, batch, bits):
    """A batch of the iteration with scaled images, noise included, float32."""
    if not tf.is_tensor(batch):
      images, labels = batch
      return self.preprocessed(start, images, bits), labels
    return quantization.dequantize_numbered(batch, bits, self.noise_seed, start)

  def dequantized(self, bits):
    """A finite `tf.data.Dataset` of preprocessed images, or of pairs."""
    return parallel.map_in_threads(
        self._dataset, functools.partial(self.preprocessed, bits=bits), 1
    )

  def reported(self, bits):
    """The images of `array`, with its default, in batches; without labels."""
    left = self._number_of(_REPORTED_NUMBERS)
    for start, batch in self:
      images, _ = labelled.split(self.preprocessed(start, batch, bits))
      yield images[:left]
      left -= len(images)
      if left <= 0:
        return

  def _number_of(self, most_numbers):
    return max(2, min(self.num, most_numbers // self.event_size))

  def array(self, bits, most_numbers=_REPORTED_NUMBERS):
    """The first images, preprocessed, and what else `labelled.split` gives.

    At most `most_numbers`, but two images; by default those of a report.
    """
    num = self._number_of(most_numbers)
    first = self.dequantized(bits).unbatch().take(num)
    images, kwargs = labelled.split(first.batch(num).get_single_element())
    return images.numpy(), kwargs


class VectorBatches(ExampleBatches):
  """The same of vectors: nothing to scale, and none twice if all are known."""

  _most = _MOST_VECTORS

  def __init__(self, vectors, num, seed):
    super().__init__(vectors, examples.counts(vectors, num)[0], seed)

  def preprocessed(self, start, batch, bits=None):
    """The batch as it is."""
    del start, bits
    return batch

  def array(self, bits=None, most_numbers=_REPORTED_NUMBERS):
    """See `ExampleBatches`."""
    return super().array(bits, most_numbers)
