"""Batches of images that are read when they are needed."""

import hashlib
import json
import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import batch_parts
from tfp_flowopt.data import crop_reader
from tfp_flowopt.data import decoding
from tfp_flowopt.data import items as items_lib
from tfp_flowopt.data import labels as labels_lib
from tfp_flowopt.data import scan as scan_lib
from tfp_flowopt.data.sources import open_source
from tfp_flowopt.internal import arguments

__all__ = ['ImageDataset']

# Bad images that an error names.
_NAMED = 5

# Examples that are read together, and their bytes, at most.
_GROUP, _GROUP_BYTES = 4096, 2**26

# Uses of a seed, so that orders and crops have nothing to do with each other.
_ORDER, _AUGMENTATION = 0, 1


class ImageDataset:
  """Square images out of files, in an order that no worker or restart changes.

  Example `g` of a seed depends on the seed and `g` alone: it is item
  `index_shuffle(g % N)` of epoch `g // N`, so each of the `N` items comes once
  in an epoch, and there is no iterator state to save.

  Attributes:
    bad: List of strings, a line for each image that was left out.
    class_names: List of strings, names of the classes by label; `None` without
      labels.
  """

  def __init__(
      self,
      path,
      image_size,
      crop='random',
      flip=False,
      channels=3,
      bad_images='strict',
      cache=None,
      labels=None,
      class_names=None,
  ):
    """Finds the images and decodes each once, to know that it is good.

    Args:
      path: A folder, TFRecord files, a `.npy` or an idx file; see
        `open_images`.
      image_size: Side `S` of the squares. Larger images are cropped, smaller
        ones are bad.
      crop: `'random'`: an item is an image, cropped anywhere; `'center'`: an
        item is the centre of an image; `'tile'`: an item is one of the squares
        that fit side by side into an image, as in `image_tiles`.
      flip: Whether to mirror half of the examples, left to right.
      channels: 3 for colour, 1 for grey; images of the other kind are
        converted.
      bad_images: `'strict'`: a bad image is an error; `'skip'`: it is left out.
      cache: Path of a JSON file that keeps what was found. While names, sizes
        and times of the files stay the same, nothing is decoded again. Must
        not lie in a folder of images, unless its name begins with a dot.
      labels: `'folders'`, or a file of labels; see `read_labels`. Examples are
        then pairs of an image and its label, int64.
      class_names: With labels, names of the classes in the order of their
        numbers, such as those of another data set, which may have folders that
        this one lacks. By default those of the folders, sorted, that hold good
        images, or the numbers in the file.

    Raises:
      ValueError: If an argument is none of those above, there is nothing to
        read at `path`, no image is good, or, if strict, one is bad (the message
        names the first bad ones), or if labels do not fit.
    """
    self._settings = (
        arguments.check_int('image_size', image_size, least=1),
        arguments.check_choice('crop', crop, ('random', 'center', 'tile')),
        arguments.check_choice('flip', flip, (False, True)),
        arguments.check_choice('channels', channels, (1, 3)),
    )
    arguments.check_choice('bad_images', bad_images, ('strict', 'skip'))
    if labels is None and class_names is not None:
      raise ValueError('Argument `class_names` needs `labels`.')
    path = arguments.check_path('path', path)
    if cache is not None:
      scan_lib.check_cache(path, arguments.check_path('cache', cache))
    self._store = open_source.open_images(path)
    if self._store.channels not in (1, 3):
      raise ValueError(
          f'{path} must hold images of 1 or 3 channels, got '
          f'{self._store.channels}.'
      )
    self._labels = self.class_names = None
    if labels is not None:
      self._labels, self.class_names = labels_lib.read_labels(
          labels, self._store, path, class_names
      )
    self._scan = scan_lib.scan(self._store, cache)
    self._orientations = np.array(self._scan.orientations, np.int64)
    good = self._sort_out(bad_images == 'strict')
    if not good:
      raise ValueError(f'No images in {path}, only bad ones: {self.bad[0]}')
    if labels == labels_lib.FOLDERS:
      self._labels, self.class_names = labels_lib.of_good_images(
          self._labels, self.class_names, good, class_names
      )
    size, crop, _, _ = self._settings
    items = [
        items_lib.image_items(i, self._scan, size, crop) for i in good
    ]
    self._set_items(np.concatenate(items))

  @property
  def event_shape(self):
    """Shape of an image, `[S, S, C]`."""
    size, _, _, channels = self._settings
    return [size, size, channels]

  @property
  def fingerprint(self):
    """Short hash of the images and what is cut out of them."""
    return self._fingerprint

  @property
  def settings(self):
    """Dictionary of what a fingerprint does not tell: how they are made."""
    size, crop, flip, channels = self._settings
    return {
        'image_size': size,
        'crop': crop,
        'flip': flip,
        'channels': channels,
        'number': len(self),
        'classes': len(self.class_names or ()),
    }

  @property
  def num_independent(self):
    """Number of images that the items are parts of."""
    return len(np.unique(self._items[:, 0]))

  @property
  def num_disjoint(self):
    """Number of squares that fit side by side into what items are cut from."""
    size, crop, _, _ = self._settings
    if crop != 'random':
      return len(self)
    return int(np.prod((self._items[:, 3:] + size - 1) // size, axis=1).sum())

  def __len__(self):
    """Number `N` of items: an epoch has as many examples."""
    return len(self._items)

  def split(self, every=10):
    """Holds out every tenth item.

    Both parts share the files and what is known of them. With `crop='tile'`,
    squares of one image lie in both.

    Args:
      every: One item in so many is held out.

    Returns:
      Two `ImageDataset`s, to train on and held out.

    Raises:
      ValueError: If one of them would be empty.
    """
    every = arguments.check_int('every', every, least=2)
    if every > len(self):
      raise ValueError(
          f'Argument `every` must be at most the {len(self)} items, got '
          f'{every}.'
      )
    held_out = np.arange(len(self)) % every == every - 1
    return self._part(~held_out), self._part(held_out)

  def examples(self, num, seed):
    """The first `num` examples of a seed, one at a time.

    Groups of them are read ahead, up to 64 MiB or 4,096 examples, and in each
    group an image once, however many examples come from it.

    Args:
      num: Number of examples; no item comes twice in the first `len(self)`.
      seed: `[2]` integer sequence or `Tensor`.

    Returns:
      `tf.data.Dataset` of `num` uint8 images `[S, S, C]`, or of pairs of these
      and int64 labels `[]`.
    """
    num = arguments.check_int('num', num, least=0)
    group = max(1, min(_GROUP, _GROUP_BYTES // math.prod(self.event_shape)))
    crops = crop_reader.map_in_threads(
        tf.data.Dataset.range(num), self._crops(seed)
    )
    return crops.batch(group).flat_map(self._reader().read_group).prefetch(2)

  def batches(
      self, batch_size, seed, first_step=0, num_parts=1, parts=(0,)
  ):
    """An endless dataset of batches; batch number `i` depends on `i` alone.

    Args:
      batch_size: Number of images in a batch, all parts together.
      seed: Python `int`, or `[2]` integer sequence or `Tensor`.
      first_step: Number of the first batch.
      num_parts: Number of equal parts a batch is cut into. Their images put
        together are those of the whole batch.
      parts: The parts wanted of each batch, in this order.

    Returns:
      `tf.data.Dataset` of uint8 `[batch_size // num_parts, S, S, C]`, or of
      pairs of these and int64 labels `[batch_size // num_parts]`.

    Raises:
      ValueError: If `batch_size` is not a multiple of `num_parts`, or `parts`
        holds what is no part.
    """
    part_size, dataset = batch_parts.batch_parts(
        batch_size, first_step, num_parts, parts
    )

    def numbers(step, start):
      first = step * batch_size + start
      return tf.data.Dataset.range(first, first + part_size)

    reader, crop = self._reader(), self._crops(seed)
    examples = crop_reader.map_in_threads(
        dataset.flat_map(numbers), lambda number: reader.read(crop(number))
    )
    return examples.batch(part_size, drop_remainder=True).prefetch(2)

  def _reader(self):
    size, _, flip, channels = self._settings
    return crop_reader.CropReader(
        self._store, self._labels, self._orientations, size, channels, flip
    )

  def _crops(self, seed):
    """The function of a seed from numbers of examples to their `Crop`s."""
    seed = tf.cast(seed, tf.int64)
    if seed.shape.rank == 0:
      seed = tf.stack([0, seed])
    order, augmentation = _fold_in(seed, _ORDER), _fold_in(seed, _AUGMENTATION)
    return lambda number: self._crop(number, order, augmentation)

  def _crop(self, number, order, augmentation):
    """The `Crop` of example `number`; two seeds `[2]`."""
    _, crop, _, _ = self._settings
    num_items = tf.constant(len(self), tf.int64)
    item = tf.random.experimental.index_shuffle(
        number % num_items, _fold_in(order, number // num_items), num_items - 1
    )
    source, top, left, rows, columns = tf.unstack(
        tf.gather(self._table, item), num=5
    )
    random = tf.random.stateless_uniform(
        [3], _fold_in(augmentation, number), 0, 2**62, tf.int64, 'philox'
    )
    if crop == 'random':
      top, left = random[0] % rows, random[1] % columns
    return crop_reader.Crop(source, top, left, random[2] % 2 == 1)

  def _sort_out(self, strict):
    """Indices of the good images; names the bad ones."""
    good, self.bad = [], []
    for i, (height, width, problem) in enumerate(
        zip(
            self._scan.heights,
            self._scan.widths,
            self._scan.problems,
            strict=True,
        )
    ):
      problem = problem or decoding.too_small(
          (height, width), self._settings[0]
      )
      if problem is None and self._labels is not None:
        problem = labels_lib.problem(self._labels[i])
      if problem is None:
        good.append(i)
      else:
        self.bad.append(f'{self._store.name(i)}: {problem}')
    if strict and self.bad:
      more = len(self.bad) - _NAMED
      raise ValueError(
          f'{len(self.bad)} bad images of {len(self._store)}:\n  '
          + '\n  '.join(self.bad[:_NAMED])
          + (f'\n  and {more} more' if more > 0 else '')
      )
    return good

  def _set_items(self, items):
    self._items = np.asarray(items, np.int64)
    self._table = tf.constant(self._items)
    digest = hashlib.sha256(json.dumps(self._settings).encode())
    for source in self._items[:, 0]:
      digest.update(self._scan.hashes[source].encode())
    digest.update(self._items[:, 1:].tobytes())
    if self._labels is not None:
      digest.update(self._labels[self._items[:, 0]].tobytes())
    self._fingerprint = digest.hexdigest()[:16]

  def _part(self, chosen):
    part = object.__new__(type(self))
    part.__dict__.update(self.__dict__)
    part._set_items(self._items[chosen])
    return part


def _fold_in(seed, data):
  return tf.random.experimental.stateless_fold_in(
      seed, tf.cast(data, tf.int64), alg='philox'
  )
