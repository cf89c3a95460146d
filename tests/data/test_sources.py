import gzip
import os
import pathlib
import struct
import time
import tracemalloc

import numpy as np
import pytest
from support import encoders
from support import images
from support import records
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.internal import parallel

training = fo.training


@pytest.fixture(scope='module')
def grey():
  return np.stack([images.smooth_noise(i, 9, 7)[..., 0] for i in range(5)])


def idx(array):
  return struct.pack('>4I', 0x803, *array.shape) + array.tobytes()


def write_folder(path, array):
  path.mkdir()
  for i, image in enumerate(array):
    (path / f'{i}.png').write_bytes(
        tf.io.encode_png(image[..., np.newaxis]).numpy()
    )
  return path


def write(form, path, array):
  """Writes grey images in a format; returns what to open."""
  if form == 'folder':
    return write_folder(path / 'folder', array)
  encoded = [tf.io.encode_png(x[..., np.newaxis]).numpy() for x in array]
  if form == 'records':
    records.write(path / 'x.tfrecord', encoded)
    return path / 'x.tfrecord'
  if form in ('shards', 'folder of shards'):
    records.write(path / 'x-0.tfrecord', encoded[:3])
    records.write(path / 'x-1.tfrecord', [])
    records.write(path / 'x-2.tfrecord', encoded[3:])
    return path / 'x-*' if form == 'shards' else path
  if form == 'npy':
    np.save(path / 'x.npy', array)
    return path / 'x.npy'
  if form == 'idx':
    (path / 'x').write_bytes(idx(array))
    return path / 'x'
  (path / 'x-idx3-ubyte.gz').write_bytes(gzip.compress(idx(array)))
  return path / 'x-idx3-ubyte.gz'


FORMS = [
    'folder', 'records', 'shards', 'folder of shards', 'npy', 'idx', 'idx.gz'
]


@pytest.mark.parametrize('form', FORMS)
def test_all_formats_give_the_same_pixels_in_any_order(form, grey, tmp_path):
  path = write(form, tmp_path, grey)
  source = training.open_images(path)
  assert len(source) == 5
  names = set()
  for i in (4, 0, 3, 2, 1, 4):
    np.testing.assert_array_equal(
        np.broadcast_to(source.image(i), [9, 7, source.channels]),
        np.broadcast_to(grey[i][..., np.newaxis], [9, 7, source.channels]),
    )
    names.add(source.name(i))
  assert len(names) == 5
  straight = list(training.ImageSource(path))
  np.testing.assert_array_equal([x[..., 0] for x in straight], grey)


@pytest.mark.parametrize('form', FORMS)
def test_a_graph_reads_what_python_reads(form, grey, tmp_path):
  source = training.open_images(write(form, tmp_path, grey))
  order = [4, 0, 3, 2, 1, 4]
  read = tf.data.Dataset.from_tensor_slices(order).map(
      lambda i: source.read_in_graph(tf.cast(i, tf.int64))
  )
  for i, value in zip(order, read, strict=True):
    np.testing.assert_array_equal(value.numpy(), source.read(i))


def test_names_that_are_no_text(grey, tmp_path):
  image = tf.io.encode_png(grey[0][..., np.newaxis]).numpy()
  path = os.fsencode(tmp_path / 'x') + b'\xff*[\n .png'
  try:
    with open(path, 'wb') as f:
      f.write(image)
  except OSError:
    pytest.skip('Names are texts on this file system.')
  source = training.open_images(tmp_path)
  assert source.read_in_graph(tf.constant(0, tf.int64)).numpy() == image


def test_of_a_record_in_many_little_else_is_read(tmp_path):
  io = pathlib.Path('/proc/self/io')
  if not io.exists():
    pytest.skip('Only Linux says how much is read.')
  values = [bytes([i]) * 10**5 for i in range(100)]
  records.write(tmp_path / 'x.tfrecord', values)
  source = training.open_images(tmp_path)
  read = tf.function(source.read_in_graph)
  read(tf.constant(0, tf.int64))
  before = int(io.read_text().split()[1])
  for i in (99, 50):
    assert read(tf.constant(i, tf.int64)).numpy() == values[i]
  assert int(io.read_text().split()[1]) - before < 10**6


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'bmp', 'gif', 'webp'])
def test_files_that_others_wrote(suffix, tmp_path):
  pillow = pytest.importorskip('PIL.Image')
  if suffix == 'webp' and not hasattr(tf.io, 'decode_webp'):
    pytest.skip('TensorFlow 2.18 does not read it.')
  image = np.full([6, 8, 3], 200, np.uint8)
  (tmp_path / 'sub').mkdir()
  pillow.fromarray(image).save(tmp_path / 'sub' / f'a.{suffix}')
  source = training.open_images(tmp_path)
  np.testing.assert_allclose(source.image(0), image, atol=1)
  assert source.name(0).endswith(f'sub/a.{suffix}')


def test_a_mapped_array_is_not_loaded(grey, tmp_path):
  np.save(tmp_path / 'x.npy', np.broadcast_to(grey[0], [2000, 9, 7]))
  source = training.open_images(tmp_path / 'x.npy')
  assert isinstance(source._array, np.memmap)


def test_records_whose_name_looks_like_idx(grey, tmp_path):
  data = write('records', tmp_path, grey).read_bytes()
  (tmp_path / 'idx3.tfrecord').write_bytes(data)
  assert len(training.open_images(tmp_path / 'idx3.tfrecord')) == 5


def test_damaged_files_are_named(grey, tmp_path):
  def write_bytes(name, data):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name

  data = write('records', tmp_path, grey).read_bytes()
  flipped = bytearray(data)
  flipped[60] ^= 1
  damaged = [
      (write_bytes('cut.tfrecord', data[:-1]), 'truncated'),
      (write_bytes('header.tfrecord', data + data[:7]), 'truncated'),
      (write_bytes('flipped.tfrecord', bytes(flipped)), 'damaged'),
      (write_bytes('picture.jpg', b'\xff\xd8\xff' * 20), 'Not an uncom'),
      (write_bytes('cut.npy', write('npy', tmp_path, grey).read_bytes()[:-9]),
       'truncated'),
      (write_bytes('none.npy', b''), 'truncated'),
      (write_bytes('cut-idx3-ubyte', idx(grey)[:-3]), 'must hold 315 bytes'),
      (write_bytes('cut-idx3.gz', gzip.compress(idx(grey))[:-20]), 'truncated'),
      (write_bytes('no-idx3.gz', b'text'), 'Not a gzipped file'),
      (write_bytes('labels-idx1', struct.pack('>2I', 0x801, 5) + bytes(5)),
       r'got uint8 \[5\]'),
      (write_bytes('floats-idx3', struct.pack('>4I', 0xD03, 1, 1, 1)),
       'begins with 0x00000d03'),
  ]
  for path, message in damaged:
    with pytest.raises(ValueError, match=message) as e:
      training.open_images(path).verify()
    assert path.name in str(e.value)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('x.npy', encoders.npy((4, 8, 8), bytes(255))),
        ('x.npy', encoders.npy((2**31, 4, 4))),
        ('x.npy', encoders.npy((2**40, 2**40, 8))),
        ('x.npy', encoders.npy((2**64, 8, 8))),
        ('x.npy', encoders.npy((-1, 8, 8), bytes(64))),
        ('x.npy', encoders.npy((10**12, 0, 8))),
        ('x.npy', encoders.npy((10**12, 8, 0))),
        ('x.npy', encoders.npy((10**12, 8, 8, 0))),
        ('x.npy', encoders.npy(())),
        ('x.npy', encoders.npy((0, 8, 8))),
        ('x-idx3', struct.pack('>4I', 0x803, *[2**32 - 1] * 3)),
        ('x-idx3', struct.pack('>4I', 0x803, 1, 8, 8) + bytes(65)),
        ('x-idx3', struct.pack('>4I', 0x803, 1, 8, 8) + bytes(63)),
        ('x-idx3', struct.pack('>4I', 0x803, 2**32 - 1, 0, 8)),
        ('x-idx3', struct.pack('>4I', 0x803, 0, 8, 8)),
        ('x-idx3', struct.pack('>3I', 0x803, 1, 8)),
        ('x-idx3', struct.pack('>4I', 0xD03, 1, 8, 8) + bytes(256)),
    ],
)
def test_headers_that_do_not_fit(name, content, tmp_path):
  files = {name: content}
  if name == 'x-idx3':
    files['x-idx3.gz'] = gzip.compress(content)
  for file, data in files.items():
    (tmp_path / file).write_bytes(data)
    with pytest.raises(ValueError, match=file):
      training.open_images(tmp_path / file)


def test_an_archive_is_no_array(grey, tmp_path):
  with (tmp_path / 'x.npy').open('wb') as f:
    np.savez(f, grey)
  with pytest.raises(ValueError, match=r'x\.npy \(an archive'):
    training.open_images(tmp_path / 'x.npy')


@pytest.mark.parametrize('num_dims', [1, 3])
def test_no_more_is_unpacked_than_the_header_says(
    num_dims, tmp_path, monkeypatch
):
  """8 MB of zeros are packed into 8 KB, and 64 bytes are said to be there."""
  shape = [64] if num_dims == 1 else [1, 8, 8]
  header = struct.pack(f'>{1 + num_dims}I', 0x800 + num_dims, *shape)
  packed = tmp_path / f'x-idx{num_dims}.gz'
  packed.write_bytes(gzip.compress(header + bytes(2**23), 6))
  asked = []
  read = gzip.GzipFile.read

  def counted(self, size=-1):
    asked.append(size)
    return read(self, size)

  monkeypatch.setattr(gzip.GzipFile, 'read', counted)
  tracemalloc.start()
  with pytest.raises(ValueError, match=r'must hold 64 bytes .* holds more'):
    if num_dims == 3:
      training.open_images(packed)
    else:
      fo.data.read_array(packed)
  _, most = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert asked == [4, 4 * num_dims, 65]
  assert most < 2**20


def test_a_packed_file_is_read_to_its_checksum(grey, tmp_path):
  data = bytearray(gzip.compress(idx(grey)))
  data[-6] ^= 1
  (tmp_path / 'x-idx3.gz').write_bytes(data)
  with pytest.raises(ValueError, match=r'x-idx3\.gz .*CRC'):
    training.open_images(tmp_path / 'x-idx3.gz')


def test_threads_keep_the_order_and_stay_near():
  started = []

  def work(i):
    started.append(i)
    time.sleep(0.001 * (i % 3))
    return -i

  for done, result in enumerate(parallel.ordered_map(work, range(50), 3)):
    assert result == -done
    assert len(started) <= done + 6
  assert done == 49


def test_records_without_an_image(grey, tmp_path):
  records.write(tmp_path / 'x.tfrecord', [b'x'], key='other')
  with pytest.raises(ValueError, match='no bytes feature "image/encoded"'):
    training.open_images(tmp_path / 'x.tfrecord').image(0)
  with pytest.raises(ValueError, match='no PNG, JPEG'):
    training.open_images(tmp_path / 'x.tfrecord', image_key='other').image(0)
