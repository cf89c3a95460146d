"""Data sets of users: what they define, and what they need not."""

import types

import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import example_batches
from tfp_flowopt.data import examples as examples_lib
from tfp_flowopt.training import run_settings


class Numbers(fo.data.Examples):
  """Images that hold their number and their seed."""

  event_shape = (2, 2, 1)
  fingerprint = 'numbers'

  def example(self, number, seed):
    values = tf.stack([number, seed[0], seed[1], 0])
    return tf.reshape(tf.cast(values, tf.uint8), [2, 2, 1])


class Labelled(Numbers):
  class_names = ('even', 'odd')

  def example(self, number, seed):
    return super().example(number, seed), number % 2


def numbers(dataset, seed):
  """Numbers of examples, batch by batch; all have the seed."""
  result = []
  for batch in dataset:
    values = batch.numpy().reshape(-1, 4)
    assert (values[:, 1:3] == seed).all()
    result.append(values[:, 0].tolist())
  return result


def test_an_example_is_all_that_a_data_set_needs():
  data = Numbers()
  assert numbers(data.examples(5, [3, 4]).batch(5), [3, 4]) == [[0, 1, 2, 3, 4]]
  assert numbers(data.batches(4, 7).take(2), [0, 7]) == [
      [0, 1, 2, 3], [4, 5, 6, 7]
  ]
  # What a restart sees, and what two of four replicas do.
  assert numbers(data.batches(4, 7, first_step=2).take(1), [0, 7]) == [
      [8, 9, 10, 11]
  ]
  parts = data.batches(4, 7, first_step=1, num_parts=4, parts=(3, 1))
  assert numbers(parts.take(4), [0, 7]) == [[7], [5], [11], [9]]
  images, labels = next(iter(Labelled().batches(4, [1, 2])))
  assert images.shape == [4, 2, 2, 1] and images.dtype == tf.uint8
  assert labels.numpy().tolist() == [0, 1, 0, 1]


def test_wrong_parts_are_refused():
  for wrong in ({'batch_size': 3, 'num_parts': 2}, {'batch_size': 0}):
    with pytest.raises(ValueError, match='`batch_size` must be a positive'):
      Numbers().batches(seed=0, **wrong)
  for parts in ((), (2,), (-1,)):
    with pytest.raises(ValueError, match='`parts` must hold numbers from 0'):
      Numbers().batches(4, 0, num_parts=2, parts=parts)


def test_what_is_optional_has_one_default():
  """Whether a data set is a subclass or not."""
  other = types.SimpleNamespace(
      event_shape=[2, 2, 1],
      fingerprint='numbers',
      examples=Numbers().examples,
      batches=Numbers().batches,
  )
  for data in (Numbers(), other):
    examples_lib.check('images', data, [2, 2, 1])
    batches = example_batches.ExampleBatches(data, 5, tf.constant([0, 1]))
    assert batches.num_independent == batches.num_disjoint == 5
    settings = run_settings.run_settings(
        fo.training.TrainConfig(), None, data, data
    )
    assert [key for key in settings if 'images' in key] == [
        'eval_images', 'held_out_images', 'init_images', 'train_images'
    ]
  few = Numbers()
  few.num_independent = 2
  batches = example_batches.ExampleBatches(few, 5, tf.constant([0, 1]))
  assert (batches.num_independent, batches.num_disjoint) == (2, 5)


def test_what_is_missing_is_named():
  class Nothing(fo.data.Examples):
    pass

  with pytest.raises(ValueError, match='Nothing has no event_shape, fingerp'):
    examples_lib.check('images', Nothing(), [2, 2, 1])
  with pytest.raises(NotImplementedError, match='Nothing needs `example`'):
    Nothing().examples(3, [0, 0])
  with pytest.raises(ValueError, match=r'\[2, 2, 3\], got \[2, 2, 1\]'):
    examples_lib.check('images', Numbers(), [2, 2, 3])
  for data in (fo.data.ImageCrops, fo.data.ImageDataset):
    assert issubclass(data, fo.data.Examples)


def test_iterators_end_at_once(tmp_path):
  """What tunes itself kept the end of runs waiting for up to 20 s."""
  image = tf.zeros([4, 4, 3], tf.uint8)
  tf.io.write_file(str(tmp_path / 'a.png'), tf.io.encode_png(image))
  kinds = [
      Numbers(),
      Labelled(),
      fo.data.ImageCrops([image.numpy()], 2),
      fo.data.ImageDataset(tmp_path, 2),
      fo.data.DatasetExamples(tf.data.Dataset.from_tensors(image)),
  ]
  for data in kinds:
    read = example_batches.ExampleBatches(data, 2, tf.constant([0, 1]))
    for dataset in (data.examples(2, [0, 1]), data.batches(2, 0)):
      assert dataset.options().autotune.enabled is False, data
    assert read.dequantized(8).options().autotune.enabled is False
