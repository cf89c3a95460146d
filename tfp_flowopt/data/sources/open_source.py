"""Which source of images a path is, and its images one after the other."""

from collections.abc import Iterator
import glob
import os

import numpy as np

from tfp_flowopt.data import decoding
from tfp_flowopt.data.sources import arrays
from tfp_flowopt.data.sources import base
from tfp_flowopt.data.sources import folder as folder_lib
from tfp_flowopt.data.sources import records
from tfp_flowopt.data.sources import tfds
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['ImageSource', 'load_images', 'open_images']

# Which may not lie beside TFRecord files: they would be passed over.
_PICTURES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.webp')


def open_images(
    path: types.Path | base.ImageStore, image_key: str = 'image/encoded'
) -> base.ImageStore:
  """Finds images, to be read by index.

  Args:
    path: A folder, of image files (PNG, JPEG, BMP, GIF, WebP) in it and in its
      subfolders, links followed, where names that begin with a dot are passed
      over, or of TFRecord files `*.tfrecord`; TFRecord files of
      `tf.train.Example`s, a name or a pattern with `*`; a `.npy` file, uint8
      `[N, H, W]` or `[N, H, W, C]`, which is mapped, not loaded; or an idx file
      of the MNIST family, uint8 `[N, H, W]`, plain or `.gz`, which is loaded;
      or `'tfds:NAME:SPLIT'`, a prepared data set of TensorFlow Datasets in
      `TFDS_DATA_DIR`, such as `'tfds:celeb_a_hq/1024'` (of the split `train`)
      or `'tfds:mnist:3.0.1:train[:90%]'`. An `ImageStore` stays what it is.
    image_key: Of the feature that holds an encoded image (TFRecord).

  Returns:
    An `ImageStore`: it has a length, `name(index)`, `read(index)` and
    `image(index)`.

  Raises:
    ValueError: If there is nothing to read at `path`, or an array of a wrong
      type or shape, or a file is damaged; the message names it.
    ImportError: If `'tfds:'` is asked for and not installed.
  """
  if isinstance(path, base.ImageStore):
    return path
  path = arguments.check_path('path', path)
  if str(path).startswith(tfds.PREFIX):
    store = tfds.open_tfds(str(path))
  elif path.is_dir():
    files = _shards(path)
    store = (
        records.Records(files, image_key) if files else folder_lib.Folder(path)
    )
  elif path.is_file() and arrays.is_array(path):
    store = arrays.Array(path)
  else:
    # A name may hold characters of patterns.
    names = [str(path)] if path.is_file() else glob.glob(str(path))
    files = [name for name in names if not os.path.isdir(name)]
    if not files:
      raise ValueError(f'No folder or file of images: {path}')
    store = records.Records(_opened(files), image_key)
  if not len(store):
    raise ValueError(f'No images in {path}')
  return store


def _shards(folder):
  """TFRecord files in a folder, none if it is one of image files."""
  # Not those with a dot in front, which are being written.
  files = [
      file
      for file in folder.iterdir()
      if not file.name.startswith('.') and not file.is_dir()
  ]
  shards, pictures = (
      [file for file in files if file.suffix.lower() in suffixes]
      for suffixes in (('.tfrecord',), _PICTURES)
  )
  if shards and pictures:
    raise ValueError(
        f'{folder} holds TFRecord files and images, such as '
        f'{min(pictures).name}: give a folder of one or the other.'
    )
  return _opened(map(str, shards))


def _opened(files):
  """Names in their order, of files that are there."""
  files = sorted(files)
  for file in files:
    if not os.path.isfile(file):
      raise ValueError(f'A broken link, or no file: {file}')
  return files


class ImageSource:
  """Reads uint8 images `[H, W, C]` one at a time, as often as asked.

  Attributes:
    bad: List of strings, a line for each image that the latest pass skipped.
  """

  def __init__(
      self,
      path: types.Path | base.ImageStore,
      smallest_side: int = 1,
      skip_bad: bool = False,
      image_key: str = 'image/encoded',
  ) -> None:
    """Finds the images, and decodes none.

    Args:
      path: Of the images, see `open_images`.
      smallest_side: Images with a smaller height or width are bad.
      skip_bad: Whether to pass over what is no image, or too small, instead of
        stopping.
      image_key: Of the feature that holds an encoded image (TFRecord).

    Raises:
      ValueError: As `open_images`, or if an argument is none of those above.
    """
    self._smallest_side = arguments.check_int('smallest_side', smallest_side)
    self._skip_bad = arguments.check_choice('skip_bad', skip_bad, (False, True))
    self._store = open_images(path, image_key)
    self._store.verify()
    self._path = path
    self.bad: list[str] = []

  def __len__(self) -> int:
    """Number of files or records, bad ones included."""
    return len(self._store)

  def __iter__(self) -> Iterator[np.ndarray]:
    """Reads the images, uint8 arrays `[H, W, C]`.

    Raises:
      ValueError: At the end, if all were bad; or, unless `skip_bad`, any. It
        names the first ones; from the first one on none is given.
    """
    self.bad = []
    for i in range(len(self._store)):
      try:
        image = self._store.image(i)
        problem = decoding.too_small(image.shape, self._smallest_side)
      except decoding.ERRORS as e:
        problem = decoding.describe(e)
      if problem is not None:
        self.bad.append(f'{self._store.name(i)}: {problem}')
      elif self._skip_bad or not self.bad:
        yield image
    if self.bad and not self._skip_bad:
      raise decoding.bad_images(self.bad, len(self._store))
    if len(self.bad) == len(self._store):
      raise ValueError(f'No images in {self._path}')


def load_images(
    folder: types.Path, smallest_side: int = 1, skip_bad: bool = False
) -> tuple[list[np.ndarray], list[str]]:
  """Reads all images of a folder and its subfolders, in order of their names.

  Args:
    folder: Its path.
    smallest_side: As `ImageSource` takes it.
    skip_bad: Likewise.

  Returns:
    images: List of uint8 arrays `[H, W, 3]`.
    bad: List of strings, a line for each file passed over.

  Raises:
    ValueError: If the folder does not exist or holds no image, or, unless
      `skip_bad`, if it holds a bad file; the message names it.
  """
  if not arguments.check_path('folder', folder).is_dir():
    raise ValueError(f'No folder of images: {folder}')
  source = ImageSource(folder, smallest_side, skip_bad)
  return list(source), source.bad
