"""TFRecord files of encoded images."""

import tensorflow as tf


def write(path, values, key='image/encoded'):
  """Writes a record with one bytes feature for each value."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for value in values:
      feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
      features = tf.train.Features(feature={key: feature})
      writer.write(tf.train.Example(features=features).SerializeToString())
