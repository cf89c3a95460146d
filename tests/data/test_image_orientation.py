"""Photographs that a camera noted the orientation of."""

import io
import struct

import numpy as np
import pytest
from support import images
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import orientation as orientation_lib

Image = pytest.importorskip('PIL.Image')
ImageOps = pytest.importorskip('PIL.ImageOps')

training = fo.training

SIZE, HEIGHT, WIDTH = 16, 39, 60


def exif(orientation):
  block = Image.Exif()
  block[0x0112] = orientation
  return block


def as_shown(pixels, orientation):
  """By Pillow."""
  image = Image.fromarray(pixels)
  image.getexif()[0x0112] = orientation
  return np.array(ImageOps.exif_transpose(image))


@pytest.fixture(scope='module', name='folder')
def _folder(tmp_path_factory):
  """Each orientation, by numbers, as JPEG and PNG; labels by orientation."""
  path = tmp_path_factory.mktemp('orientations')
  image = Image.fromarray(images.smooth_noise(0, HEIGHT, WIDTH))
  for i in range(1, 9):
    (path / str(i)).mkdir()
    for form in ('jpeg', 'png'):
      image.save(path / str(i) / f'x.{form}', exif=exif(i))
  return path


@pytest.fixture(scope='module', name='shown')
def _shown(folder):
  """Whole images in their order, from pixels as TensorFlow decodes them."""
  return [
      as_shown(tf.io.decode_image(file.read_bytes()).numpy(), i)
      for i in range(1, 9)
      for file in sorted((folder / str(i)).iterdir())
  ]


def test_whole_images(folder, shown):
  loaded, _ = training.load_images(folder)
  for image, expected in zip(loaded, shown, strict=True):
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize('crop', ['random', 'center', 'tile'])
def test_squares(crop, folder, shown):
  data = training.ImageDataset(folder, SIZE, crop, labels='folders')
  examples = data.examples(len(data), [0, 0])
  squares, labels = examples.batch(len(data)).get_single_element()
  for label in range(8):
    seen = {x.tobytes() for x in squares.numpy()[labels == label]}
    both = shown[2 * label : 2 * label + 2]
    if crop == 'random':
      assert len(seen) == 2
      assert seen <= {
          image[y : y + SIZE, x : x + SIZE].tobytes()
          for image in both
          for y in range(image.shape[0] - SIZE + 1)
          for x in range(image.shape[1] - SIZE + 1)
      }
    else:
      assert seen == {
          square.tobytes()
          for image in both
          for square in training.image_tiles(image, SIZE, crop)
      }


def test_a_small_image_is_named_with_the_sides_that_are_shown(folder):
  with pytest.raises(ValueError, match=r'6/x\.jpeg: 39 x 60 pixels'):
    training.load_images(folder / '6', 50)
  with pytest.raises(ValueError, match=r'6/x\.jpeg: 39 x 60 pixels'):
    training.ImageDataset(folder / '6', 50)


def test_converted_images_are_upright(folder, shown, tmp_path):
  training.convert_images(folder, tmp_path / 'out', image_format='png')
  copies = training.open_images(tmp_path / 'out')
  for i, expected in enumerate(shown):
    np.testing.assert_array_equal(copies.image(i), expected)
  training.convert_images(folder, tmp_path / 'small', image_size=HEIGHT)
  squares = training.open_images(tmp_path / 'small')
  for i, expected in enumerate(shown):
    np.testing.assert_array_equal(
        squares.image(i), training.image_tiles(expected, HEIGHT, 'center')[0]
    )


def test_an_image_that_is_turned_is_other_data(tmp_path, monkeypatch):
  """Than what versions took it for that turned none."""
  image = Image.fromarray(images.smooth_noise(0, SIZE, SIZE))
  image.save(tmp_path / 'x.png', exif=exif(3))
  turned = training.ImageDataset(tmp_path, SIZE)
  monkeypatch.setattr(orientation_lib, 'of_exif', lambda data: 1)
  assert training.ImageDataset(tmp_path, SIZE).fingerprint != turned.fingerprint


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize(('form', 'value'), [(3, 'H'), (4, 'I')])
def test_blocks_of_other_orders_and_forms(order, form, value):
  start = {'<': b'II', '>': b'MM'}[order]
  entries = (
      struct.pack(f'{order}2HI4s', 0x010F, 2, 3, b'me\0\0'),
      struct.pack(f'{order}2HI', 0x0112, form, 1)
      + struct.pack(f'{order}{value}', 6).ljust(4, b'\0'),
  )
  block = start + struct.pack(f'{order}HIH', 42, 8, 2) + b''.join(entries)
  assert orientation_lib.of_exif(block) == 6
  assert orientation_lib.of_exif(b'Exif\0\0' + block) == 6
  # Cut short anywhere, or not an orientation, it is passed over.
  for end in range(len(block) - 4):
    assert orientation_lib.of_exif(block[:end]) == 1
  assert orientation_lib.of_exif(block.replace(b'\x06', b'\x09')) == 1


def test_what_pillow_writes_is_what_is_read():
  for i in range(1, 9):
    file = io.BytesIO()
    Image.new('RGB', (4, 4)).save(file, 'JPEG', exif=exif(i))
    block = Image.open(file).info['exif']
    assert orientation_lib.of_exif(block) == i
