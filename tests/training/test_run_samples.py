"""Samples at the end of a run, measured."""

import types

import numpy as np
import pytest
from support import events
from support import images
from support import runs
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import example_batches
from tfp_flowopt.training import run_pictures
from tfp_flowopt.training import run_samples


def test_what_a_run_says_of_its_samples(straight):
  workdir, summary, _ = straight
  samples = summary['samples']
  # So many of the 150 held-out crops fit side by side.
  assert samples['num_compared'] == 64 * 96 // 8**2
  assert samples['distances']['mmd_pixels'].keys() == {
      'samples', 'real', 'noise'
  }
  assert samples['agreement'] is None and samples['nearest_ratio'] > 0
  assert 'nearest_indices' not in samples
  text = (workdir / 'report.txt').read_text()
  assert 'Distance to held-out images' in text
  assert f'{samples["nearest_ratio"]:.4f}' in text
  assert (workdir / 'nearest.png').stat().st_size > 10_000
  boards = workdir / 'tensorboard'
  for run, kind in (('samples', 'samples'), ('real_images', 'real')):
    shown = events.read(boards / run)
    rows = {
        **samples['distances'],
        **{f'blocks_{k}': row for k, row in samples['blocks'].items()},
    }
    assert shown.keys() == {f'samples/{k}' for k in (*rows, 'nearest_ratio')}
    for name, row in rows.items():
      ((step, value),) = shown[f'samples/{name}']
      assert step == 12
      assert value.simple_value == pytest.approx(row[kind])


def examples_of(num=60, size=8):
  return types.SimpleNamespace(**{
      name: example_batches.ExampleBatches(
          images.crops(seed, size), num, tf.constant([seed, 1], tf.int64)
      )
      for name, seed in (('init', 0), ('held_out', 1))
  })


class Pictures:
  """In the place of samples there are given images."""

  def __init__(self, samples):
    self._samples = samples
    self.drawn = []

  def draw_samples(self, num, given):
    assert not given
    return self._samples[:num]

  def draw_nearest(self, *args):
    self.drawn.append(args)


CONFIG = fo.training.TrainConfig(**runs.CONFIG)


def test_copies_of_training_images_are_found(capsys):
  examples = examples_of()
  train, _ = examples.init.array(8)
  pictures = Pictures(train[::-1])
  found = run_samples.RunSamples(pictures, examples, CONFIG)
  assert found.report.nearest_ratio < 1e-5
  assert found.report.nearest_close == 1.0
  found.show(7, None)
  ((step, board, samples, nearest),) = pictures.drawn
  assert step == 7 and board is None
  np.testing.assert_array_equal(samples, train[::-1][:10])
  np.testing.assert_array_equal(nearest, samples)
  first, second = capsys.readouterr().out.splitlines()
  wasserstein = found.report.distances['sliced_wasserstein_pixels']
  assert f'{wasserstein["samples"]:.3f} ({wasserstein["real"]:.3f})' in first
  assert '0.00 times as far from the nearest training image' in second


@pytest.mark.parametrize('reason', ['few', 'small', 'not finite'])
def test_there_is_nothing_to_say(reason, capsys):
  examples = examples_of(
      10 if reason == 'few' else 20, 2 if reason == 'small' else 8
  )
  samples = examples.init.array(8)[0]
  if reason == 'not finite':
    samples[3, 0, 0, 0] = np.inf
  pictures = Pictures(samples)
  found = run_samples.RunSamples(pictures, examples, CONFIG)
  assert found.report is found.summary() is None
  found.show(1, None)
  assert not pictures.drawn and not capsys.readouterr().out


def test_samples_are_drawn_in_batches_each_with_its_label(tmp_path):
  """For more of them than one batch, and with other latents in each."""
  flow = runs.make_flow(conditioning=3)
  fo.initialize_at_optimum(flow, images.preprocessed(200))
  labels = tf.constant(np.arange(25) % 3)
  data = tf.zeros([run_pictures.NUM_SAMPLES, 8, 8, 3], tf.uint8)
  pictures = run_pictures.RunPictures(
      tmp_path, flow, (data, labels[:10]), 8, tf.constant([0, 1], tf.int64)
  )
  seen = []

  def sample(temperature, seed, kwargs):
    given = kwargs['bijector_kwargs']['conditioning']
    seen.append(given.numpy())
    noise = tf.random.stateless_normal([len(given), 8, 8, 3], seed)
    return temperature * noise

  pictures._sample = sample
  kwargs = {'bijector_kwargs': {'conditioning': labels}}
  x = pictures.draw_samples(25, kwargs)
  assert x.shape == (25, 8, 8, 3)
  np.testing.assert_array_equal(np.concatenate(seen)[:25], labels)
  assert len(np.unique(x[:, 0, 0, 0])) == 25
  assert {len(given) for given in seen} == {run_pictures.NUM_SAMPLES}
