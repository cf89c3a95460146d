import collections
import time

import numpy as np
import pytest
from support import images
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import example_batches
from tfp_flowopt.data import image_dataset
from tfp_flowopt.data.sources import arrays as arrays_lib
from tfp_flowopt.internal import parallel
from tfp_flowopt.training import run_settings

training = fo.training


def numbered(num, size=4):
  """Images whose pixels hold, for all of an image, its number."""
  index = np.arange(num, dtype=np.uint8)[:, np.newaxis, np.newaxis]
  return np.broadcast_to(index, [num, size, size])


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  """Twelve images of 4 x 4."""
  path = tmp_path_factory.mktemp('numbered') / 'x.npy'
  np.save(path, numbered(12))
  return path


def numbers(batches):
  return np.concatenate([x.numpy()[:, 0, 0, 0] for x in batches])


def test_every_item_once_in_an_epoch(path):
  data = training.ImageDataset(path, 4, channels=1)
  assert len(data) == 12 and data.event_shape == [4, 4, 1]
  # Five batches of five are two epochs and one example.
  seen = numbers(data.batches(5, seed=3).take(5))
  epochs = [seen[:12], seen[12:24]]
  for epoch in epochs:
    assert sorted(epoch) == list(range(12))
  assert any(epochs[0] != epochs[1])
  assert any(epochs[0] != range(12))
  assert any(numbers(data.batches(5, seed=4).take(5)) != seen)


def test_orders_are_uniform(path):
  data = training.ImageDataset(path, 4, channels=1)
  epochs = numbers(data.batches(12, seed=7).take(480)).reshape(480, 12)
  for place in (0, 1, 11):
    counts = np.bincount(epochs[:, place], minlength=12)
    # 40 expected, with a standard deviation of 6.
    assert 15 < counts.min() and counts.max() < 70


@pytest.mark.parametrize('num', [1, 2, 4])
def test_parts_and_resuming(num, tmp_path):
  for i in range(5):
    images.write_png(tmp_path / f'{i}.png', images.smooth_noise(i, 9 + i, 12))
  data = training.ImageDataset(tmp_path, 8, flip=True)
  whole = list(data.batches(4, seed=3).take(4))
  assert whole[0].shape == (4, 8, 8, 3) and whole[0].dtype == tf.uint8
  order = list(range(num))[::-1]
  parts = data.batches(4, 3, first_step=2, num_parts=num, parts=order)
  assert parts.element_spec.shape == [4 // num, 8, 8, 3]
  parts = list(parts.take(2 * num))
  for step in (2, 3):
    of_step = parts[(step - 2) * num : (step - 1) * num][::-1]
    np.testing.assert_array_equal(np.concatenate(of_step), whole[step])
  second = data.batches(4, 3, num_parts=num, parts=[num - 1]).take(2)
  np.testing.assert_array_equal(list(second)[1], whole[1][-4 // num :])
  with pytest.raises(ValueError, match=r'`batch_size`.*4 for 3 parts'):
    data.batches(4, 3, num_parts=3)


@pytest.mark.parametrize('seed', [[5, 6], tf.constant([5, 6])])
def test_examples(path, seed):
  data = training.ImageDataset(path, 4)
  examples = data.examples(30, seed)
  assert examples.element_spec == tf.TensorSpec([4, 4, 3], tf.uint8)
  seen = [int(x[0, 0, 0]) for x in examples]
  assert sorted(seen[:12]) == list(range(12))
  assert sorted(seen[12:24]) == list(range(12))
  assert seen == [int(x[0, 0, 0]) for x in data.examples(30, [5, 6])]
  assert seen != [int(x[0, 0, 0]) for x in data.examples(30, [6, 6])]
  assert len(list(data.examples(7, seed))) == 7


def test_few_images_are_read_ahead(path, monkeypatch):
  reads = []
  read = arrays_lib.Array.read

  def slow_at_first(self, i):
    reads.append(i)
    if len(reads) == 1:
      time.sleep(0.2)  # the others must not run away
    return read(self, i)

  data = training.ImageDataset(path, 4)
  monkeypatch.setattr(arrays_lib.Array, 'read', slow_at_first)
  batches = iter(data.batches(2, seed=0))
  next(batches)
  # The batches that wait, one in the making, what the threads work on.
  most = 2 * (1 + 2 + 1) + 2 * parallel.THREADS
  for _ in range(20):
    time.sleep(0.01)
    assert len(reads) <= most


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  """An image of 6 x 6 whose pixels are its places, row * 16 + column."""
  path = tmp_path_factory.mktemp('places') / 'x.npy'
  image = np.add.outer(16 * np.arange(6), np.arange(6)).astype(np.uint8)
  np.save(path, image[np.newaxis])
  return path


def test_random_crops_and_flips(places):
  data = training.ImageDataset(places, 4, flip=True, channels=1)
  whole = np.load(places)[0]
  corners, flips = collections.Counter(), 0
  examples = np.stack(list(data.examples(1200, [1, 2])))[..., 0]
  for x in examples:
    flipped = x[0, 0] > x[0, 1]
    x = x[:, ::-1] if flipped else x
    row, column = divmod(int(x[0, 0]), 16)
    np.testing.assert_array_equal(
        x, whole[row : row + 4, column : column + 4]
    )
    corners[row, column, flipped] += 1
    flips += flipped
  # 3 x 3 corners, flipped or not, 67 of each expected.
  assert len(corners) == 18
  assert 33 < min(corners.values()) and max(corners.values()) < 105
  assert 520 < flips < 680


def test_centres_and_tiles(places):
  whole = np.load(places)[0]
  (center,) = training.ImageDataset(
      places, 4, crop='center', channels=1
  ).examples(1, [0, 0])
  np.testing.assert_array_equal(center[..., 0], whole[1:5, 1:5])
  tiles = training.ImageDataset(places, 2, crop='tile', channels=1)
  assert len(tiles) == 9
  expected = training.image_tiles(whole[..., np.newaxis], 2)
  seen = [x.numpy() for x in tiles.examples(9, [0, 0])]
  assert {x.tobytes() for x in seen} == {x.tobytes() for x in expected}
  train, held_out = tiles.split(3)
  assert len(train) == 6 and len(held_out) == 3
  held_out = {x.numpy().tobytes() for x in held_out.examples(3, [0, 0])}
  assert held_out == {x.tobytes() for x in expected[2::3]}


def test_crops_of_jpegs_are_those_of_decoded_pixels(tmp_path):
  image = images.smooth_noise(0, 50, 61)
  encoded = tf.io.encode_jpeg(image, quality=90).numpy()
  (tmp_path / 'x.jpg').write_bytes(encoded)
  decoded = tf.io.decode_image(encoded).numpy()
  windows = {
      decoded[i : i + 24, j : j + 24].tobytes()
      for i in range(27)
      for j in range(38)
  }
  for x in training.ImageDataset(tmp_path, 24).examples(40, [1, 2]):
    assert x.numpy().tobytes() in windows


@pytest.fixture
def reads(monkeypatch):
  """Numbers of the images that are read of an array."""
  numbers = []
  read = arrays_lib.Array.read
  monkeypatch.setattr(
      arrays_lib.Array,
      'read',
      lambda self, i: (numbers.append(i), read(self, i))[1],
  )
  return numbers


@pytest.mark.parametrize('group', [4096, 7, 1])
def test_examples_are_those_of_batches(group, tmp_path, monkeypatch):
  for i in range(5):
    image = images.smooth_noise(i, 30 + i, 40)
    images.write_png(tmp_path / str(i % 2) / f'{i}.png', image)
    jpeg = tf.io.encode_jpeg(image).numpy()
    (tmp_path / str(i % 2) / f'{i}.jpg').write_bytes(jpeg)
  monkeypatch.setattr(image_dataset, '_GROUP', group)
  data = training.ImageDataset(tmp_path, 8, flip=True, labels='folders')
  together = list(data.examples(48, [0, 3]))
  one_by_one = list(data.batches(1, 3).take(48))
  for x, y in zip(together, one_by_one, strict=True):
    np.testing.assert_array_equal(x[0], y[0][0])
    assert x[1] == y[1][0]


def test_of_a_group_of_examples_an_image_is_read_once(
    path, reads, monkeypatch
):
  data = training.ImageDataset(path, 2)
  reads.clear()
  assert len(list(data.examples(100, [0, 1]))) == 100
  assert sorted(reads) == list(range(12))
  reads.clear()
  monkeypatch.setattr(image_dataset, '_GROUP_BYTES', 60 * 2 * 2 * 3)
  assert len(list(data.examples(100, [0, 1]))) == 100
  assert sorted(reads) == sorted([*range(12)] * 2)


@pytest.mark.parametrize('kept', [True, False])
def test_a_set_of_examples_is_read_once_if_it_can_be_kept(
    kept, path, reads, monkeypatch
):
  if not kept:
    monkeypatch.setattr(example_batches, '_KEPT_BYTES', 0)
  data = training.ImageDataset(path, 2, channels=1)
  seed = tf.constant([0, 1], tf.int64)
  reads.clear()
  batches = example_batches.ExampleBatches(data, 140, seed)
  expected = list(data.examples(140, [0, 1]))
  for _ in range(2):
    (first, a), (second, b) = batches
    assert (first, second) == (0, 128)
    np.testing.assert_array_equal(np.concatenate([a, b]), expected)
  assert len(reads) == 12 * (1 + (1 if kept else 2))


def test_grey_and_colour(tmp_path):
  ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
  np.save(tmp_path / 'grey.npy', ramp)
  np.save(tmp_path / 'colour.npy', np.stack([ramp] * 3, -1))
  images.write_png(tmp_path / 'pictures' / 'grey.png', ramp[0][..., np.newaxis])
  for name in ('grey.npy', 'colour.npy', 'pictures'):
    for channels in (1, 3):
      data = training.ImageDataset(tmp_path / name, 16, channels=channels)
      (x,) = data.examples(1, [0, 0])
      np.testing.assert_array_equal(
          x, np.broadcast_to(ramp[0][..., np.newaxis], [16, 16, channels])
      )
  np.save(tmp_path / 'four.npy', np.zeros([1, 16, 16, 4], np.uint8))
  with pytest.raises(ValueError, match='channels, got 4'):
    training.ImageDataset(tmp_path / 'four.npy', 16)


def test_bytes_that_end_in_zeros(tmp_path):
  pillow = pytest.importorskip('PIL.Image')
  pillow.fromarray(np.zeros([8, 8, 3], np.uint8)).save(tmp_path / 'x.bmp')
  assert (tmp_path / 'x.bmp').read_bytes().endswith(b'\0\0')
  (x,) = training.ImageDataset(tmp_path, 8).examples(1, [0, 0])
  np.testing.assert_array_equal(x, np.zeros([8, 8, 3]))


def test_split_shares_no_item_and_has_other_fingerprints(path):
  data = training.ImageDataset(path, 4)
  train, held_out = data.split(5)
  a, b = (
      {int(x[0, 0, 0]) for x in part.examples(len(part), [0, 0])}
      for part in (train, held_out)
  )
  assert b == {4, 9} and a == set(range(12)) - b
  prints = {x.fingerprint for x in (data, train, held_out)}
  prints |= {x.fingerprint for x in data.split(4)}
  for options in ({'flip': True}, {'channels': 1}, {'crop': 'center'}):
    prints.add(training.ImageDataset(path, 4, **options).fingerprint)
  prints.add(training.ImageDataset(path, 3).fingerprint)
  assert len(prints) == 9
  assert training.ImageDataset(path, 4).fingerprint == data.fingerprint
  with pytest.raises(ValueError, match=r'`every`.*2\.\.12, got 13'):
    data.split(13)


def test_a_run_with_images_made_otherwise_is_told_what_is_other(path):
  data = training.ImageDataset(path, 4)
  _, held_out = data.split(5)
  config = training.TrainConfig()
  before = run_settings.run_settings(config, None, data, held_out)
  now = run_settings.run_settings(
      config,
      None,
      training.ImageDataset(path, 4, flip=True),
      training.ImageCrops(list(np.zeros([3, 5, 5, 3], np.uint8)), 4),
  )
  run_settings.check_same_run(before, before, 'here')
  # Runs from before this was written down go on.
  old = {key: before[key] for key in before if '.' not in key}
  run_settings.check_same_run(old, before, 'here')
  with pytest.raises(training.OtherRunError) as e:
    run_settings.check_same_run(before, now, 'here')
  message = str(e.value)
  assert f'train_images: was {data.fingerprint}, is' in message
  assert 'train_images.flip: was False, is True' in message
  assert 'held_out_images.number: was 2, is 3' in message
  assert '.crop' not in message  # random, as it was


def test_other_pixels_or_shapes_have_other_fingerprints(path, tmp_path):
  array = np.load(path)
  other = array.copy()
  other[3, 2, 1] += 1
  arrays = [array, other, array.reshape(12, 2, 8), array[:11], array[::-1]]
  prints = set()
  for i, x in enumerate(arrays):
    np.save(tmp_path / f'{i}.npy', x)
    prints.add(training.ImageDataset(tmp_path / f'{i}.npy', 2).fingerprint)
  assert len(prints) == 5
