import pathlib

import numpy as np
import pytest
from support import images
import tensorflow as tf

import tfp_flowopt as fo

training = fo.training


@pytest.fixture
def folder(tmp_path):
  """Twelve PNGs and a JPEG of several sizes."""
  path = tmp_path / 'pictures'
  (path / 'sub').mkdir(parents=True)
  for i in range(12):
    image = images.smooth_noise(i, 20 + i, 24)
    name = f'sub/{i:02}.png' if i % 2 else f'{i:02}.png'
    (path / name).write_bytes(tf.io.encode_png(image).numpy())
  image = images.smooth_noise(99, 30, 30)
  (path / 'x.jpg').write_bytes(tf.io.encode_jpeg(image).numpy())
  return path


def contents(output):
  return {f.name: f.read_bytes() for f in sorted(output.glob('*.tfrecord'))}


def examples(output):
  return [
      tf.train.Example.FromString(record).features.feature
      for file in sorted(output.glob('*.tfrecord'))
      for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
  ]


def test_images_as_they_are(folder, tmp_path):
  source = training.open_images(folder)
  assert training.convert_images(folder, tmp_path / 'out', num_shards=4) == (
      13, 0, []
  )
  records = training.open_images(tmp_path / 'out')
  assert len(contents(tmp_path / 'out')) == 4 and len(records) == 13
  for i in range(13):
    np.testing.assert_array_equal(records.image(i), source.image(i))
    copied = records.read(i) == source.read(i)
    assert copied != source.name(i).endswith('.jpg')
  first = examples(tmp_path / 'out')[6]
  assert first['image/name'].bytes_list.value == [b'sub/01.png']
  assert first['image/format'].bytes_list.value == [b'png']
  assert [
      first[f'image/{key}'].int64_list.value[0]
      for key in ('height', 'width', 'channels')
  ] == [21, 24, 3]


@pytest.mark.parametrize('image_size', [0, 8])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_grey_stays_grey_and_transparency_goes(image_size, channels, tmp_path):
  image = images.smooth_noise(0, 8, 8)
  image = np.concatenate([image, image[..., :1]], -1)[..., :channels]
  (tmp_path / 'in').mkdir()
  encoded = tf.io.encode_png(image).numpy()
  (tmp_path / 'in' / 'x.png').write_bytes(encoded)
  training.convert_images(tmp_path / 'in', tmp_path / 'out', image_size)
  (x,) = examples(tmp_path / 'out')
  kept = 1 if channels < 3 else 3
  assert x['image/channels'].int64_list.value == [kept]
  decoded = tf.io.decode_png(x['image/encoded'].bytes_list.value[0])
  if image_size:
    np.testing.assert_array_equal(decoded, image[..., :kept])
  else:
    assert x['image/encoded'].bytes_list.value == [encoded]


def test_squares_are_centred_and_resized(folder, tmp_path):
  training.convert_images(
      folder, tmp_path / 'out', image_size=10, image_format='jpeg'
  )
  records = training.open_images(tmp_path / 'out')
  assert len(records) == 13
  image = training.open_images(folder).image(0)[:, 2:22].astype(float)
  blocks = image.reshape(10, 2, 10, 2, 3).mean((1, 3))
  # Means of blocks are not the same filter, and JPEG adds its error.
  error = np.abs(records.image(0) - blocks).mean()
  assert error < 0.3 * blocks.std()
  # Neither of the neighbouring squares would do.
  for shift in (0, 4):
    other = training.open_images(folder).image(0)[:, shift : shift + 20]
    other = other.astype(float).reshape(10, 2, 10, 2, 3).mean((1, 3))
    assert np.abs(records.image(0) - other).mean() > 1.3 * error


def test_fine_stripes_become_grey(tmp_path):
  stripes = np.tile(np.array([0, 0, 255, 255], np.uint8), [1, 40, 10])
  np.save(tmp_path / 'x.npy', stripes)
  training.convert_images(tmp_path / 'x.npy', tmp_path / 'out', 16)
  image = training.open_images(tmp_path / 'out').image(0)
  assert np.all(np.abs(image[:, 2:-2].astype(int) - 127) < 25)


def test_an_interrupted_conversion_goes_on(folder, tmp_path):
  training.convert_images(folder, tmp_path / 'whole', 10, num_shards=5)
  whole = contents(tmp_path / 'whole')
  assert len(whole) == 5
  output = tmp_path / 'out'

  class Stopped(Exception):
    pass

  encode, calls = tf.io.encode_png, []

  def stop_after_seven(image):
    calls.append(1)
    if len(calls) > 7:
      raise Stopped
    return encode(image)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tf.io, 'encode_png', stop_after_seven)
    with pytest.raises(Stopped):
      training.convert_images(
          folder, output, 10, num_shards=5, num_workers=1
      )
  complete = contents(output)
  assert 0 < len(complete) < 5
  # As if the process had been killed.
  (output / f'.tmp-{sorted(whole)[-1]}').write_bytes(b'half a rec')
  times = {f: (output / f).stat().st_mtime_ns for f in complete}
  assert training.open_images(output)
  written, left_out, _ = training.convert_images(
      folder, output, 10, num_shards=5
  )
  assert (written, left_out) == (13, 0)
  assert contents(output) == whole
  assert times == {f: (output / f).stat().st_mtime_ns for f in complete}
  assert not list(output.glob('.tmp*'))


def test_bad_images_stop_it_or_are_left_out(folder, tmp_path):
  (folder / '09.png').write_bytes(b'no image')
  output = tmp_path / 'out'
  with pytest.raises(ValueError, match=r'1 bad images of 14:\n.*09\.png'):
    training.convert_images(folder, output, num_shards=14)
  # All others are there.
  assert len(list(output.glob('*.tfrecord'))) == 13
  written, left_out, bad = training.convert_images(
      folder, output, num_shards=14, bad_images='skip'
  )
  assert (written, left_out) == (13, 1)
  assert len(bad) == 1 and '09.png' in bad[0]
  # Again, from nothing but the files.
  assert training.convert_images(
      folder, output, num_shards=14, bad_images='skip'
  ) == (13, 1, [])
  with pytest.raises(ValueError, match='24 x 20 pixels, need at least 21'):
    training.convert_images(folder, tmp_path / 'small', image_size=21)
  (folder / '02.png').write_bytes(b'')
  # In one go, wherever they are; not in files of before.
  with pytest.raises(ValueError, match=r'(?s)2 bad .*02\.png.*09\.png'):
    training.convert_images(folder, tmp_path / 'other', num_shards=14)
  with pytest.raises(ValueError, match=r'(?s)2 bad .*02\.png.*09\.png'):
    list(training.ImageSource(folder))


def test_another_conversion_is_refused(folder, tmp_path):
  output = tmp_path / 'out'
  training.convert_images(folder, output)
  with pytest.raises(
      training.OtherConversionError,
      match=r'image_size: was 0, is 8\n.*num_shards: was 13, is 2$',
  ):
    training.convert_images(folder, output, image_size=8, num_shards=2)
  (folder / 'new.png').write_bytes((folder / '00.png').read_bytes())
  with pytest.raises(training.OtherConversionError, match='input_files: was'):
    training.convert_images(folder, output)
  (output / 'conversion.json').unlink()
  with pytest.raises(training.OtherConversionError, match=r'no conversion\.js'):
    training.convert_images(folder, output)
  with pytest.raises(ValueError, match=r'`output` must lie outside'):
    training.convert_images(folder, pathlib.Path(folder) / 'sub' / 'out')


def test_a_store_of_the_users(tmp_path):
  class Numbered(fo.data.ImageStore):
    encoded = False

    def __len__(self):
      return 3

    def name(self, index):
      return f'number {index}'

    def read(self, index):
      return np.full([5, 4, 3], index, np.uint8)

    def files(self):
      return []

  result = training.convert_images(Numbered(), tmp_path / 'out', num_shards=1)
  assert result == (3, 0, [])
  store = fo.data.open_images(tmp_path / 'out')
  for i in range(3):
    np.testing.assert_array_equal(store.image(i), np.full([5, 4, 3], i))
