"""A `tf.data.Dataset` as a data set: its order, its resume, its parts."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import example_batches


def numbered(num=10):
  """Images that hold their number."""
  values = np.arange(num, dtype=np.uint8)[:, None, None, None]
  return np.broadcast_to(values, [num, 2, 2, 1])


def dataset(num=10):
  return tf.data.Dataset.from_tensor_slices(numbered(num))


def unknown(num=10):
  """The same, without its number."""
  return dataset(num).filter(lambda _: True)


def values(batches):
  return [x.numpy()[:, 0, 0, 0].tolist() for x in batches]


@pytest.mark.parametrize('made', [dataset, unknown])
@pytest.mark.parametrize('buffer', [0, 10])
def test_a_resumed_run_sees_what_it_would_have_seen(made, buffer):
  data = fo.data.DatasetExamples(made(), shuffle_buffer=buffer)
  whole = values(data.batches(4, seed=3).take(8))
  for first in (1, 5, 7):
    resumed = data.batches(4, seed=3, first_step=first)
    assert values(resumed.take(8 - first)) == whole[first:]
  # Each image once an epoch, and epochs of other orders.
  flat = np.reshape(whole, -1)
  first, second = flat[:10].tolist(), flat[10:20].tolist()
  assert sorted(first) == sorted(second) == list(range(10))
  if buffer:
    assert first != second
    assert whole != values(data.batches(4, seed=4).take(8))
    tf.random.set_seed(0)
    assert values(data.batches(4, seed=3).take(8)) == whole
  else:
    assert first == second == list(range(10))


def test_parts_are_those_of_the_whole_batch():
  data = fo.data.DatasetExamples(dataset(), shuffle_buffer=4)
  whole = values(data.batches(4, 1, first_step=1).take(3))
  parts = data.batches(4, 1, first_step=1, num_parts=2, parts=(1, 0))
  assert parts.element_spec.shape == [2, 2, 2, 1]
  got = values(parts.take(6))
  assert [b + a for a, b in zip(got[::2], got[1::2], strict=True)] == whole
  with pytest.raises(ValueError, match='`batch_size` must be a positive mult'):
    data.batches(3, 0, num_parts=2)


def test_labels_stay_with_their_images():
  pairs = tf.data.Dataset.from_tensor_slices(
      (numbered(), np.arange(10, dtype=np.int32) % 3)
  )
  data = fo.data.DatasetExamples(pairs, 'abc', shuffle_buffer=5)
  train, held_out = data.split(5)
  assert data.class_names == held_out.class_names == ['a', 'b', 'c']
  for part, numbers in ((train, {0, 1, 2, 3, 5, 6, 7, 8}), (held_out, {4, 9})):
    images, labels = next(iter(part.examples(8, [0, 1]).batch(8)))
    seen = images.numpy()[:, 0, 0, 0]
    assert set(seen) == numbers and labels.dtype == tf.int64
    np.testing.assert_array_equal(labels, seen % 3)
    assert part.num_independent == part.num_disjoint == len(numbers)
  assert len({x.fingerprint for x in (data, train, held_out)}) == 3
  few = fo.data.DatasetExamples(pairs, 'ab', fingerprint='too few')
  with pytest.raises(tf.errors.InvalidArgumentError, match='none of 2 class'):
    list(few.examples(10, [0, 0]))


def test_split_without_a_number():
  train, held_out = fo.data.DatasetExamples(unknown()).split()
  assert values(train.examples(10, [0, 0]).batch(10)) == [[*range(9), 0]]
  assert values(held_out.examples(2, [0, 0]).batch(2)) == [[9, 9]]
  assert held_out.num_independent == float('inf')


def test_the_fingerprint_tells_the_images_and_their_order():
  prints = [
      fo.data.DatasetExamples(*arguments).fingerprint
      for arguments in (
          (dataset(),),
          (dataset(),),
          (dataset(11),),
          (dataset().skip(1),),
          (dataset(), None, 3),
          (dataset(), None, 0, 'mine'),
      )
  ]
  assert prints[0] == prints[1] and len(set(prints)) == 5


def test_the_fingerprint_tells_vectors_and_labels_further_on(rng):
  x, labels = rng.normal(size=[3000, 2]), rng.integers(5, size=3000)
  prints = {
      fo.data.DatasetExamples(
          tf.data.Dataset.from_tensor_slices(pair)
      ).fingerprint
      for pair in (
          (x, labels),
          (x, np.where(np.arange(3000) == 2999, 4 - labels // 2, labels)),
          (x + (np.arange(3000) == 1500)[:, np.newaxis], labels),
      )
  }
  assert len(prints) == 3


@pytest.mark.parametrize(
    ('made', 'message'),
    [
        (lambda: numbered(), '`dataset` must be a `tf.data.Dataset`'),
        (lambda: dataset().batch(2), 'must hold single images.*None, 2, 2, 1'),
        (
            lambda: dataset().map(lambda x: tf.cast(x, tf.float32)),
            'must hold single images.*float32',
        ),
        (lambda: dataset().take(0), '`dataset` is empty'),
        (
            lambda: tf.data.Dataset.zip((dataset(), tf.data.Dataset.range(10))),
            '`class_names` must be given if and only if',
        ),
        (
            lambda: dataset().shuffle(10, seed=1),
            'others the second time: shuffle by `shuffle_buffer`',
        ),
    ],
)
def test_what_is_no_such_dataset_is_named(made, message):
  with pytest.raises(ValueError, match=message):
    fo.data.DatasetExamples(made())


def test_what_is_not_the_same_twice_is_taken_by_a_name():
  shuffled = dataset().shuffle(10, seed=1)
  data = fo.data.DatasetExamples(shuffled, fingerprint='shuffled')
  (batch,) = values(data.examples(10, [0, 0]).batch(10))
  assert sorted(batch) == list(range(10))


def test_examples_are_the_same_each_time():
  data = fo.data.DatasetExamples(dataset(), shuffle_buffer=10)
  batches = example_batches.ExampleBatches(data, 8, tf.constant([1, 2]))
  first, again = (
      values([x for _, x in batches]),
      values(data.examples(8, [1, 2]).batch(8)),
  )
  assert first == again and len(set(first[0])) == 8


def test_no_part_is_empty():
  """Or a pass over it would never end."""
  data = fo.data.DatasetExamples(unknown(3))
  with pytest.raises(ValueError, match='`every` must be at most the number of'):
    data.split()
  assert [len(list(part.examples(2, 0))) for part in data.split(3)] == [2, 2]
  with pytest.raises(ValueError, match='`dataset` is empty'):
    fo.data.DatasetExamples(unknown(0), fingerprint='none')


def test_elements_are_counted_where_their_number_is_unknown():
  """Or a few of them, again and again, would count as many."""
  few = fo.data.DatasetExamples(unknown())
  batches = example_batches.ExampleBatches(few, 64, tf.constant([1, 2]))
  assert (batches.num, batches.num_independent, batches.num_disjoint) == (
      64,
      10,
      10,
  )
  endless = fo.data.DatasetExamples(unknown().repeat())
  batches = example_batches.ExampleBatches(endless, 64, tf.constant([1, 2]))
  assert batches.num_independent == batches.num_disjoint == 64
  vectors = tf.data.Dataset.from_tensor_slices(tf.eye(5)).filter(lambda _: True)
  batches = example_batches.VectorBatches(
      fo.data.DatasetExamples(vectors), 64, tf.constant([1, 2])
  )
  assert batches.num == len(batches.array()[0]) == 5
