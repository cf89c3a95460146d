"""Batches of images that are read when they are needed."""

from collections.abc import Sequence
import hashlib
import json
import math
from typing import Any
from typing import Literal
from typing import Self

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import crop_reader
from tfp_flowopt.data import decoding
from tfp_flowopt.data import examples as examples_lib
from tfp_flowopt.data import labels as labels_lib
from tfp_flowopt.data import scan as scan_lib
from tfp_flowopt.data import tiles
from tfp_flowopt.data.sources import base
from tfp_flowopt.data.sources import open_source
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import seeds
from tfp_flowopt.internal import types

__all__ = ['ImageDataset']

# Examples that are read together, and their bytes, at most.
_GROUP, _GROUP_BYTES = 4096, 2**26

# Uses of a seed, so that orders and crops have nothing to do with each other.
_ORDER, _AUGMENTATION = 0, 1


class ImageDataset(examples_lib.Examples):
  """Square images out of files, in an order that no worker or restart changes.

  Example `g` of a seed depends on the seed and `g` alone: it is item
  `index_shuffle(g % N)` of epoch `g // N`, so each of the `N` items comes once
  in an epoch, and there is no iterator state to save.

  Attributes:
    event_shape: Shape of an image, `[S, S, C]`.
    fingerprint: Short hash of the images and what is cut out of them.
    bad: List of strings, a line for each image that was left out.
    class_names: List of strings, names of the classes by label; `None` without
      labels.
  """

  def __init__(
      self,
      path: types.Path | base.ImageStore,
      image_size: int,
      crop: Literal['random', 'center', 'tile'] = 'random',
      flip: bool = False,
      channels: int = 3,
      bad_images: Literal['strict', 'skip'] = 'strict',
      cache: types.Path | None = None,
      labels: types.Path | None = None,
      class_names: Sequence[str] | None = None,
  ) -> None:
    """Finds the images and decodes each once, to know that it is good.

    Args:
      path: A folder, TFRecord files, a `.npy` or an idx file, a data set of
        TensorFlow Datasets or an `ImageStore`, see `open_images`.
      image_size: Side `S` of the squares. Larger images are cropped, smaller
        ones are bad.
      crop: `'random'`: an item is an image, cropped anywhere; `'center'`: an
        item is the centre of an image; `'tile'`: an item is one of the squares
        that fit side by side into an image, as in `image_tiles`.
      flip: Whether to mirror half of the examples, left to right.
      channels: 3 for colour, 1 for grey; other images are converted.
      bad_images: `'strict'`: a bad image is an error; `'skip'`: it is left out.
      cache: Path of a JSON file that keeps what was found. While names, sizes
        and times of the files stay the same, nothing is decoded again. Must
        not lie in a folder of images, unless its name begins with a dot.
      labels: `'folders'`: the class of an image is the folder of `path` that it
        is in; `'tfds'`: that of the data set; or a file of one whole number an
        image, counted from 0, `.npy` or idx. Examples are then pairs of an
        image and its label, int64.
      class_names: With labels, names of the classes in the order of their
        numbers, such as those of another data set, which may have folders that
        this one lacks. By default those of the folders, sorted, that hold good
        images, or of the data set, or the numbers in the file.

    Raises:
      ValueError: If an argument is none of those above, there is nothing to
        read, no image is good, or, if strict, one is bad (the message names
        the first bad ones), or if labels do not fit.
    """
    self._size = arguments.check_int('image_size', image_size, least=1)
    self._crop = arguments.check_choice(
        'crop', crop, ('random', 'center', 'tile')
    )
    self._settings = {
        'image_size': self._size,
        'crop': self._crop,
        'flip': arguments.check_choice('flip', flip, (False, True)),
        'channels': arguments.check_choice('channels', channels, (1, 3)),
    }
    self.event_shape = [self._size, self._size, self._settings['channels']]
    arguments.check_choice('bad_images', bad_images, ('strict', 'skip'))
    if labels is None and class_names is not None:
      raise ValueError('Argument `class_names` needs `labels`.')
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
    good = self._sort_out(bad_images == 'strict')
    if not good:
      raise ValueError(f'No images in {path}, only bad ones: {self.bad[0]}')
    if labels == labels_lib.FOLDERS:
      self._labels, self.class_names = labels_lib.of_good_images(
          self._labels, self.class_names, good, class_names
      )
    self._reader = crop_reader.CropReader(
        self._store,
        self._labels,
        np.array([image.orientation for image in self._scan], np.int64),
        self._size,
        self._settings['channels'],
        flip,
    )
    self._set_items(
        np.concatenate([
            tiles.image_items(i, self._scan[i], self._size, self._crop)
            for i in good
        ])
    )

  @property
  def settings(self) -> dict[str, Any]:  # type: ignore[override]
    """Dictionary of what a fingerprint does not tell: how they are made."""
    return {
        **self._settings,
        'number': len(self),
        'classes': len(self.class_names or ()),
    }

  @property
  def num_independent(self) -> int:  # type: ignore[override]
    """Number of images that the items are parts of."""
    return len(np.unique(self._items[:, 0]))

  @property
  def num_disjoint(self) -> int:  # type: ignore[override]
    """Number of squares that fit side by side into what items are cut from."""
    if self._crop != 'random':
      return len(self)
    sides = self._items[:, 3:] + self._size - 1
    return int(np.prod(sides // self._size, axis=1).sum())

  def __len__(self) -> int:
    """Number `N` of items: an epoch has as many examples."""
    return len(self._items)

  def split(self, every: int = 10) -> tuple[Self, Self]:
    """Holds out every tenth item, or one in `every`.

    Both parts share the files and what is known of them. With `crop='tile'`,
    squares of one image lie in both.

    Returns:
      Two `ImageDataset`s, to train on and held out; none may be empty.
    """
    every = arguments.check_int('every', every, least=2, most=len(self))
    held_out = np.arange(len(self)) % every == every - 1
    return self._part(~held_out), self._part(held_out)

  def example(
      self, number: tf.Tensor, seed: tf.Tensor
  ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """See `Examples`."""
    return self._reader.read(self._choose(number, seed))

  def examples(self, num: int, seed: types.Seed) -> tf.data.Dataset:
    """See `Examples`; no item comes twice in the first `len(self)`.

    Groups of them are read ahead, up to 64 MiB or 4,096 examples, and in each
    group an image once, however many examples come from it.
    """
    num = arguments.check_int('num', num, least=0)
    seed = seeds.pair(seed)
    group = max(1, min(_GROUP, _GROUP_BYTES // math.prod(self.event_shape)))
    crops = parallel.map_in_threads(
        tf.data.Dataset.range(num), lambda number: self._choose(number, seed)
    )
    return crops.batch(group).flat_map(self._reader.read_group).prefetch(2)

  def _choose(self, number, seed):
    """The `Crop` of example `number`."""
    num_items = tf.constant(len(self), tf.int64)
    order = seeds.fold_in(seed, _ORDER)
    item = tf.random.experimental.index_shuffle(
        number % num_items,
        seeds.fold_in(order, number // num_items),
        num_items - 1,
    )
    source, top, left, rows, columns = tf.unstack(
        tf.gather(self._table, item), num=5
    )
    augmentation = seeds.fold_in(seed, _AUGMENTATION)
    random = tf.random.stateless_uniform(
        [3], seeds.fold_in(augmentation, number), 0, 2**62, tf.int64, 'philox'
    )
    if self._crop == 'random':
      top, left = random[0] % rows, random[1] % columns
    return crop_reader.Crop(source, top, left, random[2] % 2 == 1)

  def _sort_out(self, strict):
    """Indices of the good images; names the bad ones."""
    good, self.bad = [], []
    for i, image in enumerate(self._scan):
      problem = image.problem or decoding.too_small(image, self._size)
      if self._labels is not None and self._labels[i] == labels_lib.NO_CLASS:
        problem = problem or 'in no folder of a class'
      if problem is None:
        good.append(i)
      else:
        self.bad.append(f'{self._store.name(i)}: {problem}')
    if strict and self.bad:
      raise decoding.bad_images(self.bad, len(self._store))
    return good

  def _set_items(self, items):
    self._items = np.asarray(items, np.int64)
    self._table = tf.constant(self._items)
    digest = hashlib.sha256(json.dumps([*self._settings.values()]).encode())
    for source in self._items[:, 0]:
      digest.update(self._scan[source].hash.encode())
    digest.update(self._items[:, 1:].tobytes())
    if self._labels is not None:
      digest.update(self._labels[self._items[:, 0]].tobytes())
    self.fingerprint = digest.hexdigest()[:16]

  def _part(self, chosen):
    part = object.__new__(type(self))
    part.__dict__.update(self.__dict__)
    part._set_items(self._items[chosen])
    return part
