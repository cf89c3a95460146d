"""Data sets of TensorFlow Datasets that are built here; nothing is loaded."""

import sys

import numpy as np
import pytest

import tfp_flowopt as fo

NAMES = ['cat', 'dog', 'fox']


def images(first, num):
  """Of several sizes; each has one value."""
  return [
      np.full([6 + i % 3, 6, 3], i, np.uint8) for i in range(first, first + num)
  ]


@pytest.fixture(name='tfds', scope='module')
def _tfds():
  return pytest.importorskip(
      'tensorflow_datasets', reason='the extra `tfds` is not installed'
  )


def write(tfds, folder, file_format):
  """Prepares `pets`: 20 images to train on and 5 to test, in small shards."""

  class Pets(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = 'pets'
    VERSION = tfds.core.Version('1.2.0')

    def _info(self):
      return tfds.core.DatasetInfo(
          builder=self,
          features=tfds.features.FeaturesDict({
              'image': tfds.features.Image(shape=(None, None, 3)),
              'mask': tfds.features.Image(shape=(None, None, 1)),
              'label': tfds.features.ClassLabel(names=NAMES),
          }),
          supervised_keys=('image', 'label'),
      )

    def _split_generators(self, dl_manager):
      return {'train': self._generate(0, 20), 'test': self._generate(20, 5)}

    def _generate(self, first, num):
      for i, image in enumerate(images(first, num), first):
        yield i, {'image': image, 'mask': image[..., :1], 'label': i % 3}

    _generate_examples = _generate

  config = tfds.download.DownloadConfig(num_shards=3)
  Pets(data_dir=folder, file_format=file_format).download_and_prepare(
      download_config=config
  )


@pytest.fixture(
    name='pets', scope='module', params=['tfrecord', 'array_record']
)
def _pets(tfds, request, tmp_path_factory):
  folder = tmp_path_factory.mktemp(request.param)
  write(tfds, folder, request.param)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('TFDS_DATA_DIR', str(folder))
    yield folder


def test_images_labels_and_order(pets):
  data = fo.data.ImageDataset('tfds:pets', 6, 'center', labels='tfds')
  assert data.class_names == NAMES and len(data) == 20
  seen = [
      (int(x[0, 0, 0]), int(label)) for x, label in data.examples(20, [0, 1])
  ]
  assert sorted(seen) == [(i, i % 3) for i in range(20)]
  # A run that goes on sees what it would have seen.
  batches = [
      x.numpy()[:, 0, 0, 0].tolist() for x, _ in data.batches(4, 0).take(5)
  ]
  resumed = data.batches(4, 0, first_step=3).take(2)
  assert batches[3:] == [x.numpy()[:, 0, 0, 0].tolist() for x, _ in resumed]
  assert sorted(i for batch in batches for i in batch) == list(range(20))


def test_splits(pets, tmp_path):
  whole, first, second = (
      fo.data.open_images(f'tfds:pets{split}')
      for split in (':1.2.0:train', ':train[:5]', ':train[5:]')
  )
  parts = [*first_values(first), *first_values(second)]
  assert parts == first_values(whole) and (len(first), len(second)) == (5, 15)
  assert first.name(2) == 'tfds:pets/1.2.0:train[:5][2]'
  both = fo.data.open_images('tfds:pets:train+test')
  assert sorted(first_values(both)) == list(range(25))
  # Parts of the same files have nothing in common in a cache.
  cache = tmp_path / 'scan.json'
  prints = {
      fo.data.ImageDataset(f'tfds:pets:{split}', 6, cache=cache).fingerprint
      for split in ('train[:2]', 'train[2:4]')  # of one file
  }
  assert len(prints) == 2


def test_conversion_goes_on_from_anywhere(pets, tmp_path, monkeypatch):
  for folder in (tmp_path / 'a', tmp_path / 'b'):
    folder.mkdir()
    monkeypatch.chdir(folder)
    written, left_out, bad = fo.data.convert_images(
        'tfds:pets:test', tmp_path / 'records', num_shards=2
    )
    assert (written, left_out, bad) == (5, 0, [])
  records = fo.data.open_images(tmp_path / 'records')
  assert sorted(first_values(records)) == list(range(20, 25))


def first_values(store):
  return [int(store.image(i)[0, 0, 0]) for i in range(len(store))]


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('tfds:pets:nothing', r"split of pets, which are \['test', 'train'\]"),
        ('tfds:pets:train[x', 'must have a split'),
        ('tfds:no_such_pets', 'No TensorFlow dataset no_such_pets'),
        ('tfds:mnist', 'not prepared in .*tfds build mnist'),
        ('tfds:mnist:9.9.9', 'No TensorFlow dataset mnist:9.9.9'),
        ('tfds:', 'must be tfds:NAME or tfds:NAME:SPLIT'),
    ],
)
def test_what_is_not_there_is_named(path, message, pets):
  with pytest.raises(ValueError, match=message):
    fo.data.open_images(path)


def test_labels_of_other_sources_are_no_labels_of_tfds(tmp_path):
  np.save(tmp_path / 'x.npy', np.zeros([2, 4, 4], np.uint8))
  with pytest.raises(ValueError, match="'tfds' is for paths that begin"):
    fo.data.ImageDataset(tmp_path / 'x.npy', 4, labels='tfds')


def test_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(ImportError, match=r"pip install 'tfp-flowopt\[tfds\]'"):
    fo.data.ImageDataset('tfds:celeb_a_hq/1024', 64)
