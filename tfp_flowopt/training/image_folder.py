"""Image files of a folder."""

import functools
import os

import tensorflow as tf

from tfp_flowopt.training import image_store

__all__ = ['Folder']


class Folder(image_store.ImageStore):
  """Image files in a folder and its subfolders, in order of their names."""

  def __init__(self, path):
    """Lists the files; names that begin with a dot are passed over.

    Args:
      path: `pathlib.Path` of the folder.
    """
    self._files = [
        file
        for file in sorted(path.rglob('*'))
        if file.is_file()
        and not any(p.startswith('.') for p in file.relative_to(path).parts)
    ]

  def __len__(self):
    return len(self._files)

  def name(self, index):
    """See base class."""
    return str(self._files[index])

  def read(self, index):
    """See base class."""
    return self._files[index].read_bytes()

  def read_in_graph(self, index):
    """See base class."""
    return tf.io.read_file(tf.gather(self._names, index))

  @functools.cached_property
  def _names(self):
    with tf.init_scope():  # once, and not copied into graphs
      return tf.constant([os.fsencode(file) for file in self.files()])

  def files(self):
    """See base class."""
    return self._files
