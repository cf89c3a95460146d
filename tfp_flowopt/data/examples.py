"""Examples that a flow is trained on: what is read, and in which order."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import seeds
from tfp_flowopt.internal import types

__all__ = ['Examples', 'check', 'counts', 'optional', 'parts_of_batches']

# What any object that is trained on must have.
_NEEDED = ('event_shape', 'fingerprint', 'examples', 'batches')


class Examples:
  """Numbered examples of a seed: a subclass is a data set to train on.

  It sets `event_shape` and `fingerprint`, and defines `example`; that gives
  `examples` and `batches`, in an order that no restart and no number of devices
  changes. What reads whole groups faster overrides these two. An object with
  these two, `event_shape` and `fingerprint` need not be a subclass.

  Attributes:
    event_shape: Shape of an image, `[H, W, C]`.
    fingerprint: String; a run goes on with the same one only, so it must be
      another one for other images.
    settings: Optional dictionary of JSON values: what a refused run is told.
    class_names: Names of the classes by label; optional, `None`: no labels.
    num_independent: Optional number of images that the examples are parts of,
      which standard errors count; by default each example is one.
    num_disjoint: Optional number of examples with pixels of their own, which
      determine linear flows; likewise.
  """

  settings: Mapping[str, Any] = MappingProxyType({})
  class_names: Sequence[str] | None = None
  num_independent: float = math.inf
  num_disjoint: float = math.inf

  def example(
      self, number: tf.Tensor, seed: tf.Tensor
  ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """An example, as operations of a graph; it depends on these two alone.

    Python's `if` and loops are not translated: `tf.cond` is for these.

    Args:
      number: Its number from 0 on, without end: scalar int64 `Tensor`.
      seed: `[2]` int64 `Tensor`.

    Returns:
      uint8 `Tensor` `[H, W, C]`, or a pair of that and a label, int64 `[]`.
    """
    raise NotImplementedError(
        f'{type(self).__name__} needs `example`, or `examples` and `batches`.'
    )

  def examples(self, num: int, seed: types.Seed) -> tf.data.Dataset:
    """The first `num` examples of a seed, one at a time.

    `seed` is a `[2]` integer sequence or `Tensor`. Gives a `tf.data.Dataset` of
    uint8 images `[H, W, C]`, or of pairs of these and int64 labels `[]`.
    """
    return self._read(tf.data.Dataset.range(num), seed).prefetch(2)

  def batches(
      self,
      batch_size: int,
      seed: int | types.Seed,
      first_step: int = 0,
      num_parts: int = 1,
      parts: Sequence[int] = (0,),
  ) -> tf.data.Dataset:
    """An endless dataset of batches; batch number `i` depends on `i` alone.

    Args:
      batch_size: Number of examples in a batch, all parts together.
      seed: Python `int`, or `[2]` integer sequence or `Tensor`.
      first_step: Number of the first batch.
      num_parts: Number of equal parts a batch is cut into. Their examples put
        together are those of the whole batch.
      parts: The parts wanted of each batch, in this order.

    Returns:
      `tf.data.Dataset` of uint8 `[batch_size // num_parts, H, W, C]`, or of
      pairs of these and int64 labels `[batch_size // num_parts]`.

    Raises:
      ValueError: If `batch_size` is not a multiple of `num_parts`, or `parts`
        holds what is no part.
    """
    part_size, dataset = parts_of_batches(
        batch_size, first_step, num_parts, parts
    )

    def numbers(step, start):
      first = step * batch_size + start
      return tf.data.Dataset.range(first, first + part_size)

    examples = self._read(dataset.flat_map(numbers), seed)
    return examples.batch(part_size, drop_remainder=True).prefetch(2)

  def counts(self, num: int) -> tuple[int, int]:
    """How many of the first `num` are independent, and how many disjoint."""
    return min(num, self.num_independent), min(num, self.num_disjoint)  # type: ignore[return-value]

  def _read(self, numbers, seed):
    seed = seeds.pair(seed)
    return parallel.map_in_threads(
        numbers, lambda number: self.example(number, seed)
    )


def optional(images, name):
  """What examples may have, or else the default of `Examples`."""
  return getattr(images, name, getattr(Examples, name))


def counts(images, num):
  """See `Examples.counts`, which `images` need not have."""
  if isinstance(images, Examples):
    return images.counts(num)
  return tuple(
      min(num, optional(images, name))
      for name in ('num_independent', 'num_disjoint')
  )


def check(name, images, event_shape):
  """Refuses what does not follow `Examples`, or has images of another shape."""
  missing = [part for part in _NEEDED if not hasattr(images, part)]
  if missing:
    raise ValueError(
        f'Argument `{name}` must have {", ".join(_NEEDED)}, as `ImageDataset` '
        '(images in files), `ImageCrops` (arrays), `DatasetExamples` (a '
        '`tf.data.Dataset`) and subclasses of `Examples` have; a '
        f'{type(images).__name__} has no {", ".join(missing)}.'
    )
  wanted, shape = list(event_shape), list(images.event_shape)
  if shape != wanted:
    raise ValueError(
        f'Argument `{name}` must have events of the shape of the flow, '
        f'{wanted}, got {shape}.'
    )


def parts_of_batches(batch_size, first_step, num_parts, parts):
  """Enumerates the parts of batches, for replicas to read their own.

  Arguments and errors are those of `Examples.batches`. Returns the number of
  examples of a part, and an endless dataset of pairs of int64 scalars: the
  number of the batch, and the place in it of the first example of the part.
  """
  if batch_size < 1 or num_parts < 1 or batch_size % num_parts:
    raise ValueError(
        'Argument `batch_size` must be a positive multiple of `num_parts`, '
        f'got {batch_size} for {num_parts} parts.'
    )
  if not parts or not all(0 <= p < num_parts for p in parts):
    raise ValueError(
        f'Argument `parts` must hold numbers from 0 to {num_parts - 1}, got '
        f'{list(parts)}.'
    )
  arguments.check_int('first_step', first_step, least=0)
  part_size = batch_size // num_parts
  starts = tf.constant([p * part_size for p in parts], tf.int64)
  counter = tf.data.Dataset.range(tf.int64.max)
  return part_size, counter.map(
      lambda i: (first_step + i // len(parts), starts[i % len(parts)])
  )
