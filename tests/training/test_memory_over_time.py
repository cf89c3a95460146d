"""What is done again and again must not take more and more memory."""

import gc
import struct
import weakref

import numpy as np
import pytest
from support import images
from support import memory
from support import records
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import example_batches
from tfp_flowopt.data import image_dataset
from tfp_flowopt.data.sources import base
from tfp_flowopt.data.sources import open_source
from tfp_flowopt.training import evaluation
from tfp_flowopt.training import event_kinds
from tfp_flowopt.training import replicas
from tfp_flowopt.training import run_pictures

training = fo.training

# Of an image: it takes long to read, and no time to decode.
_BYTES = 2**20


class OwnStore(base.ImageStore):
  """Images of somebody who knows of `read` alone."""

  def __init__(self, values, encoded):
    self._values = values
    self.encoded = encoded

  def __len__(self):
    return len(self._values)

  def name(self, index):
    return str(index)

  def read(self, index):
    value = self._values[index]
    return bytes(bytearray(value)) if self.encoded else value.copy()

  def files(self):
    return []


def encoded(suffix):
  """Small image files that are followed by what is none of theirs."""
  encode = {
      'png': tf.io.encode_png, 'jpg': lambda x: tf.io.encode_jpeg(x, quality=90)
  }[suffix]
  shades = (np.full([8, 8, 3], 60 * i, np.uint8) for i in range(4))
  return [encode(x).numpy() + bytes(_BYTES) for x in shades]


def arrays():
  return np.arange(4 * _BYTES, dtype=np.uint8).reshape(4, 1024, 1024)


def dataset(form, path, monkeypatch):
  """An `ImageDataset` of 8 x 8 crops of four images of 1 MiB."""
  labels = None
  if form in ('png', 'jpg'):
    for i, value in enumerate(encoded(form)):
      (path / str(i)).mkdir()
      (path / str(i) / f'x.{form}').write_bytes(value)
    labels = 'folders'
  elif form == 'records':
    records.write(path / 'a.tfrecord', encoded('png')[:3])
    records.write(path / 'b.tfrecord', encoded('jpg')[:1])
  elif form == 'npy':
    np.save(path / 'x.npy', arrays())
    np.save(path / 'y.npy', np.arange(4))
    path, labels = path / 'x.npy', path / 'y.npy'
  elif form == 'idx':
    header = struct.pack('>4I', 0x803, 4, 1024, 1024)
    path = path / 'x'
    path.write_bytes(header + arrays().tobytes())
  else:
    own = {
        'own files': OwnStore(encoded('png'), True),
        'own arrays': OwnStore(np.stack([arrays()] * 3, -1), False),
    }[form]
    monkeypatch.setattr(open_source, 'open_images', lambda _: own)
  return training.ImageDataset(path, 8, flip=True, labels=labels)


@pytest.mark.parametrize(
    'form',
    ['png', 'jpg', 'records', 'npy', 'idx', 'own files', 'own arrays'],
)
def test_what_was_read_is_freed(form, tmp_path, monkeypatch):
  data = dataset(form, tmp_path, monkeypatch)
  batches = iter(data.batches(10, seed=0))
  growth = memory.growth(lambda: next(batches), warm_up=4, times=10)
  assert growth < 100 * _BYTES / 6


@pytest.mark.parametrize('form', ['jpg', 'records'])
def test_what_examples_were_read_from_is_freed(form, tmp_path, monkeypatch):
  data = dataset(form, tmp_path, monkeypatch)
  # Each of the four images once for each four examples.
  monkeypatch.setattr(image_dataset, '_GROUP', 4)
  examples = iter(data.examples(180, [0, 1]))
  growth = memory.growth(lambda: next(examples), warm_up=60, times=100)
  assert growth < 100 * _BYTES / 6


@pytest.mark.parametrize('form', ['npy', 'own files'])
def test_a_data_set_that_was_read_is_freed(form, tmp_path, monkeypatch):
  data = dataset(form, tmp_path, monkeypatch)
  store = weakref.ref(data._store)
  monkeypatch.undo()
  batches = iter(data.batches(2, seed=0))
  del data
  gc.collect()
  # Somebody reads.
  assert next(batches) is not None and store() is not None
  del batches
  gc.collect()
  assert store() is None


@pytest.fixture(scope='module', name='flow')
def _flow():
  return fo.image_flow([4, 4, 3], 1, 1, 2, tile_sizes=())


def evaluating(flow, path):
  del path
  kind = event_kinds.kind_of(flow, training.TrainConfig())
  evaluator = evaluation.FlowEvaluator(flow, kind, replicas.Replicas())

  def evaluate():
    examples = example_batches.ExampleBatches(
        images.crops(size=4), 30, tf.constant([0, 1], tf.int64)
    )
    evaluator.mean_and_error(examples)

  return evaluate


def sampling(flow, path):
  del path
  return lambda: flow.log_prob(
      fo.flows.sample_at_temperature(flow, 2, [0, 1], 0.7)
  )


def checkpoints(flow, path):
  manager = tf.train.CheckpointManager(
      tf.train.Checkpoint(flow=flow), path, max_to_keep=2
  )
  return manager.save


def tensorboard(flow, path):
  del flow
  writer = training.TensorBoardWriter(path)
  rows = [('data', np.zeros([2, 8, 8, 3], np.uint8))]

  def write():
    writer.scalars(0, bits_per_dim=1.0)
    writer.samples(0, rows)

  return write


@pytest.mark.parametrize(
    'make', [evaluating, sampling, checkpoints, tensorboard]
)
def test_python_holds_on_to_nothing(make, flow, tmp_path):
  action = make(flow, tmp_path)
  # A graph or a function that is kept is a hundred objects each time.
  assert memory.new_objects(action, warm_up=2, times=3) < 10


def test_pictures_leave_no_garbage(flow, tmp_path):
  """Python looks for old cycles so rarely that they are a leak for hours."""
  data = tf.zeros([run_pictures.NUM_SAMPLES, 4, 4, 3], tf.uint8)
  pictures = run_pictures.RunPictures(tmp_path, flow, data, 8, [0, 1])
  row = {'step': 0, 'train_bits_per_dim': '8.', 'held_out_bits_per_dim': '8.'}
  start = {'train_optimum': {1: 8.0}, 'held_out_optimum': {1: 8.0}}
  gc.collect()
  gc.disable()
  try:
    pictures.draw([('data', data)], 0, None, [row, row], start)
    assert (tmp_path / 'curve.png').exists()
    assert gc.collect() < 1000
  finally:
    gc.enable()
