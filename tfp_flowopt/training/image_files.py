"""Images of a folder, of TFRecord files or of a NumPy array, one at a time."""

import glob
import pathlib
import re

from google.protobuf import message
import numpy as np
import tensorflow as tf

__all__ = ['ImageSource', 'image_tiles', 'load_images']


class ImageSource:
  """Reads uint8 images `[H, W, C]` one at a time, as often as asked.

  Attributes:
    bad: List of strings, a line for each image that the latest pass skipped.
  """

  def __init__(
      self, path, smallest_side=1, skip_bad=False, image_key='image/encoded'
  ):
    """Finds the images, and reads none.

    Args:
      path: A folder, of image files in it and in its subfolders (names that
        begin with a dot are passed over); or a `.npy` file, uint8 `[N, H, W]`
        or `[N, H, W, C]`, which is mapped, not loaded; or TFRecord files, a
        name or a pattern with `*`, of `tf.train.Example`s.
      smallest_side: Images with a smaller height or width are bad.
      skip_bad: Whether to pass over what is no image, or too small, instead of
        stopping.
      image_key: Of the feature that holds an encoded image (TFRecord).

    Raises:
      ValueError: If there is nothing to read at `path`, or an array of a wrong
        type or shape.
    """
    self._smallest_side = smallest_side
    self._skip_bad = skip_bad
    self._key = image_key
    self.bad = []
    path = pathlib.Path(path)
    if path.is_dir():
      self._items = [
          (str(file), file)
          for file in sorted(path.rglob('*'))
          if file.is_file()
          and not any(p.startswith('.') for p in file.relative_to(path).parts)
      ]
      self._decode = _decode_file
    elif path.suffix == '.npy' and path.is_file():
      array = np.load(path, mmap_mode='r')
      if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise ValueError(
            f'{path} must hold uint8 images [N, H, W] or [N, H, W, C], got '
            f'{array.dtype} {list(array.shape)}.'
        )
      array = array if array.ndim == 4 else array[..., np.newaxis]
      self._items = [(f'{path}[{i}]', x) for i, x in enumerate(array)]
      self._decode = np.asarray
    else:
      # A name may hold characters of patterns.
      names = [str(path)] if path.is_file() else glob.glob(str(path))
      files = sorted(name for name in names if pathlib.Path(name).is_file())
      if not files:
        raise ValueError(f'No folder or file of images: {path}')
      self._items = _Records(files)
      self._decode = self._decode_example
    if not len(self._items):
      raise ValueError(f'No images in {path}')
    self._path = path

  def __len__(self):
    """Number of files or records, bad ones included."""
    return len(self._items)

  def __iter__(self):
    """Reads the images.

    Yields:
      uint8 arrays `[H, W, C]`.

    Raises:
      ValueError: Unless `skip_bad`, at the first bad image, which it names; if
        all were bad.
    """
    self.bad = []
    good = 0
    for name, item in self._items:
      problem = None
      try:
        image = self._decode(item)
        if min(image.shape[:2]) < self._smallest_side:
          problem = (
              f'{image.shape[1]} x {image.shape[0]} pixels, need at least '
              f'{self._smallest_side} x {self._smallest_side}'
          )
      except (OSError, ValueError, tf.errors.OpError) as e:
        problem = str(getattr(e, 'message', e)).split('\n', maxsplit=1)[0]
        # What TensorFlow adds around its message is about itself.
        problem = re.sub(r'\{\{.*?\}\} | \[Op:.*\]', '', problem)
      if problem is None:
        good += 1
        yield image
        continue
      self.bad.append(f'{name}: {problem}')
      if not self._skip_bad:
        raise ValueError(f'Bad image {self.bad[-1]}')
    if not good:
      raise ValueError(f'No images in {self._path}')

  def _decode_example(self, record):
    try:
      features = tf.train.Example.FromString(record).features.feature
    except message.DecodeError as e:
      raise ValueError('no tf.train.Example') from e
    values = features[self._key].bytes_list.value
    if len(values) != 1:
      raise ValueError(f'no bytes feature "{self._key}"')
    return _decode(values[0])


class _Records:
  """The records of TFRecord files, with a length."""

  def __init__(self, files):
    self._files = files
    self._length = sum(1 for _ in self)

  def __len__(self):
    return self._length

  def __iter__(self):
    for file in self._files:
      try:
        for i, record in enumerate(
            tf.data.TFRecordDataset(file).as_numpy_iterator()
        ):
          yield f'{file}, record {i}', record
      except tf.errors.DataLossError as e:
        raise ValueError(
            f'Not an uncompressed TFRecord file, or cut short: {file}. (Single '
            'images: give their folder.)'
        ) from e


def _decode_file(path):
  return _decode(path.read_bytes())


def _decode(encoded):
  return tf.io.decode_image(
      encoded, channels=3, expand_animations=False
  ).numpy()


def image_tiles(image, size, mode='tile', num=1, seed=0):
  """Cuts squares out of an image.

  Args:
    image: Array `[H, W, C]`, both sides at least `size`.
    size: Side of the squares.
    mode: `'tile'`: as many as fit side by side, centred; `'center'`: one;
      `'random'`: `num`, uniformly over all positions.
    num: Number of random squares.
    seed: Of the random squares; an int or a sequence of ints.

  Returns:
    Array `[number, size, size, C]`.

  Raises:
    ValueError: If `mode` is another one.
  """
  rows, columns = (side - size for side in image.shape[:2])
  if mode == 'center':
    corners = [(rows // 2, columns // 2)]
  elif mode == 'random':
    rng = np.random.default_rng(seed)
    corners = rng.integers([rows + 1, columns + 1], size=[num, 2])
  elif mode == 'tile':
    top, left = (rows % size) // 2, (columns % size) // 2
    corners = [
        (i, j)
        for i in range(top, rows + 1, size)
        for j in range(left, columns + 1, size)
    ]
  else:
    raise ValueError(
        "Argument `mode` must be 'tile', 'center' or 'random', got "
        f'{mode!r}.'
    )
  return np.stack([image[i : i + size, j : j + size] for i, j in corners])


def load_images(folder, smallest_side=1, skip_bad=False):
  """Reads all images of a folder and its subfolders, in order of their names.

  Args:
    folder: Path, see `ImageSource`.
    smallest_side: Images with a smaller height or width are bad.
    skip_bad: Whether to pass over files that are no image, or too small,
      instead of stopping.

  Returns:
    images: List of uint8 arrays `[H, W, 3]`.
    bad: List of strings, a line for each file passed over.

  Raises:
    ValueError: If the folder does not exist or holds no image, or, unless
      `skip_bad`, if it holds a bad file; the message names it.
  """
  if not pathlib.Path(folder).is_dir():
    raise ValueError(f'No folder of images: {folder}')
  source = ImageSource(folder, smallest_side, skip_bad)
  return list(source), source.bad
