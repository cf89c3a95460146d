"""Images of TensorFlow Datasets, by the name of the data set and its split."""

import os
import pathlib
import re

import numpy as np

from tfp_flowopt.data.sources import base
from tfp_flowopt.data.sources import records
from tfp_flowopt.internal import parallel

__all__ = ['PREFIX', 'Tfds', 'open_tfds']

PREFIX = 'tfds:'
# Versions begin with a digit or a star, and names of splits do not.
_NAME = re.compile(
    r'(?P<name>[\w./-]+(:[\d*]+\.[\d*]+\.[\d*]+)?)(:(?P<split>[^\d*].*))?'
)


class Tfds(base.ImageStore):
  """The images of a split, which are read by index from their files."""

  def __init__(self, name, store, label_key, class_names):
    """Creates the store.

    Args:
      name: Of data set and split.
      store: `Records` or `_ArrayRecords`.
      label_key: Of the feature that holds labels, or `None`.
      class_names: List of strings, or `None`.
    """
    self._name = name
    self._store = store
    self._label_key = label_key
    self.class_names = class_names

  def __len__(self):
    return len(self._store)

  def name(self, index):
    """See base class."""
    return f'{self._name}[{index}]'

  def read(self, index):
    """See base class."""
    return self._store.read(index)

  def read_in_graph(self, index):
    """See base class."""
    return self._store.read_in_graph(index)

  def files(self):
    """See base class."""
    return self._store.files()

  def stamps(self):
    """See base class."""
    # Splits may be parts of the same files.
    return [[self._name, len(self), 0], *self._store.stamps()]

  def verify(self):
    """See base class."""
    self._store.verify()

  def labels(self):
    """Reads the labels of all images.

    Returns:
      int64 array `[N]`.

    Raises:
      ValueError: If the data set has none.
    """
    if self._label_key is None:
      raise ValueError(
          f"Argument `labels`: 'tfds' needs one ClassLabel, {self._name} has "
          'none, or several.'
      )

    def read(index):
      record = self._store.record(index)
      return records.value_of(record, self._label_key, 'int64_list')

    labels = parallel.ordered_map(read, range(len(self)), parallel.THREADS)
    return np.array(list(labels), np.int64)


class _ArrayRecords(base.ImageStore):
  """The records of ArrayRecord files, each a `tf.train.Example`."""

  def __init__(self, instructions, image_key):
    # It comes with tensorflow_datasets.
    from array_record.python import array_record_data_source

    self._source = array_record_data_source.ArrayRecordDataSource(instructions)
    self._files = [pathlib.Path(x.filename) for x in instructions]
    self._key = image_key

  def __len__(self):
    return len(self._source)

  def name(self, index):
    """See base class."""
    return f'record {index}'

  def record(self, index):
    """The bytes of a record."""
    return self._source[index]

  def read(self, index):
    """See base class."""
    return records.value_of(self.record(index), self._key)

  def files(self):
    """See base class."""
    return self._files


def open_tfds(path):
  """Opens a prepared data set; downloads nothing.

  Args:
    path: `'tfds:NAME'` or `'tfds:NAME:SPLIT'`, see `open_images`.

  Returns:
    `Tfds`.

  Raises:
    ImportError: If tensorflow_datasets is not installed.
    ValueError: If there is no such data set or split, or it is not prepared,
      or has no images of 8 bits.
  """
  found = _NAME.fullmatch(path.removeprefix(PREFIX))
  if not found:
    raise ValueError(
        f'Argument `path` must be tfds:NAME or tfds:NAME:SPLIT, got {path}.'
    )
  try:
    import tensorflow_datasets as tfds
  except ImportError as e:
    raise ImportError(
        f'{path} needs the package tensorflow_datasets: '
        "pip install 'tfp-flowopt[tfds]'"
    ) from e
  name, split = found['name'], found['split'] or 'train'
  # It looks itself at this variable, but when it is imported.
  folder = os.environ.get('TFDS_DATA_DIR')
  try:
    builder = tfds.builder(name, data_dir=folder)
  except (AssertionError, ValueError) as e:  # the former of versions
    raise ValueError(
        f'No TensorFlow dataset {name} ({str(e).strip().splitlines()[0]})'
    ) from e
  info = builder.info
  if not info.splits:
    raise ValueError(
        f'{name} is not prepared in {builder.data_dir}: run `tfds build {name}`'
        f", or `tfds.builder('{name}').download_and_prepare()`."
    )
  try:
    instructions = info.splits[split].file_instructions
  except (KeyError, ValueError) as e:
    raise ValueError(
        f'{path} must have a split of {name}, which are {sorted(info.splits)}, '
        "or a part of one, such as 'train[:90%]'."
    ) from e
  full_name = f'{PREFIX}{info.full_name}:{split}'
  image_key = _key(info, tfds.features.Image)
  if image_key is None or info.features[image_key].np_dtype != np.uint8:
    raise ValueError(
        f'{name} must have one feature of 8-bit images, got {info.features}.'
    )
  kind = info.file_format.value
  if kind == 'tfrecord':
    store = records.Records(
        [x.filename for x in instructions],
        image_key,
        [slice(x.skip, x.skip + x.take) for x in instructions],
    )
  elif kind == 'array_record':
    store = _ArrayRecords(instructions, image_key)
  else:
    raise ValueError(
        f'{name} must be prepared as tfrecord or array_record, got {kind}.'
    )
  label_key = _key(info, tfds.features.ClassLabel)
  names = list(info.features[label_key].names) if label_key else None
  return Tfds(full_name, store, label_key, names)


def _key(info, kind):
  """Name of the one feature of a kind; first of those for supervised tasks."""
  keys = [key for key, x in info.features.items() if isinstance(x, kind)]
  keys = [key for key in info.supervised_keys or () if key in keys] or keys
  return keys[0] if len(keys) == 1 else None
