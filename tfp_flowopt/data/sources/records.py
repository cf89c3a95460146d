"""Images of TFRecord files, read by index without loading the files."""

import functools
import os
import pathlib
import struct

from google.protobuf import message
import numpy as np
import tensorflow as tf

from tfp_flowopt.data.sources import base

__all__ = ['Records', 'count_records']

# A record is: uint64 length, uint32 checksum of it, data, uint32 checksum.
_HEADER = 12
_FOOTER = 4


class Records(base.ImageStore):
  """The records of TFRecord files, each a `tf.train.Example`."""

  def __init__(self, files, image_key):
    """Finds where the records begin, by their lengths alone.

    Args:
      files: List of names.
      image_key: Name of the bytes feature that holds an encoded image.

    Raises:
      ValueError: If a file is cut short, or none of records.
    """
    self._files = files
    self._key = image_key
    starts = [_record_starts(file) for file in files]
    # Of each record its start and, one later, where it ends.
    self._starts = np.concatenate([s[:-1] for s in starts])
    self._lengths = np.concatenate([np.diff(s) for s in starts])
    self._lengths -= _HEADER + _FOOTER
    self._first = np.cumsum([0] + [len(s) - 1 for s in starts])

  def __len__(self):
    return len(self._starts)

  def _find(self, index):
    file = int(np.searchsorted(self._first, index, side='right')) - 1
    return self._files[file], index - int(self._first[file])

  def name(self, index):
    """See base class."""
    file, record = self._find(index)
    return f'{file}, record {record}'

  def read(self, index):
    """See base class."""
    file, _ = self._find(index)
    with open(file, 'rb') as f:
      f.seek(int(self._starts[index]) + _HEADER)
      record = f.read(int(self._lengths[index]))
    try:
      features = tf.train.Example.FromString(record).features.feature
    except message.DecodeError as e:
      raise ValueError('no tf.train.Example') from e
    # A look at a missing key would add it.
    if self._key not in features:
      raise ValueError(f'no bytes feature "{self._key}"')
    values = features[self._key].bytes_list.value
    if len(values) != 1:
      raise ValueError(f'not one value of bytes in feature "{self._key}"')
    return values[0]

  def read_in_graph(self, index):
    """See base class."""
    names, files, starts = self._places
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
  def _places(self):
    """Names of the files; of each record its file, and where it starts."""
    numbers = np.repeat(np.arange(len(self._files)), np.diff(self._first))
    with tf.init_scope():  # once, and not copied into graphs
      return (
          tf.constant([os.fsencode(file) for file in self._files]),
          tf.constant(numbers, tf.int64),
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


def count_records(file):
  """Number of records of a file, by their lengths alone."""
  return len(_record_starts(file)) - 1


# One graph for all files: TensorFlow keeps what `reduce` is given for ever.
@tf.function(
    autograph=False, input_signature=[tf.TensorSpec([], tf.string)]
)
def _read_all(file):
  """Reads the records of a file, and their checksums; returns their number."""
  return tf.data.TFRecordDataset(file).reduce(0, lambda n, _: n + 1)


def _record_starts(file):
  """Where the records of a file start, and where the last one ends."""
  starts, start = [0], 0
  with open(file, 'rb') as f:
    size = os.fstat(f.fileno()).st_size
    while start < size:
      header = os.pread(f.fileno(), 8, start)
      if len(header) < 8:
        raise _no_records(file)
      start += struct.unpack('<Q', header)[0] + _HEADER + _FOOTER
      if start > size:
        raise _no_records(file)
      starts.append(start)
  return np.array(starts, np.int64)


def _no_records(file):
  return ValueError(
      f'Not an uncompressed TFRecord file, or damaged, or cut short: {file}. '
      '(Single images: give their folder.)'
  )
