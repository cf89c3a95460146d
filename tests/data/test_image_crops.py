import collections

import numpy as np
import pytest
from support import images
from support import records
import tensorflow as tf

import tfp_flowopt as fo

training = fo.training


def numbered(height, width, first):
  """An image whose three channels tell where a pixel comes from."""
  index = first + np.arange(height * width).reshape(height, width)
  return np.stack([index // 65536, index // 256 % 256, index % 256], -1).astype(
      np.uint8
  )


def test_crops_are_windows_drawn_uniformly():
  sources = [numbered(5, 9, 0), numbered(7, 4, 100), numbered(4, 4, 200)]
  crops = training.ImageCrops(sources, 4)
  assert crops.event_shape == [4, 4, 3]
  seen = collections.Counter()
  for crop in crops.draw(6000, [1, 2]).numpy():
    first = int(crop[0, 0, 2])
    source = sources[first // 100]
    y, x = np.divmod(first % 100, source.shape[1])
    np.testing.assert_array_equal(crop, source[y : y + 4, x : x + 4])
    seen[first] += 1
  # 2 x 6 positions, 4 x 1 and 1 x 1, each about 6000 / 17 times.
  assert len(seen) == 17
  assert 250 < min(seen.values()) and max(seen.values()) < 460


def test_a_batch_depends_on_its_number_alone():
  crops = images.crops()
  straight = list(crops.batches(4, seed=3).take(6))
  resumed = list(crops.batches(4, seed=3, first_step=4).take(2))
  for a, b in zip(straight[4:], resumed, strict=True):
    assert a.dtype == tf.uint8
    np.testing.assert_array_equal(a, b)
  other = next(iter(crops.batches(4, seed=4)))
  assert np.any(other != straight[0]) and np.any(straight[0] != straight[1])


def test_parts_of_a_batch_are_the_batch():
  crops = images.crops()
  whole = list(crops.batches(8, seed=3).take(3))
  for num in (2, 4):
    order = list(range(num))[::-1]
    parts = list(
        crops.batches(8, 3, 1, num_parts=num, parts=order).take(2 * num)
    )
    assert parts[0].shape == (8 // num, 8, 8, 3)
    for step in (1, 2):
      of_step = parts[(step - 1) * num : step * num][::-1]
      np.testing.assert_array_equal(np.concatenate(of_step), whole[step])
  with pytest.raises(ValueError, match=r'`batch_size`.* 8 for 3 parts'):
    crops.batches(8, 3, num_parts=3)
  with pytest.raises(ValueError, match=r'`parts`.*\[2\]'):
    crops.batches(8, 3, num_parts=2, parts=[2])


@pytest.mark.parametrize('seed', [[5, 6], tf.constant([5, 6])])
def test_examples_are_those_drawn(seed):
  crops = images.crops()
  examples = crops.examples(5, seed)
  assert examples.element_spec == tf.TensorSpec([8, 8, 3], tf.uint8)
  np.testing.assert_array_equal(list(examples), crops.draw(5, [5, 6]))


def test_split_columns_shares_no_pixel():
  (train,), (held_out,) = training.split_columns([numbered(5, 40, 0)])
  assert train.shape == (5, 30, 3) and held_out.shape == (5, 10, 3)
  assert not set(train[..., 2].flat) & set(held_out[..., 2].flat)


def test_too_small_images_are_named():
  with pytest.raises(ValueError, match=r'number 1 has 3 x 5 pixels'):
    training.ImageCrops([numbered(9, 9, 0), numbered(5, 3, 0)], 4)
  with pytest.raises(ValueError, match='empty'):
    training.ImageCrops([], 4)
  with pytest.raises(ValueError, match='one C'):
    training.ImageCrops([numbered(9, 9, 0), numbered(9, 9, 0)[..., :1]], 4)
  with pytest.raises(ValueError, match='uint8'):
    training.ImageCrops([np.zeros([9, 9, 3])], 4)


def test_the_fingerprint_tells_data_apart():
  image = numbered(9, 9, 0)
  other = image.copy()
  other[3, 3, 1] += 1
  crops = [
      training.ImageCrops([image], 4),
      training.ImageCrops([other], 4),
      training.ImageCrops([image], 5),
      training.ImageCrops([image, image], 4),
      training.ImageCrops([image.reshape(3, 27, 3)], 3),
  ]
  assert len({c.fingerprint for c in crops}) == 5
  large = np.zeros([300, 300, 3], np.uint8)
  a, b = (training.ImageCrops([large], size) for size in (8, 264))
  assert a.fingerprint != b.fingerprint
  assert crops[0].fingerprint == training.ImageCrops([image], 4).fingerprint


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'sub').mkdir()
  for name, encode, size in (
      ('b.png', tf.io.encode_png, 20),
      ('sub/c.jpg', tf.io.encode_jpeg, 30),
      ('a.png', tf.io.encode_png, 10),
  ):
    image = images.smooth_noise(0, size, size + 1)
    (tmp_path / name).write_bytes(encode(image).numpy())
  (tmp_path / '.DS_Store').write_bytes(b'hidden')
  (tmp_path / '.thumbs').mkdir()
  (tmp_path / '.thumbs' / 'a.png').write_bytes(b'hidden')
  return tmp_path


def test_images_of_a_folder(folder):
  loaded, bad = training.load_images(folder)
  assert [x.shape for x in loaded] == [(10, 11, 3), (20, 21, 3), (30, 31, 3)]
  np.testing.assert_array_equal(loaded[1], images.smooth_noise(0, 20, 21))
  assert bad == []


@pytest.mark.parametrize(
    'content', ['text', 'truncated png', 'truncated jpg', 'nothing']
)
def test_a_bad_file_is_named_or_skipped(folder, content):
  data = {
      'text': b'this is no image',
      'truncated png': (folder / 'b.png').read_bytes()[:200],
      'truncated jpg': (folder / 'sub/c.jpg').read_bytes()[:300],
      'nothing': b'',
  }[content]
  (folder / 'bad.png').write_bytes(data)
  with pytest.raises(ValueError, match=r'bad\.png'):
    training.load_images(folder)
  loaded, bad = training.load_images(folder, skip_bad=True)
  assert len(loaded) == 3
  assert len(bad) == 1 and 'bad.png' in bad[0]


def test_a_small_file_is_bad(folder):
  with pytest.raises(ValueError, match=r'a\.png: 11 x 10 pixels'):
    training.load_images(folder, smallest_side=16)
  loaded, bad = training.load_images(folder, smallest_side=16, skip_bad=True)
  assert len(loaded) == 2 and len(bad) == 1


def test_no_folder_and_no_images(tmp_path):
  with pytest.raises(ValueError, match='No folder'):
    training.load_images(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match='No images'):
    training.load_images(tmp_path)


@pytest.fixture
def array():
  return np.stack([images.smooth_noise(i, 12, 10) for i in range(3)])


def test_images_of_an_array(array, tmp_path):
  np.save(tmp_path / 'x.npy', array)
  np.testing.assert_array_equal(
      list(training.ImageSource(tmp_path / 'x.npy')), array
  )
  np.save(tmp_path / 'grey.npy', array[..., 0])
  assert next(iter(training.ImageSource(tmp_path / 'grey.npy'))).shape == (
      12, 10, 1
  )
  np.save(tmp_path / 'bad.npy', array / 255.0)
  with pytest.raises(ValueError, match='uint8'):
    training.ImageSource(tmp_path / 'bad.npy')


def test_images_of_records(array, tmp_path):
  encoded = [tf.io.encode_png(x).numpy() for x in array]
  records.write(tmp_path / 'a-0.tfrecord', encoded[:2])
  records.write(tmp_path / 'a-1.tfrecord', [*encoded[2:], b'no image'])
  source = training.ImageSource(tmp_path / 'a-*.tfrecord', skip_bad=True)
  for _ in range(2):  # as often as asked
    np.testing.assert_array_equal(list(source), array)
    assert len(source.bad) == 1 and 'a-1.tfrecord, record 1' in source.bad[0]
  assert len(source) == 4
  with pytest.raises(ValueError, match='record 1'):
    list(training.ImageSource(tmp_path / 'a-1.tfrecord'))
  with pytest.raises(ValueError, match='"jpg"'):
    list(training.ImageSource(tmp_path / 'a-0.tfrecord', image_key='jpg'))
  with tf.io.TFRecordWriter(str(tmp_path / 'text[1].tfrecord')) as writer:
    writer.write(b'hello world, this is text')
  with pytest.raises(ValueError, match=r'record 0: no tf\.train\.Example'):
    list(training.ImageSource(tmp_path / 'text[1].tfrecord'))
  data = (tmp_path / 'a-0.tfrecord').read_bytes()
  (tmp_path / 'cut.tfrecord').write_bytes(data[:-5])
  with pytest.raises(ValueError, match=r'cut\.tfrecord'):
    training.ImageSource(tmp_path / 'cut.tfrecord')
  with pytest.raises(ValueError, match='No folder or file'):
    training.ImageSource(tmp_path / 'nowhere*')


def test_tiles():
  image = numbered(11, 8, 0)
  tiles = training.image_tiles(image, 4)
  np.testing.assert_array_equal(
      tiles, [image[i : i + 4, j : j + 4] for i in (1, 5) for j in (0, 4)]
  )
  np.testing.assert_array_equal(
      training.image_tiles(image, 4, 'center'), [image[3:7, 2:6]]
  )
  crops = training.image_tiles(image, 4, 'random', num=200, seed=1)
  assert crops.shape == (200, 4, 4, 3)
  whole = {x.tobytes() for x in crops}
  assert len(whole) == 8 * 5  # all positions
  np.testing.assert_array_equal(
      crops, training.image_tiles(image, 4, 'random', num=200, seed=1)
  )
  with pytest.raises(ValueError, match='mode'):
    training.image_tiles(image, 4, 'corner')
