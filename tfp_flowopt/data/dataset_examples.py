"""Examples of a `tf.data.Dataset` that somebody else has made."""

from collections.abc import Sequence
import hashlib
import json
import math
from typing import Any
from typing import Self

import tensorflow as tf

from tfp_flowopt.data import examples
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import seeds
from tfp_flowopt.internal import types

__all__ = ['DatasetExamples']

# Elements that tell whether the dataset is the same one: at least and at most,
# and how many numbers they hold; and how many are read at once.
_LEAST, _MOST, _NUMBERS, _BATCH = 16, 4096, 2**18, 256


class DatasetExamples(examples.Examples):
  """Images or vectors of a `tf.data.Dataset`, epoch after epoch, to train on.

  A resumed run skips what it has seen. That is exact if the dataset gives the
  same elements in the same order each time that it is iterated: so
  `shuffle_buffer` shuffles here, by seed and epoch. If the dataset knows its
  cardinality, whole epochs are skipped for nothing, else by reading them again.

  ```python
  photographs = tf.random.uniform([100, 32, 32, 3], 0, 256, tf.int32)
  dataset = tf.data.Dataset.from_tensor_slices(tf.cast(photographs, tf.uint8))
  data = fo.data.DatasetExamples(dataset, shuffle_buffer=100)
  train, held_out = data.split()
  ```

  Vectors are what they are; a `Trainer` makes this of a `tf.data.Dataset` of
  them itself. With a condition: `(vector, conditioning)`, float or an integer.

  Attributes are those of `Examples`, and `conditioning_spec`, of vectors: the
  `tf.TensorSpec` of a single conditioning, or `None`.
  """

  def __init__(
      self,
      dataset: tf.data.Dataset,
      class_names: Sequence[str] | None = None,
      shuffle_buffer: int = 0,
      fingerprint: str | None = None,
  ) -> None:
    """Takes the dataset, and reads its first elements twice.

    Args:
      dataset: `tf.data.Dataset` of single uint8 images `[H, W, C]`, not of
        batches; or of pairs of these and integer labels, counted from 0. Or
        of floating-point vectors `[D]`, or pairs of these and what they are
        conditioned on.
      class_names: Names of the classes by label; needed with labels of images.
      shuffle_buffer: Number of elements among which the next one is drawn, as
        `tf.data.Dataset.shuffle` has it; 0: in the order of the dataset.
      fingerprint: String that says which images these are. By default it is
        made of the number of elements and the first of them (those of 2^18
        numbers, from 16 to 4,096 elements), and the dataset must give the same
        ones each time. With a string of yours that is not checked, and
        a resumed run may see some images twice and others not at all.

    Raises:
      ValueError: If `dataset` holds something else or nothing, if it gives
        other elements the second time and there is no `fingerprint`, or an
        argument is none of those above.
    """
    arguments.check_instance(
        'dataset', dataset, tf.data.Dataset, 'a `tf.data.Dataset`'
    )
    self._buffer = arguments.check_int('shuffle_buffer', shuffle_buffer, 0)
    self.conditioning_spec = None
    if _is_vector(dataset.element_spec):
      dataset = dataset.map(_as_trained_on)
      labelled = False
      vector, *conditioning = tf.nest.flatten(dataset.element_spec)
      self.event_shape = list(vector.shape)
      self.conditioning_spec = conditioning[0] if conditioning else None
    else:
      self.event_shape, labelled = _spec(dataset.element_spec)
    if labelled != (class_names is not None):
      raise ValueError(
          'Argument `class_names` must be given if and only if `dataset` has '
          f'labels, got {class_names!r} for {dataset.element_spec}.'
      )
    if labelled:
      self.class_names = list(class_names)  # type: ignore[arg-type]
      dataset = dataset.map(self._checked_label)
    self._dataset = dataset
    if _is_empty(dataset):
      raise ValueError('Argument `dataset` is empty.')
    if fingerprint is None:
      fingerprint, again = _contents(dataset), _contents(dataset)
      if fingerprint != again:
        raise ValueError(
            'Argument `dataset` must give the same elements in the same order '
            'each time, and its first ones are others the second time: shuffle '
            'by `shuffle_buffer`, or give a `fingerprint` if a resumed run may '
            'see other images.'
        )
    self._contents = str(fingerprint)
    # Of so many that were asked for, so many are there.
    self._counted = 0, 0

  @property
  def fingerprint(self) -> str:
    """Short hash of what tells the images, and of their order."""
    told = json.dumps([self._contents, self._number, self._buffer])
    return hashlib.sha256(told.encode()).hexdigest()[:16]

  @property
  def settings(self) -> dict[str, Any]:  # type: ignore[override]
    """Dictionary of what a fingerprint does not tell."""
    return {
        'number': self._number,
        'shuffle_buffer': self._buffer,
        'classes': len(self.class_names or ()),
    }

  @property
  def num_independent(self) -> float:  # type: ignore[override]
    """Number of elements, `inf` if the dataset does not know it."""
    return self._number or examples.Examples.num_independent

  num_disjoint = num_independent

  @property
  def _number(self):
    """Number of elements, `None` if that is unknown or infinite."""
    number = int(self._dataset.cardinality())
    return None if number < 0 else number

  def counts(self, num: int) -> tuple[int, int]:
    """See `Examples`; elements of a number not known are read, and counted."""
    if self._dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY:
      asked, found = self._counted
      if found == asked < num:  # there may be more
        read = self._dataset.take(num)
        found = int(read.reduce(0, lambda number, *_: number + 1))
        self._counted = num, found
      num = min(num, found)
    return super().counts(num)

  def split(self, every: int = 10) -> tuple[Self, Self]:
    """Holds out every tenth element, or one in `every`.

    Returns:
      Two `DatasetExamples`, to train on and held out.

    Raises:
      ValueError: If one of them would be empty.
    """
    number = self._number
    every = arguments.check_int('every', every, 2, number)

    def part(held_out):
      chosen = self._dataset.enumerate().filter(
          lambda i, *_: (i % every == every - 1) == held_out
      ).map(lambda _, *element: element if element[1:] else element[0])
      if number is not None:
        size = number // every
        size = size if held_out else number - size
        chosen = chosen.apply(tf.data.experimental.assert_cardinality(size))
      elif held_out and _is_empty(chosen):
        raise ValueError(
            'Argument `every` must be at most the number of elements, got '
            f'{every}.'
        )
      which = f'{self._contents}, {held_out} of {every}'
      return type(self)(chosen, self.class_names, self._buffer, which)

    return part(False), part(True)

  def examples(self, num: int, seed: types.Seed) -> tf.data.Dataset:
    """See `Examples`; they begin anew when the dataset ends."""
    return parallel.untuned(self._from(0, seed).take(num).prefetch(2))

  def batches(
      self,
      batch_size: int,
      seed: int | types.Seed,
      first_step: int = 0,
      num_parts: int = 1,
      parts: Sequence[int] = (0,),
  ) -> tf.data.Dataset:
    """See `Examples`; each process reads all parts."""
    part_size, _ = examples.parts_of_batches(batch_size, 0, num_parts, parts)
    batches = (
        self._from(first_step * batch_size, seed)
        .batch(part_size, drop_remainder=True)
        .batch(num_parts, drop_remainder=True)
    )

    def chosen(*batch):
      batch = tuple(tf.gather(x, list(parts)) for x in batch)
      return batch if batch[1:] else batch[0]

    return parallel.untuned(batches.map(chosen).unbatch().prefetch(2))

  def _from(self, first, seed):
    """All elements of all epochs from number `first` on, without end."""
    seed = seeds.pair(seed)
    epoch, first = divmod(first, self._number or (first + 1))
    return (
        tf.data.Dataset.range(epoch, tf.int64.max)
        .flat_map(lambda epoch: self._epoch(seeds.fold_in(seed, epoch)))
        .skip(first)
    )

  def _epoch(self, seed):
    if not self._buffer:
      return self._dataset
    spec = self._dataset.element_spec
    flat = tf.nest.flatten(spec)
    # `tf.data.Dataset.shuffle` would add the seed of the process.
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(self._dataset),
        buffer_size=tf.constant(self._buffer, tf.int64),
        seed=seed[0],
        seed2=seed[1],
        output_types=[x.dtype for x in flat],
        output_shapes=[x.shape for x in flat],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, spec)

  def _checked_label(self, image, label):
    label = tf.cast(label, tf.int64)
    number = len(self.class_names)
    tf.debugging.Assert(
        (label >= 0) & (label < number),
        [f'`dataset` has a label that is none of {number} classes:', label],
    )
    return image, label


def _is_vector(spec):
  """Whether elements are vectors, or pairs of these and something."""
  parts = spec if isinstance(spec, tuple) and len(spec) == 2 else (spec,)
  return (
      all(isinstance(part, tf.TensorSpec) for part in parts)
      and parts[0].dtype.is_floating
      and all(part.shape.is_fully_defined() for part in parts)
      and parts[0].shape.rank == 1
      and (parts[-1].dtype.is_floating or parts[-1].dtype.is_integer)
  )


@tf.autograph.experimental.do_not_convert
def _as_trained_on(*element):
  """Floating-point numbers as float32, integers as int64."""
  element = tuple(
      tf.cast(x, tf.int64 if x.dtype.is_integer else tf.float32)
      for x in element
  )
  return element if element[1:] else element[0]


def _spec(spec):
  """Shape of an image, and whether it has a label."""
  labelled = isinstance(spec, tuple) and len(spec) == 2
  image, label = spec if labelled else (spec, tf.TensorSpec([], tf.int64))
  if not (
      isinstance(image, tf.TensorSpec)
      and image.dtype == tf.uint8
      and image.shape.rank == 3
      and image.shape.is_fully_defined()
      and isinstance(label, tf.TensorSpec)
      and label.dtype.is_integer
      and label.shape.rank == 0
  ):
    raise ValueError(
        'Argument `dataset` must hold single images, uint8 [H, W, C] of a known'
        ' shape, or pairs of these and integer labels []; or vectors [D], '
        f'floating-point, or pairs with conditioning. Got {spec}.'
    )
  return list(image.shape), labelled


def _is_empty(dataset):
  return not any(True for _ in dataset.take(1))


def _contents(dataset):
  """Hash of the first elements."""
  sizes = (
      math.prod(part.shape) for part in tf.nest.flatten(dataset.element_spec)
  )
  number = min(max(_NUMBERS // max(sum(sizes), 1), _LEAST), _MOST)
  contents = hashlib.sha256()
  for batch in dataset.take(number).batch(_BATCH):
    for part in tf.nest.flatten(batch):
      contents.update(part.numpy().tobytes())
  return contents.hexdigest()
