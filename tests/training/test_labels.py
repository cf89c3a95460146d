"""Images with labels, and flows that are trained on them."""

import gzip
import json
import struct

import numpy as np
import pytest
from support import encoders
from support import runs
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.training import run_samples

training = fo.training

# Of eight images; label 1 does not occur.
LABELS = [2, 0, 0, 2, 2, 0, 2, 0]


def numbered(num=8, size=4):
  """Images whose pixels hold, for all of an image, its number."""
  index = np.arange(num, dtype=np.uint8)[:, np.newaxis, np.newaxis]
  return np.broadcast_to(index, [num, size, size])


@pytest.fixture(name='path')
def _path(tmp_path):
  np.save(tmp_path / 'x.npy', numbered())
  return tmp_path / 'x.npy'


def write_labels(path, labels):
  """As `.npy` or idx, by the name."""
  if path.suffix == '.npy':
    np.save(path, labels)
  else:
    data = struct.pack('>2I', 0x801, len(LABELS)) + bytes(labels)
    opened = gzip.open if path.suffix == '.gz' else open
    with opened(path, 'wb') as f:
      f.write(data)
  return path


@pytest.mark.parametrize('name', ['y.npy', 'y-idx1-ubyte', 'y-idx1-ubyte.gz'])
def test_labels_stay_with_their_images(name, path, tmp_path):
  labels = write_labels(tmp_path / name, LABELS)
  data = training.ImageDataset(
      path, 2, 'tile', flip=True, channels=1, labels=labels
  )
  assert data.class_names == ['0', '1', '2']
  pairs = [
      *data.examples(32, [0, 3]).batch(8),
      *data.batches(8, seed=3, num_parts=2, parts=(1, 0)).take(8),
  ]
  for part in data.split(3):
    pairs.extend(part.examples(len(part), [0, 4]).batch(3))
  for images, labels in pairs:
    assert labels.dtype == tf.int64
    numbers = images.numpy()[:, 0, 0, 0]
    np.testing.assert_array_equal(labels, np.array(LABELS)[numbers])


def test_folders_are_classes(tmp_path):
  images = numbered(5)
  for i, name in enumerate(['b', 'a', 'b/c', 'a', '.no']):
    (tmp_path / name).mkdir(exist_ok=True)
    encoded = tf.io.encode_png(images[i][..., np.newaxis])
    (tmp_path / name / f'{i}.png').write_bytes(encoded.numpy())
  data = training.ImageDataset(tmp_path, 4, channels=1, labels='folders')
  assert data.class_names == ['a', 'b']
  classes = {
      int(image[0, 0, 0]): int(label)
      for image, label in data.examples(4, [0, 1])
  }
  assert classes == {0: 1, 1: 0, 2: 1, 3: 0}


def test_other_labels_are_other_data(path, tmp_path):
  labels = write_labels(tmp_path / 'y.npy', LABELS)
  one, same = (
      training.ImageDataset(path, 4, channels=1, labels=labels)
      for _ in range(2)
  )
  other = training.ImageDataset(
      path,
      4,
      channels=1,
      labels=write_labels(tmp_path / 'z.npy', LABELS[::-1]),
  )
  none = training.ImageDataset(path, 4, channels=1)
  assert one.fingerprint == same.fingerprint
  assert len({d.fingerprint for d in (one, other, none)}) == 3
  assert none.class_names is None


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.arange(7), '7 labels for 8 images'),
        (np.arange(8) - 1, 'count classes from 0, got -1'),
        (np.arange(8.0), r'whole numbers \[N\], got float64'),
        (np.zeros([8, 1], int), r'whole numbers \[N\], got int64 \[8, 1\]'),
    ],
)
def test_bad_labels_are_named(labels, message, path, tmp_path):
  file = write_labels(tmp_path / 'y.npy', labels)
  with pytest.raises(ValueError, match=message):
    training.ImageDataset(path, 4, channels=1, labels=file)


def test_bad_files_of_labels_are_named(path, tmp_path):
  def error_of(labels):
    with pytest.raises(ValueError, match='Argument `labels`') as e:
      training.ImageDataset(path, 4, channels=1, labels=labels)
    return str(e.value)

  assert 'No such file' in error_of(tmp_path / 'none.npy')
  images = tmp_path / 'x-idx3-ubyte'
  images.write_bytes(struct.pack('>4I', 0x803, 8, 1, 1) + bytes(LABELS))
  assert 'whole numbers [N], got uint8 [8, 1, 1]' in error_of(images)
  short = write_labels(tmp_path / 'y-idx1-ubyte', LABELS[:7])
  assert 'must hold 8 bytes' in error_of(short)
  absurd = tmp_path / 'z.npy'
  for shape in ((2**43,), (2**31,), (9,)):
    absurd.write_bytes(encoders.npy(shape, bytes(8), '<i8'))
    assert 'no labels in' in error_of(absurd)
  for wrong in (3, [0, 1], np.arange(8), tf.range(8)):
    assert 'must be a path' in error_of(wrong)
  assert 'image files in subfolders' in error_of('folders')


def test_names_of_numbers(path, tmp_path):
  file = write_labels(tmp_path / 'y.npy', LABELS)
  names = ['shirt', 'coat', 'boot', 'bag']
  data = training.ImageDataset(
      path, 4, channels=1, labels=file, class_names=tuple(names)
  )
  assert data.class_names == names
  for image, label in data.examples(8, [0, 0]):
    assert int(label) == LABELS[int(image[0, 0, 0])]
  for wrong, message in (
      (names[:2], '2 names, and .* has label 2'),
      (['a', 'b', 'a'], 'each once'),
      ('abc', 'each once'),
      ([0, 1, 2], 'each once'),
      ([], 'each once'),
  ):
    with pytest.raises(ValueError, match=f'Argument `class_names`.*{message}'):
      training.ImageDataset(
          path, 4, channels=1, labels=file, class_names=wrong
      )
  with pytest.raises(ValueError, match='`class_names` needs `labels`'):
    training.ImageDataset(path, 4, class_names=names)


class Classes:
  """Dark and bright images of noise, half of them each."""

  def __init__(self, class_names=('dark', 'bright')):
    self.event_shape = [8, 8, 3]
    self.fingerprint = 'dark and bright'
    self.class_names = class_names

  def examples(self, num, seed):
    label = tf.random.stateless_uniform([num], seed, 0, 2, tf.int64)
    noise = tf.random.stateless_uniform(
        [num, *self.event_shape], seed, 0, 40, tf.int32
    )
    images = noise + 120 * tf.cast(label, tf.int32)[:, None, None, None]
    return tf.data.Dataset.from_tensor_slices(
        (tf.cast(images, tf.uint8), label)
    )

  def batches(
      self, batch_size, seed, first_step=0, num_parts=1, parts=(0,)
  ):
    assert num_parts == 1 and parts == [0]

    def batch(step):
      examples = self.examples(batch_size, tf.stack([seed, step]))
      return examples.batch(batch_size).get_single_element()

    return tf.data.Dataset.counter(first_step).map(batch)


def make_trainer(workdir, flow, images=None, **overrides):
  images = images or Classes()
  return training.Trainer(
      flow,
      images,
      images,
      workdir,
      training.TrainConfig(
          **{
              **runs.CONFIG,
              'train_steps': 30,
              'eval_every': 30,
              'checkpoint_every': 30,
              'learning_rate': 3e-2,
              **overrides,
          }
      ),
  ).start_or_resume()


def test_what_a_label_tells_is_learned(
    tmp_path, without_pictures, monkeypatch
):
  """Both classes together have a linear optimum that knows no class."""
  flow = runs.make_flow(conditioning=2)
  trainer = make_trainer(tmp_path, flow)
  start = trainer.start['measured']
  summary = trainer.train()
  trainer.use_averaged_weights()
  examples = Classes().examples(64, [7, 7])
  images, labels = examples.batch(64).get_single_element()
  noise = fo.flows.dequantization_noise([64, 8, 8, 3], [1, 1])
  x = fo.flows.dequantize(images, noise=noise)
  right, wrong = (
      float(
          fo.bits_per_dim(
              tf.reduce_mean(
                  flow.log_prob(x, bijector_kwargs={'conditioning': c})
              ),
              192,
          )
      )
      for c in (labels, 1 - labels)
  )
  # Much of it before training, and nothing is lost.
  assert start < min(trainer.start['train_optimum'].values()) - 0.1
  assert right < start + 0.05
  assert wrong > right + 0.1
  assert right == pytest.approx(summary['held_out_bits_per_dim'], abs=0.05)
  # What the run says of the flow is said of it with the labels.
  report = json.loads((tmp_path / 'summary.json').read_text())['report']
  assert report['bits_per_dim'] == pytest.approx(
      summary['held_out_bits_per_dim'], abs=1e-4
  )
  samples = fo.flows.sample_at_temperature(
      flow, 32, [0, 1], 0.5, {'conditioning': tf.repeat([0, 1], 16)}
  )
  dark, bright = np.split(np.mean(samples, axis=(1, 2, 3)), 2)
  assert np.median(bright) - np.median(dark) > 0.2
  # A classifier sees it, too.
  monkeypatch.setattr(run_samples, '_MOST', 60)
  measured = run_samples.RunSamples(
      trainer._loop.pictures, trainer._examples, trainer._config
  ).report
  assert measured.accuracy_of_real > 0.95
  assert measured.agreement > 0.8
  assert measured.accuracy_from_samples > 0.8


def test_labels_go_with_the_parts_of_a_batch(tmp_path):
  """The gradient is the same, whatever the number of parts."""
  gradients = []
  for accumulation in (1, 4):
    flow = runs.make_flow(conditioning=2)
    trainer = make_trainer(
        tmp_path / str(accumulation), flow, accumulation=accumulation
    )
    batch = Classes().examples(8, [0, 1]).batch(8).get_single_element()
    # A network of zeros knows no label: the second step sees them.
    for _ in range(2):
      trainer._loop.train_step(batch)
    optimizer = trainer._state.optimizer
    # Weights answer to the sign of the smallest rounding, moments do not.
    gradients.append([
        optimizer.get_slot(v, 'm').numpy() for v in flow.trainable_variables
    ])
  sizes = [np.max(np.abs(gradient)) for gradient in gradients[0]]
  for one, other, size in zip(*gradients, sizes, strict=True):
    np.testing.assert_allclose(
        one, other, rtol=0, atol=1e-3 * size + 1e-5 * max(sizes)
    )


@pytest.mark.parametrize(
    ('conditioning', 'class_names', 'message'),
    [
        (None, ['a', 'b'], 'make it with `conditioning=2`'),
        (2, None, 'must have labels: .* on labels from 0 to 1'),
        (2, ['a', 'b', 'c'], '3 classes, and .* on labels from 0 to 1'),
        ([2], ['a', 'b'], '2 classes, and .* on features of shape'),
    ],
)
def test_labels_that_do_not_fit(conditioning, class_names, message, tmp_path):
  images = Classes(class_names)
  flow = runs.make_flow(conditioning=conditioning)
  with pytest.raises(ValueError, match=message):
    make_trainer(tmp_path, flow, images)
