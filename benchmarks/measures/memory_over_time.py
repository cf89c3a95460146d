"""Whether what runs for long keeps the memory it has.

Each row is a process of its own that does one thing over and over: reads
batches of random crops from a source, trains (with evaluations, checkpoints,
pictures and TensorBoard), evaluates, samples, initialises, saves. The resident
memory is looked at after each twentieth part of it; growth is that from the
first tenth to the end. The last rows are what it takes to read 4,096 crops and
initialise a flow from them.
"""

from concurrent import futures
import functools
import multiprocessing
import os
import pathlib
import shutil
import struct
import tempfile
import time

from harness import serving
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

_SIZE, _BATCH_SIZE, _SEED = 16, 16, [1, 2]
# Of the rows of smaller files: squares of photographs.
_SQUARE = 512


def measure_cases(cases, context, add):
  """See `run.py`."""
  with tempfile.TemporaryDirectory() as folder:
    paths = _write_sources(context.folder('photos'), pathlib.Path(folder))
    for case in cases:
      with futures.ProcessPoolExecutor(
          1, multiprocessing.get_context('spawn')
      ) as pool:
        add(case, pool.submit(_row, case['settings'], paths).result())


def _row(settings, paths):
  """What is measured in a process of its own."""
  row, steps, repeats = (settings[x] for x in ('row', 'steps', 'repeats'))
  if row == '4096 crops of 16':
    return _first_4096(paths['jpeg'], 16)
  if row == '4096 crops of 64':
    return _first_4096(paths['records'], 64)
  with tempfile.TemporaryDirectory() as folder:
    if row.startswith('train '):
      return _summary(_train(paths[row.removeprefix('train ')], folder, steps))
    if row in ('sample', 'initialise'):
      repeats = max(20, repeats // 10)
    action, rows = _action(row, paths, folder), []
    for i in range(1, repeats + 1):
      action()
      _note(rows, i, repeats)
  return _summary(rows)


def _write_sources(photos, folder):
  """Writes the photographs in each format; returns what to open, by name."""
  paths = {
      name: folder / name for name in ('jpeg', 'classes', 'png', 'records')
  }
  squares = []
  for path in paths.values():
    path.mkdir()
  for i, photo in enumerate(sorted(photos.glob('*.jpg'))):
    shutil.copy(photo, paths['jpeg'])
    (paths['classes'] / str(i % 2)).mkdir(exist_ok=True)
    shutil.copy(photo, paths['classes'] / str(i % 2))
    pixels = tf.io.decode_jpeg(photo.read_bytes(), channels=3).numpy()
    squares.extend(
        fo.training.image_tiles(pixels, _SQUARE, 'random', num=2, seed=i)
    )
  squares = np.stack(squares)
  for i, square in enumerate(squares):
    (paths['png'] / f'{i}.png').write_bytes(tf.io.encode_png(square).numpy())
  fo.training.convert_images(
      paths['jpeg'], paths['records'], num_shards=3, image_format='jpeg'
  )
  np.save(folder / 'x.npy', squares)
  grey = np.ascontiguousarray(squares[..., 1])
  (folder / 'x-idx3-ubyte').write_bytes(
      struct.pack('>4I', 0x803, *grey.shape) + grey.tobytes()
  )
  return {**paths, 'npy': folder / 'x.npy', 'idx': folder / 'x-idx3-ubyte'}


def _resident_mib():
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def _note(rows, i, steps):
  """Adds a row after each twentieth part of the steps."""
  if i % max(1, steps // 20) == 0:
    rows.append((i, _resident_mib()))


def _summary(rows):
  """Resident MiB, and how it grows after the first tenth."""
  settled = np.array([row for row in rows if row[0] >= rows[-1][0] / 10])
  slope = np.polyfit(settled[:, 0], settled[:, 1], 1)[0]
  return {
      'steps': rows[-1][0],
      'resident_mib': settled[-1, 1],
      'growth_mib': settled[-1, 1] - settled[0, 1],
      'mib_per_100_steps': 100 * slope,
      'rows': rows,
  }


def _flow(size=_SIZE):
  return fo.image_flow([size, size, 3], 2, 1, 16)


def _action(row, paths, folder):
  """What a row does over and over."""
  if row.startswith('read examples '):
    images = _images(paths[row.removeprefix('read examples ')])
    return lambda: list(images.examples(8, _SEED))
  if row.startswith('read '):
    images = (
        _images(paths['classes'], labels='folders')
        if row == 'read labels'
        else _images(paths[row.removeprefix('read ')])
    )
    return functools.partial(next, iter(images.batches(_BATCH_SIZE, seed=0)))
  if row == 'evaluate':
    return _trainer(paths['png'], folder, 100).evaluate
  if row == 'evaluate draws':
    trainer = _trainer(paths['png'], folder, 100)
    return lambda: trainer.evaluate_draws(32, 1)
  if row == 'checkpoints':
    return tf.train.CheckpointManager(
        tf.train.Checkpoint(flow=_flow()), folder, max_to_keep=3
    ).save
  images = fo.training.ImageDataset(paths['png'], _SIZE)
  if row == 'tensorboard':
    return _tensorboard(images.examples(10, _SEED).batch(10), folder)

  def initialised():
    flow = _flow()
    x = images.examples(64, _SEED).batch(32).map(fo.flows.dequantize)
    fo.flows.initialize_at_optimum(flow, x)
    return flow

  if row == 'initialise':
    return initialised
  assert row == 'sample', row
  flow = initialised()
  return lambda: flow.log_prob(
      fo.flows.sample_at_temperature(flow, 4, _SEED, 0.7)
  )


def _tensorboard(images, folder):
  writer = fo.training.TensorBoardWriter(folder)
  rows = [('data', images.get_single_element())]

  def write():
    writer.scalars(0, bits_per_dim=1.0)
    writer.samples(0, rows)

  return write


def _images(path, **kwargs):
  return fo.training.ImageDataset(path, _SIZE, flip=True, **kwargs)


def _trainer(path, workdir, steps):
  train, held_out = _images(path).split(4)
  config = fo.training.TrainConfig(
      train_steps=steps,
      batch_size=_BATCH_SIZE,
      eval_every=max(1, steps // 20),
      checkpoint_every=max(1, steps // 20),
      init_images=512,
      eval_images=256,
  )
  trainer = fo.training.Trainer(_flow(), train, held_out, workdir, config)
  return trainer.start_or_resume()


def _train(path, workdir, steps):
  trainer, rows = _trainer(path, workdir, steps), []
  train_step = trainer._loop.train_step

  def watched(images, stop):
    result = train_step(images, stop)
    _note(rows, trainer.step + 1, steps)
    return result

  trainer._loop.train_step = watched
  trainer.train()
  return rows


def _first_4096(path, size):
  """Seconds, and MiB at the peak above the start."""
  images = fo.training.ImageDataset(path, size, flip=True)
  before = _resident_mib()
  # The peak so far is forgotten.
  pathlib.Path('/proc/self/clear_refs').write_text('5')
  start = time.monotonic()
  x = images.examples(4096, _SEED).batch(64).cache().map(fo.flows.dequantize)
  fo.flows.initialize_at_optimum(_flow(size), x)
  return {
      'seconds': time.monotonic() - start,
      'peak_mib': serving.peak_mib() - before,
  }
