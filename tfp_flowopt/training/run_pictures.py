"""The pictures of a run."""

import contextlib
import gc
import pathlib

import numpy as np
import tensorflow as tf

from tfp_flowopt import diagnostics
from tfp_flowopt import flows
from tfp_flowopt.data import labelled
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import graphs
from tfp_flowopt.internal import seeds
from tfp_flowopt.training import event_kinds
from tfp_flowopt.training import interruption
from tfp_flowopt.training import linear_optima
from tfp_flowopt.training import training_log

__all__ = ['RunPictures']

# Of each row of samples, its temperature and which of the draws it shows. At
# lower ones flows with scalings show plain colour: all norms of latents are
# then below those of data, which are within 1 % of each other in 3,072-D.
_ROWS = {
    'T = 1.0': (1.0, 0),
    'others': (1.0, 1),
    'T = 0.96': (0.96, 0),
}
NUM_SAMPLES = 10


class RunPictures:
  """Draws pictures as PNG files, if matplotlib is installed.

  And for TensorBoard, which needs it for the samples least of all. `data` are
  uint8 images `[NUM_SAMPLES, H, W, C]`, shown beside the samples, or a pair of
  these and labels, which the samples have, too. Of vectors only the curve is
  drawn; `kind` is that of the run.
  """

  def __init__(self, workdir, distribution, data, bits, seed, kind=None):
    self._kind = kind or event_kinds.Images
    self._workdir = pathlib.Path(workdir)
    self._distribution = distribution
    self._data, self._kwargs = labelled.split(data)
    self._bits = bits
    self._seed = seed

  # One graph, of which the shown samples have the same latents each time.
  @graphs.own_graph_method
  def _sample(self, temperature, seed, kwargs):
    return flows.sample_at_temperature(
        self._distribution, NUM_SAMPLES, seed, temperature, **kwargs
    )

  def draw_samples(self, num, given):
    """Samples `[num, H, W, C]`, a NumPy array; others than those shown.

    `given` is what `labelled.split` gives beside `num` images.
    """
    samples = []
    for start in range(0, num, NUM_SAMPLES):
      index = np.arange(start, start + NUM_SAMPLES) % num
      kwargs = tf.nest.map_structure(lambda x, i=index: tf.gather(x, i), given)
      seed = seeds.fold_in(seeds.pair(self._seed), 1 + start)
      samples.append(self._sample(tf.constant(1.0), seed, kwargs).numpy())
    return np.concatenate(samples)[:num]

  def samples(self):
    """Pairs (name, uint8 images): data, and samples at each temperature.

    None if they are no images. Of others than grey and coloured ones, the first
    channels are shown.
    """
    if len(self._data.shape) != 4:
      return []
    rows = [('data', _visible(self._data))]
    for name, (temperature, draw) in _ROWS.items():
      interruption.check()
      seed = seeds.fold_in(seeds.pair(self._seed), -draw)
      x = self._sample(tf.constant(temperature), seed, self._kwargs)
      rows.append((name, flows.quantize(_visible(x), self._bits)))
    return rows

  def draw(self, samples, step, board, log_rows, start):
    """Draws `curve.png` and `samples.png` anew, after `step` steps.

    `samples` are those of the method, `board` is a `TensorBoardWriter` or
    `None`, `start` is that of the `Trainer`.
    """
    interruption.check()
    key = self._kind.key
    block_size = linear_optima.best_block_size(start)
    train_optimum, held_out_optimum = (
        start[name].get(block_size)
        for name in ('train_optimum', 'held_out_optimum')
    )
    if board is not None:
      board.samples(step, samples)
      board.optimum(step, **{key: train_optimum})
      board.optimum(step, run='optimum_held_out', **{key: held_out_optimum})
    train = training_log.column(log_rows, f'train_{key}')
    held_out = training_log.column(log_rows, f'held_out_{key}')
    # Pictures are an extra; the numbers are in the log.
    with contextlib.suppress(ImportError):
      if samples:
        with atomic_files.atomic_path(self._workdir / 'samples.png') as path:
          diagnostics.plot_samples(path, samples)
      if train and held_out:
        with atomic_files.atomic_path(self._workdir / 'curve.png') as path:
          diagnostics.plot_training_curve(
              path,
              list(train.items()),
              list(held_out.items()),
              train_optimum,
              held_out_optimum,
              self._kind.optimum_name(block_size),
              self._kind.unit,
              self._kind.events,
          )
    # A figure is 20,000 objects in cycles, for which Python is slow to look.
    gc.collect()

  def draw_layers(self, step, board, layers):
    """Draws `layers.png` of `LayerReport`s, if there are any."""
    if not layers:
      return
    path = self._workdir / 'layers.png'
    with contextlib.suppress(ImportError):
      with atomic_files.atomic_path(path) as temporary:
        diagnostics.plot_layers(temporary, layers)
      if board is not None:
        board.picture(step, 'layers', path)

  def draw_nearest(self, step, board, samples, train):
    """Draws `nearest.png`: samples above the training images nearest to them.

    Both are preprocessed, `[N, H, W, C]`.
    """
    rows = [
        (name, flows.quantize(_visible(images), self._bits))
        for name, images in (
            ('samples', samples), ('nearest\ntraining\nimages', train)
        )
    ]
    path = self._workdir / 'nearest.png'
    with contextlib.suppress(ImportError):
      with atomic_files.atomic_path(path) as temporary:
        diagnostics.plot_samples(temporary, rows)
      if board is not None:
        board.picture(step, 'nearest', path)


def _visible(images):
  """The channels of images that a picture can show: three, or one."""
  return images[..., : 3 if images.shape[-1] >= 3 else 1]
