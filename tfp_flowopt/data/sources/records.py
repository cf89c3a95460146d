"""Images of TFRecord files, read by index without loading the files."""

import functools
import os
import pathlib

from google.protobuf import message
import numpy as np
import tensorflow as tf

from tfp_flowopt.data.sources import base

__all__ = ['Records', 'count_records', 'value_of']

# A record is: uint64 length, uint32 checksum of it, data, uint32 checksum.
_HEADER = 12
_FOOTER = 4


class Records(base.ImageStore):
  """The records of TFRecord files, each a `tf.train.Example`."""

  def __init__(self, files, image_key, parts=None):
    """Finds where records begin; `parts` are slices of each file, or all."""
    self._files = files
    self._key = image_key
    parts = parts or [slice(None)] * len(files)
    starts, places = [], []
    for number, (file, part) in enumerate(zip(files, parts, strict=True)):
      found = _record_starts(file)
      starts.append(found[part])
      in_file = np.arange(len(found))[part]
      places.append(np.stack([np.full_like(in_file, number), in_file], axis=1))
    self._starts, self._places = np.concatenate(starts), np.concatenate(places)

  def __len__(self):
    return len(self._starts)

  def name(self, index):
    """See base class."""
    file, record = self._places[index]
    return f'{self._files[file]}, record {record}'

  def record(self, index):
    """Its bytes."""
    with open(self._files[self._places[index, 0]], 'rb') as f:
      f.seek(int(self._starts[index]))
      length = int.from_bytes(f.read(_HEADER)[:8], 'little')
      return f.read(length)

  def read(self, index):
    """See base class."""
    return value_of(self.record(index), self._key)

  def read_in_graph(self, index):
    """See base class."""
    names, files, starts = self._tensors
    # The public datasets of records, and of bytes, read what they pass over.
    record = tf.data.experimental.from_variant(
        tf.raw_ops.TFRecordDatasetV2(
            filenames=[tf.gather(names, tf.gather(files, index))],
            compression_type='',
            buffer_size=tf.constant(0, tf.int64),
            byte_offsets=[tf.gather(starts, index)],
        ),
        tf.TensorSpec([], tf.string),
    )
    features = tf.io.parse_single_example(
        record.take(1).get_single_element(),
        {self._key: tf.io.FixedLenFeature([], tf.string)},
    )
    return features[self._key]

  @functools.cached_property
  def _tensors(self):
    """Names of the files; of each record its file, and where it starts."""
    with tf.init_scope():  # once, and not copied into graphs
      return (
          tf.constant([os.fsencode(file) for file in self._files]),
          tf.constant(self._places[:, 0], tf.int64),
          tf.constant(self._starts, tf.int64),
      )

  def files(self):
    """See base class."""
    return [pathlib.Path(file) for file in self._files]

  def verify(self):
    """See base class."""
    for file in self._files:
      try:
        _read_all(os.fsencode(file))
      except tf.errors.DataLossError as e:
        raise _no_records(file) from e


def value_of(record, key, kind='bytes_list'):
  """The one value of a feature of a record, of a kind of `tf.train.Feature`."""
  try:
    features = tf.train.Example.FromString(record).features.feature
  except message.DecodeError as e:
    raise ValueError('no tf.train.Example') from e
  what = kind.removesuffix('_list')
  # A look at a missing key would add it.
  if key not in features:
    raise ValueError(f'no {what} feature "{key}"')
  values = getattr(features[key], kind).value
  if len(values) != 1:
    raise ValueError(f'not one value of {what} in feature "{key}"')
  return values[0]


def count_records(file):
  """Number of records of a file, by their lengths alone."""
  return len(_record_starts(file))


# One graph for all files: TensorFlow keeps what `reduce` is given for ever.
@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
def _read_all(file):
  """Reads the records of a file, and their checksums; returns their number."""
  return tf.data.TFRecordDataset(file).reduce(0, lambda n, _: n + 1)


def _record_starts(file):
  """Where the records of a file start."""
  starts, end = [], 0
  with open(file, 'rb') as f:
    size = os.fstat(f.fileno()).st_size
    while end < size:
      starts.append(end)
      header = os.pread(f.fileno(), 8, end)
      if len(header) == 8:
        end += int.from_bytes(header, 'little') + _HEADER + _FOOTER
      if len(header) < 8 or end > size:
        raise _no_records(file)
  return np.array(starts, np.int64)


def _no_records(file):
  return ValueError(
      f'Not an uncompressed TFRecord file, or damaged, or truncated: {file}. '
      '(Single images: give their folder.)'
  )
