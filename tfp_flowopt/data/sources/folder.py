"""Image files of a folder."""

import functools
import os
import stat

import tensorflow as tf

from tfp_flowopt.data.sources import base

__all__ = ['Folder']


class Folder(base.ImageStore):
  """Image files in a folder and its subfolders, in order of their names.

  Links are followed, to files and to folders: a file or a folder with two names
  is there twice. Names that begin with a dot are passed over; what cannot be
  opened is a bad image.
  """

  def __init__(self, path):
    self.path = path
    entries = sorted(_entries(path))
    self._files = [file for file, _ in entries]
    # By index, of those that are no readable files.
    self._problems = {i: p for i, (_, p) in enumerate(entries) if p}

  def __len__(self):
    return len(self._files)

  def name(self, index):
    """See base class."""
    return str(self._files[index])

  def read(self, index):
    """See base class."""
    if index in self._problems:
      raise ValueError(self._problems[index])
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

  def stamps(self):
    """See base class."""
    # Of nothing there is neither size nor time.
    return [
        [os.path.abspath(file), self._problems[i], 0]
        if i in self._problems
        else self._stamp(file)
        for i, file in enumerate(self._files)
    ]


def _entries(folder, above=frozenset()):
  """Paths in a folder, at any depth, each with why it cannot be read, or `''`.

  `above` has devices and numbers of the folders that it lies in: a link to one
  of them leads to what is found already.
  """
  try:
    found = folder.stat()
    names = os.listdir(folder)
  except OSError as e:
    yield folder, f'a folder that cannot be opened ({e.strerror})'
    return
  identity = found.st_dev, found.st_ino
  if identity in above:
    return
  for name in names:
    if name.startswith('.'):
      continue
    path = folder / name
    try:
      mode = path.stat().st_mode
    except OSError as e:
      kind = 'link' if path.is_symlink() else 'file'
      yield path, f'a {kind} that cannot be opened ({e.strerror})'
      continue
    if stat.S_ISDIR(mode):
      yield from _entries(path, above | {identity})
    else:
      yield path, '' if stat.S_ISREG(mode) else 'neither a file nor a folder'
