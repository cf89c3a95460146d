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
  """The images of a split, in files of `tf.train.Example`s."""

  def __init__(self, split, label_key, class_names, *records):
    super().__init__(*records)
    self._split = split
    self._label_key = label_key
    self.class_names = class_names

  def name(self, index):
    """See base class."""
    return f'{self._split}[{index}]'

  def stamps(self):
    """See base class."""
    # Splits may be parts of the same files.
    return [[self._split, len(self), 0], *super().stamps()]

  def labels(self):
    """Labels of all images, int64 `[N]`; a `ValueError` if there are none."""
    if self._label_key is None:
      raise ValueError(
          f"Argument `labels`: 'tfds' needs one ClassLabel, {self._split} has "
          'none, or several.'
      )

    def read(index):
      return records.value_of(self.record(index), self._label_key, 'int64_list')

    labels = parallel.ordered_map(read, range(len(self)), parallel.THREADS)
    return np.array(list(labels), np.int64)


class _TfRecords(Tfds, records.Records):
  """In TFRecord files."""


class _ArrayRecords(Tfds):
  """In ArrayRecord files."""

  def __init__(self, split, label_key, class_names, instructions, image_key):
    super().__init__(split, label_key, class_names)
    # It comes with tensorflow_datasets.
    from array_record.python import array_record_data_source

    self._source = array_record_data_source.ArrayRecordDataSource(instructions)
    self._files = [pathlib.Path(x.filename) for x in instructions]
    self._key = image_key

  def __len__(self):
    return len(self._source)

  def record(self, index):
    return self._source[index]

  def read(self, index):
    return records.value_of(self.record(index), self._key)

  def files(self):
    return self._files


def open_tfds(path):
  """The `Tfds` of `'tfds:NAME'` or `'tfds:NAME:SPLIT'`; downloads nothing."""
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
  image_key = _key(info, tfds.features.Image)
  if image_key is None or info.features[image_key].np_dtype != np.uint8:
    raise ValueError(
        f'{name} must have one feature of 8-bit images, got {info.features}.'
    )
  label_key = _key(info, tfds.features.ClassLabel)
  described = (
      f'{PREFIX}{info.full_name}:{split}',
      label_key,
      list(info.features[label_key].names) if label_key else None,
  )
  kind = info.file_format.value
  if kind == 'tfrecord':
    files = [x.filename for x in instructions]
    parts = [slice(x.skip, x.skip + x.take) for x in instructions]
    return _TfRecords(*described, files, image_key, parts)
  if kind == 'array_record':
    return _ArrayRecords(*described, instructions, image_key)
  raise ValueError(
      f'{name} must be prepared as tfrecord or array_record, got {kind}.'
  )


def _key(info, kind):
  """Name of the one feature of a kind; first of those for supervised tasks."""
  keys = [key for key, x in info.features.items() if isinstance(x, kind)]
  keys = [key for key in info.supervised_keys or () if key in keys] or keys
  return keys[0] if len(keys) == 1 else None
