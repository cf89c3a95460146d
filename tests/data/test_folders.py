"""Ways in which a file can be in a folder: read, or named."""

import errno
import os

import numpy as np
import pytest
from support import records
import tensorflow as tf

import tfp_flowopt as fo

training = fo.training


def png(value):
  return tf.io.encode_png(np.full([4, 4, 1], value, np.uint8)).numpy()


def write(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(png(value))
  return path


def read(folder):
  """Values of the images by name, and what is bad."""
  data = training.ImageDataset(folder, 4, channels=1, bad_images='skip')
  store = training.open_images(folder)
  # Python and the graph find the same.
  values = sorted(int(x[0, 0, 0]) for x in data.examples(len(data), [0, 0]))
  source = training.ImageSource(folder, skip_bad=True)
  assert sorted(int(x[0, 0, 0]) for x in source) == values
  assert source.bad == data.bad
  bad = dict(
      line.removeprefix(f'{folder}/').split(': ', 1) for line in data.bad
  )
  names = [store.name(i).removeprefix(f'{folder}/') for i in range(len(store))]
  return values, bad, names


def test_all_ways(tmp_path):
  root, other = tmp_path / 'root', tmp_path / 'other'
  file = write(root / 'a.png', 1)
  write(root / 'sub' / 'deeper' / 'b.png', 2)
  write(root / 'folder.png' / 'c.PNG', 3)
  write(root / 'no ending', 4)
  write(root / 'line\nbreak \u2713 [1].png', 5)
  for hidden in ('.hidden.png', '.folder/x.png', 'sub/.x.png'):
    write(root / hidden, 9)
  write(other / 'd.png', 6)
  write(other / 'deeper' / 'e.png', 7)
  (root / 'linked').symlink_to(other)
  (root / 'f.png').symlink_to(write(tmp_path / 'elsewhere', 8))
  (root / 'g.png').hardlink_to(file)
  (root / 'h.png').symlink_to('a.png')
  # Links into what they lie in: itself, its parent, and by way of another.
  (root / 'itself').symlink_to(root)
  (root / 'sub' / 'up').symlink_to('..')
  (other / 'back').symlink_to(root)
  (root / 'nowhere.png').symlink_to('none')
  (root / 'round').symlink_to('round')
  os.mkfifo(root / 'pipe.png')
  values, bad, names = read(root)
  assert values == [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]
  assert set(bad) == {'nowhere.png', 'pipe.png', 'round'}
  assert bad['nowhere.png'].startswith('a link that cannot be opened')
  assert bad['round'].startswith('a link that cannot be opened')
  assert 'neither a file nor a folder' in bad['pipe.png']
  assert names == sorted(names, key=lambda name: name.split('/'))
  with pytest.raises(ValueError, match='3 bad images of 13'):
    training.ImageDataset(root, 4)


def test_a_name_that_is_no_text(tmp_path):
  try:
    write(tmp_path / os.fsdecode(b'\xe9.png'), 1)
  except OSError:
    pytest.skip('This file system takes none.')
  assert read(tmp_path)[0] == [1]


def test_folders_of_classes_that_are_links(tmp_path):
  root = tmp_path / 'root'
  write(root / 'cat' / 'x.png', 1)
  write(tmp_path / 'dogs' / 'x.png', 2)
  (root / 'dog').symlink_to(tmp_path / 'dogs')
  # One folder as two classes is what the user said.
  (root / 'wolf').symlink_to(tmp_path / 'dogs')
  data = training.ImageDataset(root, 4, labels='folders')
  assert data.class_names == ['cat', 'dog', 'wolf']
  assert sorted(
      (int(x[0, 0, 0]), int(y)) for x, y in data.examples(3, [0, 0])
  ) == [(1, 0), (2, 1), (2, 2)]


def test_a_folder_that_is_a_link(tmp_path):
  write(tmp_path / 'real' / 'x.png', 1)
  (tmp_path / 'link').symlink_to('real')
  assert read(tmp_path / 'link')[::2] == ([1], ['x.png'])


def test_what_must_not_be_read(tmp_path, monkeypatch):
  """Root may read all: the system's answer is made up."""
  write(tmp_path / 'a.png', 1)
  write(tmp_path / 'closed' / 'b.png', 2)
  locked = write(tmp_path / 'c.png', 3)

  def refusing(function):
    def call(path, *args, **kwargs):
      if str(path) in (str(tmp_path / 'closed'), str(locked)):
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))
      return function(path, *args, **kwargs)

    return call

  monkeypatch.setattr(os, 'listdir', refusing(os.listdir))
  path_type = type(tmp_path)
  monkeypatch.setattr(path_type, 'read_bytes', refusing(path_type.read_bytes))
  data = training.ImageDataset(tmp_path, 4, bad_images='skip')
  assert len(data) == 1 and len(data.bad) == 2
  assert 'c.png: ' in data.bad[0] and 'Permission denied' in data.bad[0]
  assert 'closed: a folder that cannot be opened (Perm' in data.bad[1]


def test_a_scan_is_kept_of_links_that_lead_nowhere(tmp_path):
  folder, cache = tmp_path / 'folder', tmp_path / 'scan.json'
  write(folder / 'a.png', 1)
  (folder / 'b.png').symlink_to(tmp_path / 'later.png')
  options = {'bad_images': 'skip', 'cache': cache}
  assert len(training.ImageDataset(folder, 4, **options)) == 1
  kept = cache.read_text()
  assert len(training.ImageDataset(folder, 4, **options).bad) == 1
  assert cache.read_text() == kept
  write(tmp_path / 'later.png', 2)
  assert len(training.ImageDataset(folder, 4, **options)) == 2
  for damaged in (kept[:-20], '[1]', '\udcff'):
    cache.write_text(damaged, errors='surrogateescape')
    with pytest.warns(UserWarning, match='damaged'):
      assert len(training.ImageDataset(folder, 4, **options)) == 2
  with pytest.raises(ValueError, match=r'`cache` must be a file'):
    training.ImageDataset(folder, 4, cache=tmp_path)


def test_endings_in_capitals(tmp_path):
  array = np.full([2, 4, 4], 3, np.uint8)
  np.save(tmp_path / 'x.npy', array)
  (tmp_path / 'x.npy').rename(tmp_path / 'X.NPY')
  np.save(tmp_path / 'y.npy', np.array([1, 0]))
  (tmp_path / 'y.npy').rename(tmp_path / 'Y.NPY')
  data = training.ImageDataset(
      tmp_path / 'X.NPY', 4, labels=tmp_path / 'Y.NPY'
  )
  assert len(data) == 2 and data.class_names == ['0', '1']
  (tmp_path / 'shards').mkdir()
  records.write(tmp_path / 'shards' / 'X.TFRECORD', [png(1)])
  assert len(training.open_images(tmp_path / 'shards')) == 1


def test_nothing_is_passed_over_beside_records(tmp_path):
  records.write(tmp_path / 'x-0.tfrecord', [png(1)])
  (tmp_path / 'features.json').write_text('{}')
  (tmp_path / 'y.tfrecord').mkdir()  # a folder is no file of records
  assert len(training.open_images(tmp_path)) == 1
  (tmp_path / 'x-1.tfrecord').symlink_to('none')
  for path in (tmp_path, tmp_path / 'x-*', tmp_path / 'x-1*'):
    with pytest.raises(ValueError, match=r'broken link.*x-1\.tfrecord'):
      training.open_images(path)
  (tmp_path / 'x-1.tfrecord').unlink()
  write(tmp_path / 'picture.PNG', 1)
  with pytest.raises(ValueError, match=r'TFRecord.*picture\.PNG'):
    training.open_images(tmp_path)
