"""Wrong arguments of all that reads images: each is named."""

import functools

import numpy as np
import pytest
from support import images
import tensorflow as tf

import tfp_flowopt as fo

training = fo.training


@pytest.fixture(scope='module', name='path')
def _path(tmp_path_factory):
  path = tmp_path_factory.mktemp('images') / 'x.npy'
  np.save(path, np.stack([images.smooth_noise(i, 9, 9) for i in range(4)]))
  return path


def dataset(file, **kwargs):
  return training.ImageDataset(**{'path': file, 'image_size': 4, **kwargs})


def source(file, **kwargs):
  return training.ImageSource(**{'path': file, **kwargs})


def folder(file, **kwargs):
  return training.load_images(**{'folder': file.parent, **kwargs})


def conversion(file, **kwargs):
  output = file.parent / 'out'
  return training.convert_images(**{'path': file, 'output': output, **kwargs})


def crops(file, **kwargs):
  return training.ImageCrops(
      **{'images': np.load(file), 'crop_size': 4, **kwargs}
  )


def halves(file, **kwargs):
  return training.split_columns(**{'images': np.load(file), **kwargs})


def tiles(file, **kwargs):
  return training.image_tiles(
      **{'image': np.load(file)[0], 'size': 4, **kwargs}
  )


def split(file, **kwargs):
  return dataset(file).split(**kwargs)


def examples(file, **kwargs):
  return dataset(file).examples(**{'seed': [0, 0], **kwargs})


NO_NUMBERS = (None, 'x', 2.5, 8.0, True, (8, 10), [4], np.array([4, 4]))
NO_PATHS = (None, 3, ['x'], np.arange(2), tf.constant('x'))
NO_FLAGS = ('no', None, 2, np.array([True, False]), [True])
NO_WORDS = ('other', None, 1, ['skip'], np.array(['skip', 'strict']))
WRONG = {
    dataset: {
        'path': NO_PATHS,
        'image_size': (*NO_NUMBERS, 0, -1, tf.constant([4, 4])),
        'crop': NO_WORDS,
        'flip': NO_FLAGS,
        'channels': (0, 2, 4, None, 'rgb', [3], np.array([1, 3])),
        'bad_images': NO_WORDS,
        'cache': NO_PATHS[1:],
        'labels': NO_PATHS[1:],
    },
    source: {
        'path': NO_PATHS,
        'smallest_side': (*NO_NUMBERS, 0),
        'skip_bad': NO_FLAGS,
    },
    folder: {
        'folder': NO_PATHS,
        'smallest_side': (*NO_NUMBERS, 0),
        'skip_bad': NO_FLAGS,
    },
    conversion: {
        'path': NO_PATHS,
        'output': NO_PATHS,
        'image_size': (*NO_NUMBERS, -1),
        'num_shards': (*NO_NUMBERS, 0),
        'image_format': NO_WORDS,
        'jpeg_quality': (*NO_NUMBERS, 0, 101),
        'bad_images': NO_WORDS,
        'num_workers': (*NO_NUMBERS, 0),
    },
    crops: {
        'images': (
            None,
            3,
            [],
            np.zeros([4, 9, 9], np.uint8),
            np.zeros([9, 9], np.uint8),
            np.zeros([2, 9, 9, 3]),
            [np.zeros([9, 9, 3], np.uint8), np.zeros([9, 9, 1], np.uint8)],
            ['x'],
        ),
        'crop_size': (*NO_NUMBERS, 0),
    },
    halves: {
        'images': (None, 3, np.zeros([4, 9, 9])),
        'fraction': (0.0, 1.0, -0.5, 1.5, 0.01),
    },
    tiles: {
        'image': (None, np.zeros([9, 9]), np.zeros([3, 9, 3])),
        'size': (*NO_NUMBERS, 0),
        'mode': NO_WORDS,
    },
    split: {'every': (*NO_NUMBERS, 1, 5)},
    examples: {'num': (*NO_NUMBERS, -1)},
}


@pytest.mark.parametrize(
    ('call', 'name'),
    [(call, name) for call, wrong in WRONG.items() for name in wrong],
    ids=lambda x: getattr(x, '__name__', x),
)
def test_wrong_arguments_are_named(call, name, path):
  for value in WRONG[call][name]:
    with pytest.raises(ValueError, match=f'Argument `{name}`'):
      call(path, **{name: value})
      pytest.fail(f'{value!r} is taken.')
  assert not (path.parent / 'out').exists()


@pytest.mark.parametrize(
    'number', [np.int64, np.uint8], ids=lambda x: x.__name__
)
def test_numbers_of_numpy(number, path, tmp_path):
  data = dataset(path, image_size=number(4), flip=np.bool_(True))
  assert data.event_shape == [4, 4, 3]
  assert data.fingerprint == dataset(path, flip=True).fingerprint
  assert len(data.split(number(2))[1]) == 2
  assert len(list(data.examples(number(3), [0, 0]))) == 3
  assert crops(path, crop_size=number(4)).event_shape == [4, 4, 3]
  assert tiles(path, size=number(4)).shape == (4, 4, 4, 3)
  convert = functools.partial(
      training.convert_images, path, image_size=4, num_shards=2
  )
  convert(tmp_path / 'out')
  convert(tmp_path / 'out', image_size=number(4), num_shards=number(2))


def test_images_as_tensors(path):
  array = np.load(path)
  expected = crops(path).draw(3, [0, 0])
  for given in (tf.constant(array), list(tf.constant(array)), iter(array)):
    data = training.ImageCrops(given, 4)
    np.testing.assert_array_equal(data.draw(3, [0, 0]), expected)
    assert data.fingerprint == crops(path).fingerprint
