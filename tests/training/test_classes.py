"""Classes of folders, and what two data sets of a run have in common."""

import types

import numpy as np
import pytest
from support import runs
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import labelled

training = fo.training


def write_folders(path, **classes):
  """Images of one value by the name of their class; returns the path."""
  for name, value in classes.items():
    (path / name).mkdir(parents=True)
    image = np.full([4, 4, 1], value, np.uint8)
    (path / name / 'x.png').write_bytes(tf.io.encode_png(image).numpy())
  return path


def test_what_lies_in_no_folder_of_a_class_is_bad(tmp_path):
  path = write_folders(tmp_path, cat=1, dog=2)
  (path / 'README.txt').write_text('where these come from')
  (path / 'y.png').write_bytes((path / 'cat' / 'x.png').read_bytes())
  (path / 'about').mkdir()
  (path / 'about' / 'paper.pdf').write_text('no image')
  with pytest.raises(ValueError, match='3 bad images of 5') as e:
    training.ImageDataset(path, 4, labels='folders')
  assert 'y.png: in no folder of a class' in str(e.value)
  data = training.ImageDataset(path, 4, bad_images='skip', labels='folders')
  assert [line.split(':')[0].rsplit('/', 1)[1] for line in data.bad] == [
      'README.txt', 'paper.pdf', 'y.png'
  ]
  # A class of no image is none.
  assert data.class_names == ['cat', 'dog']
  examples = list(data.examples(2, [0, 0]))
  assert {(int(x[0, 0, 0]), int(y)) for x, y in examples} == {(1, 0), (2, 1)}
  (path / 'none').mkdir()
  with pytest.raises(ValueError, match='which has none'):
    training.ImageDataset(path / 'cat', 4, labels='folders')


def test_classes_are_numbered_as_in_another_data_set(tmp_path):
  train = training.ImageDataset(
      write_folders(tmp_path / 'train', cat=1, dog=2, fox=3),
      4,
      labels='folders',
  )
  path = write_folders(tmp_path / 'held_out', dog=2, fox=3)
  anew = training.ImageDataset(path, 4, labels='folders')
  with pytest.raises(ValueError, match=r"label 0 is 'dog', and 'cat' in"):
    labelled.check_alike(train, anew)
  held_out = training.ImageDataset(
      path, 4, labels='folders', class_names=train.class_names
  )
  labelled.check_alike(train, held_out)
  assert held_out.class_names == train.class_names == ['cat', 'dog', 'fox']
  for data in (train, held_out):
    for image, label in data.examples(len(data), [0, 0]):
      assert int(image[0, 0, 0]) == int(label) + 1
  assert held_out.fingerprint != anew.fingerprint
  # The other way round there is a class without a number.
  write_folders(path, cow=4)
  for bad_images in ('strict', 'skip'):
    with pytest.raises(ValueError, match=r"lacks the folders \['cow'\]"):
      training.ImageDataset(
          path,
          4,
          bad_images=bad_images,
          labels='folders',
          class_names=train.class_names,
      )
  # Without an image it is no class.
  (path / 'cow' / 'x.png').write_text('no image')
  training.ImageDataset(
      path, 4, bad_images='skip', labels='folders', class_names=['dog', 'fox']
  )


def images_of(class_names, shape=(8, 8, 3)):
  return types.SimpleNamespace(
      class_names=class_names,
      event_shape=shape,
      fingerprint='',
      examples=None,
      batches=None,
  )


@pytest.mark.parametrize(
    ('train', 'held_out'),
    [
        (['0', '1', '2'], ['0', '1']),
        (['0', '1'], ['0', '1', '2']),
        (['cat', 'dog'], ['cat', 'dog']),
        (['cat', 'dog', 'fox'], ['cat', 'dog']),
        (None, None),
    ],
)
def test_labels_that_mean_the_same(train, held_out):
  labelled.check_alike(images_of(train), images_of(held_out))


@pytest.mark.parametrize(
    ('train', 'held_out'),
    [
        (['cat', 'dog'], ['dog', 'cat']),
        (['cat', 'dog', 'fox'], ['cat', 'fox']),
        (['cat', 'dog'], ['0', '1']),
    ],
)
def test_labels_that_mean_another_class(train, held_out):
  with pytest.raises(ValueError, match='`held_out_images`: label'):
    labelled.check_alike(images_of(train), images_of(held_out))


@pytest.mark.parametrize('shape', [[8, 8, 1], [4, 4, 3], (8, 4, 3)])
def test_images_of_another_shape(shape):
  labelled.check_alike(images_of(None), images_of(None, [8, 8, 3]))
  with pytest.raises(ValueError, match=r'shape \[8, 8, 3\], as .train_im'):
    labelled.check_alike(images_of(None), images_of(None, shape))


def test_a_run_is_not_started_with_other_classes(tmp_path):
  flow = runs.make_flow(conditioning=2)
  images = [images_of(names) for names in (['cat', 'dog'], ['dog', 'cat'])]
  config = training.TrainConfig(**runs.CONFIG)
  with pytest.raises(ValueError, match='Argument `held_out_images`: label'):
    training.Trainer(flow, *images, tmp_path, config)
  assert not list(tmp_path.iterdir())
