"""Linear flows that a run is compared with: one number for each name."""

import math
import re

import numpy as np
import pytest
from support import images
from support import numpy_optimum
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt import diagnostics
from tfp_flowopt.data import example_batches
from tfp_flowopt.training import evaluation
from tfp_flowopt.training import event_kinds
from tfp_flowopt.training import linear_optima
from tfp_flowopt.training import replicas
from tfp_flowopt.training import run_pictures
from tfp_flowopt.training import training_loop

tfb, tfd = tfp.bijectors, tfp.distributions


class Images:
  """Images of an array, of which some may be independent."""

  def __init__(self, num, side=8, seed=0, **counts):
    x = images.smooth_noise(seed, 96, 96)[..., :1]
    x = fo.training.ImageCrops([x], side).draw(max(num, 2), [seed, 0])
    self._x = x[:num]
    self.event_shape = [side, side, 1]
    vars(self).update(counts)

  def examples(self, num, seed):
    del seed
    x = tf.concat([self._x] * -(-num // len(self._x)), axis=0)
    return tf.data.Dataset.from_tensor_slices(x[:num])


def batches(data, num):
  seed = tf.constant([0, 1], tf.int64)
  return example_batches.ExampleBatches(data, num, seed)


def bits_per_dim_of_blocks(train, held_out, k):
  """Of the normal distribution of training blocks, on both, in NumPy."""
  train, held_out = (
      numpy_optimum.blocks(x.astype(np.float64), k) for x in (train, held_out)
  )
  vectors = train.reshape(-1, k * k)
  mean, covariance = vectors.mean(0), np.cov(vectors.T, bias=True)
  covariance = covariance.reshape(k * k, k * k)
  constant = np.linalg.slogdet(2.0 * np.pi * covariance)[1]
  for x in (vectors, held_out.reshape(-1, k * k)):
    centered = x - mean
    squares = np.sum(centered @ np.linalg.inv(covariance) * centered, axis=1)
    yield 8.0 + 0.5 * (constant + squares.mean()) / (k * k * math.log(2.0))


@pytest.mark.parametrize(
    'num, side, counts, sizes',
    [
        (40, 8, {}, '124'),
        (640, 8, {}, '1248'),
        # So many crops, but of few images.
        (640, 8, {'num_disjoint': 39}, '12'),
        (2, 2, {}, ''),
    ],
)
def test_fitted_to_training_images_and_evaluated_on_others(
    num, side, counts, sizes
):
  train = batches(Images(num, side, **counts), num)
  held_out = batches(Images(5, side, seed=1), 5)
  optima = linear_optima.pointwise_optima(train, held_out, 8)
  assert all(list(values) == list(sizes) for values in optima.values())
  arrays = train.array(8)[0], held_out.array(8)[0]
  for k in sizes:
    want = bits_per_dim_of_blocks(*arrays, int(k))
    np.testing.assert_allclose(
        [optima[name][k] for name in ('train_optimum', 'held_out_optimum')],
        list(want),
        rtol=1e-6,
    )
  best = linear_optima.best_block_size(optima)
  assert best == min(sizes, key=optima['held_out_optimum'].get, default=None)


def test_optima_of_an_older_start_are_found_anew():
  train, held_out = batches(Images(40), 40), batches(Images(5, seed=1), 5)
  old = {'predicted': 3.0, 'held_out_optimum': {'8': 1.29}}
  normal = tfd.Sample(tfd.Normal(0.0, 1.0), [8, 8, 1])
  kind = event_kinds.kind_of(normal, fo.training.TrainConfig())
  start = linear_optima.completed(old, kind, train, held_out)
  want = linear_optima.pointwise_optima(train, held_out, 8)
  assert start == {'predicted': 3.0, **want}
  assert linear_optima.completed(start, None, None, 8) is start


@pytest.mark.parametrize(
    'held_out, best', [({'1': 3.0, '2': 2.0, '4': 4.0}, '2'), ({}, None)]
)
def test_the_curve_shows_the_linear_flow_that_is_best_on_held_out_images(
    held_out, best, tmp_path, monkeypatch
):
  drawn = []
  monkeypatch.setattr(
      diagnostics, 'plot_training_curve', lambda *args: drawn.append(args)
  )
  start = {
      'train_optimum': {k: v - 0.5 for k, v in held_out.items()},
      'held_out_optimum': held_out,
  }
  pictures = run_pictures.RunPictures(
      tmp_path, None, np.zeros([2, 4, 4, 3], np.uint8), 8, [0, 0]
  )
  rows = [
      {'step': '0', 'train_bits_per_dim': '3', 'held_out_bits_per_dim': '4'}
  ]
  monkeypatch.setattr(run_pictures.atomic_files, 'atomic_path', _no_file)
  pictures.draw([], 1, None, rows, start)
  ((_, _, _, train, held, name, unit, events),) = drawn
  assert (unit, events) == ('bits/dim', 'images')
  if best is None:
    assert train is held is None
  else:
    assert (train, held) == (held_out[best] - 0.5, held_out[best])
    assert name.endswith(f'pointwise {best}x{best}')


class _no_file:

  def __init__(self, path):
    self._path = path

  def __enter__(self):
    return self._path

  def __exit__(self, *_):
    pass


@pytest.mark.parametrize('loss, optimum', [(3.0, 4.0), (4.0, 3.0), (3.0, None)])
def test_the_gain_on_the_screen_is_positive_where_the_flow_is_better(
    loss, optimum, capsys
):
  bar = training_loop.LossProgress(1, 2, optimum, quiet=False)
  bar.update(1, loss)
  gains = re.findall(r'gain (-?[\d.]+)', capsys.readouterr().out)
  if optimum is None:
    assert not gains
  else:
    assert [float(x) for x in gains] == [optimum - loss]


def test_errors_of_an_evaluation_count_independent_images():
  """Each image twice tells no more than once."""
  normal = tfd.Normal(tf.constant(0.0), 0.3)
  distribution = tfd.TransformedDistribution(
      tfd.Sample(normal, [4, 4, 1]), tfb.Identity()
  )
  evaluator = evaluation.FlowEvaluator(
      distribution,
      event_kinds.kind_of(distribution, fo.training.TrainConfig()),
      replicas.Replicas(),
  )
  data = Images(6, 4, num_independent=6)
  twice = batches(data, 12)
  mean, error = evaluator.mean_and_error(twice)
  values = 8.0 - distribution.log_prob(twice.array(8)[0]).numpy() / (
      16 * math.log(2.0)
  )
  assert mean == pytest.approx(values.mean(), rel=1e-5)
  # Its noise is drawn twice: that makes up little.
  once = values.reshape(2, 6).mean(0)
  assert error == pytest.approx(np.std(once, ddof=1) / math.sqrt(6), rel=1e-2)
  assert np.isnan(
      evaluator.mean_and_error(batches(Images(1, 4, num_independent=1), 12))[1]
  )


@pytest.mark.parametrize(
    'crop, num_disjoint, num_independent',
    [('random', 2 * 3 * 4, 4), ('center', 4, 4), ('tile', 24, 4)],
)
def test_how_many_images_a_data_set_has(
    crop, num_disjoint, num_independent, tmp_path
):
  path = tmp_path / 'images.npy'
  np.save(path, np.zeros([4, 9, 13, 3], np.uint8))
  dataset = fo.training.ImageDataset(path, 4, crop=crop)
  assert dataset.num_disjoint == num_disjoint
  assert dataset.num_independent == num_independent
  part, _ = fo.training.ImageDataset(path, 4, crop='center').split(every=4)
  assert part.num_independent == part.num_disjoint == 3


def test_how_many_crops_fit_side_by_side():
  arrays = [np.zeros(s, np.uint8) for s in ([9, 13, 3], [4, 4, 3])]
  crops = fo.training.ImageCrops(arrays, 4)
  assert crops.num_disjoint == crops.num_independent == 7
  examples = batches(crops, 5)
  assert (examples.num_disjoint, examples.num_independent) == (5, 5)
