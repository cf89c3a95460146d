"""Small runs of the `Trainer`."""

import contextlib
import csv
import functools

import numpy as np
import pytest
from support import images
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.training import run_samples
from tfp_flowopt.training import training_loop

tfb, tfd = tfp.bijectors, tfp.distributions
CONFIG = {
    'train_steps': 12,
    'batch_size': 8,
    'warmup_steps': 4,
    # Tests train on, and compare runs of different lengths.
    'schedule': 'constant',
    'eval_every': 5,
    # Not in batches of the same sizes as init_images.
    'eval_images': 150,
    'checkpoint_every': 4,
    'init_images': 100,
}


def make_flow(**kwargs):
  # One level: most of the time of a test is to trace the flow.
  # The harder way: all that a run notes of its gradients is there.
  kwargs = {'memory': 'reversible', **kwargs}
  return fo.image_flow([8, 8, 3], 1, 1, 8, tile_sizes=(2,), **kwargs)


def make_simple_flow():
  """The least that can be trained, where the flow is not the point.

  A flow of ours has 20 weights and a start; they cost more than all else.
  """
  bijector = tfb.Chain([
      tfb.Reshape([8, 8, 3], [192]),
      tfb.Shift(tf.Variable(tf.zeros([192]))),
      tfb.Scale(log_scale=tf.Variable(tf.fill([192], -1.5))),
  ])
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [192]), bijector
  )


def make_trainer(workdir, flow=make_flow, **overrides):
  distribution = flow()
  trainer = fo.training.Trainer(
      distribution,
      images.crops(seed=0),
      images.crops(seed=1),
      workdir,
      fo.training.TrainConfig(**{**CONFIG, **overrides}),
  )
  trainer.start_or_resume()
  return trainer, distribution


make_simple_trainer = functools.partial(make_trainer, flow=make_simple_flow)


@contextlib.contextmanager
def no_pictures():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
        training_loop.TrainingLoop, '_draw_pictures', lambda self: None
    )
    patch.setattr(fo.diagnostics, 'layer_report', lambda *_, **__: [])
    patch.setattr(run_samples, '_MOST', 0)
    yield


@contextlib.contextmanager
def untraced():
  """Where a function is called less often than pays for its graph."""
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(False)


def rows(workdir):
  with (workdir / 'training_log.csv').open() as f:
    result = list(csv.DictReader(f))
  for row in result:
    del row['seconds']
  return result


def weights(distribution):
  return [v.numpy() for v in distribution.variables]


def assert_equal(left, right):
  """Asserts that two lists of weights have the same bits."""
  for a, b in zip(left, right, strict=True):
    np.testing.assert_array_equal(a, b)
