"""What a run refuses before it takes a step."""

import json

import numpy as np
import pytest
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.training import run_settings

tfb = tfp.bijectors
TrainConfig = fo.training.TrainConfig


def vectors(x):
  return tf.data.Dataset.from_tensor_slices(np.asarray(x, np.float32))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({3: np.nan}, r'must be finite, got a vector \[nan'),
        ({5: np.inf}, r'must be finite, got a vector \[inf'),
        ({0: 0.0}, r'must be inside of the support, got a vector \[0'),
        (None, 'must hold two vectors or more'),
    ],
)
def test_held_out_vectors_that_have_no_likelihood(wrong, message, tmp_path):
  """Or all steps would be taken, and the report would fail after them."""
  x = np.exp(np.random.default_rng(0).normal(size=[50, 2]))
  held_out = x[:1].copy() if wrong is None else x[:20].copy()
  for row, value in (wrong or {}).items():
    held_out[row] = value
  flow = fo.vector_flow(2, num_steps=1, hidden_units=8, support=tfb.Exp())
  trainer = fo.training.Trainer(
      flow, vectors(x), vectors(held_out), tmp_path, TrainConfig()
  )
  with pytest.raises(ValueError, match=f'`held_out_images` {message}'):
    trainer.start_or_resume()
  assert not (tmp_path / 'start.json').exists()


@pytest.fixture(scope='module', name='of_flow')
def _of_flow(tmp_path_factory):
  """A function that begins or goes on with one run, of a flow as it says."""
  workdir = tmp_path_factory.mktemp('of_flow')
  x = np.random.default_rng(0).normal(size=[50, 2]).astype(np.float32)

  def run(**kwargs):
    flow = fo.vector_flow(2, 1, 4, 'affine', **kwargs)
    return fo.training.fit(
        flow, x, train_steps=1, workdir=workdir, quiet=True
    )

  run()
  return run


@pytest.mark.parametrize(
    'other',
    [
        {'lipschitz_budget': 1.0},
        {'conditioner_lipschitz': 1.0},
        {'log_range': 3.0},
        {'support': tfb.Scale(2.0)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_flow_is_another_run(of_flow, other):
  """Its weights may have the same shapes, and would mean another map."""
  with pytest.raises(
      fo.training.OtherRunError, match=f'model.{next(iter(other))}: was'
  ):
    of_flow(**other)


class Workers:
  """The second of two workers, whose chief has settings of its own."""

  num_processes, is_chief = 2, False

  def __init__(self, chief, others_differ=False):
    text = json.dumps(chief, sort_keys=True).encode()
    self._sent = [[len(text)], list(text)]
    self._others = others_differ

  def broadcast(self, values):
    sent = self._sent.pop(0)
    assert len(sent) == len(values)
    return np.float64(sent)

  def host_sum(self, values):
    return np.float64(values) + self._others


def test_settings_of_workers_are_the_same():
  settings = {'batch_size': 16, 'train_images': 'ab', 'rate': 0.1, 'none': None}
  check = run_settings.check_same_everywhere
  check(settings, Workers(settings))
  with pytest.raises(
      ValueError,
      match=r'the chief has others:\n  other: has 1, is None\n'
      r'  train_images: has cd, is ab$',
  ):
    check(settings, Workers({**settings, 'train_images': 'cd', 'other': 1}))
  with pytest.raises(ValueError, match='1 of them have others'):
    check(settings, Workers(settings, others_differ=True))


def test_images_of_four_channels(tmp_path, monkeypatch):
  """Pictures show three of them."""
  x = np.random.default_rng(0).integers(0, 256, [2, 32, 32, 4], np.uint8)
  train, held_out = (fo.training.ImageCrops([image], 8) for image in x)
  flow = fo.image_flow([8, 8, 4], 1, 1, 8, tile_sizes=(2,))
  # It shows no images.
  monkeypatch.setattr(fo.diagnostics, 'layer_report', lambda *_, **__: [])
  summary = fo.training.Trainer(
      flow,
      train,
      held_out,
      tmp_path,
      TrainConfig(**{**runs.CONFIG, 'train_steps': 1}),
  ).train()
  assert summary['steps'] == 1
  for name in ('samples.png', 'nearest.png'):
    assert (tmp_path / name).exists()


def test_numbers_that_are_none(tmp_path):
  for seed in (-1, 2**63, 0.5):
    with pytest.raises(ValueError, match='`seed`'):
      TrainConfig(seed=seed)
  flow, data = fo.vector_flow(2, num_steps=1), vectors(np.zeros([9, 2]))
  for steps in (-1, 0.5, '2'):
    with pytest.raises(ValueError, match='`profile_steps`'):
      fo.training.Trainer(
          flow, data, data, tmp_path, TrainConfig(), profile_steps=steps
      )
  examples = fo.data.DatasetExamples(data)
  for seed in ('a', [1, 2, 3], 0.5):
    with pytest.raises(ValueError, match='`seed` must be one or two integers'):
      examples.batches(2, seed)
  with pytest.raises(ValueError, match=r'must be a `tfd\.Distrib'):
    fo.training.fit(flow.bijector, np.zeros([9, 2], np.float32))


def test_folders_of_other_machines(tmp_path):
  for make in (
      lambda: fo.training.ImageDataset('gs://bucket/images', 8),
      lambda: fo.data.convert_images(str(tmp_path), 'gs://bucket/records', 8),
  ):
    with pytest.raises(ValueError, match='a path of the file system'):
      make()
