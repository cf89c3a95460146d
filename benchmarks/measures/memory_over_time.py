"""Whether what runs for long keeps the memory it has.

Each row is a process of its own that does one thing over and over: reads
batches of random crops from a source, trains (with evaluations, checkpoints,
pictures and TensorBoard), evaluates, samples, initialises, saves. The resident
memory is looked at after each twentieth part of it; growth is that from the
first tenth to the end. The last rows are what it takes to read 4,096 crops and
initialise a flow from them.
"""

from concurrent import futures
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

__all__ = ['measure_cases']

_SIZE, _BATCH_SIZE, _SEED = 16, 16, [1, 2]
# Of the rows of smaller files: squares of photographs.
_SQUARE = 512


def measure_cases(cases, context, add):
  """See `run.py`."""
  with tempfile.TemporaryDirectory() as folder:
    paths = _write_sources(context.folder('photos'), pathlib.Path(folder))
    for case in cases:
      settings = case['settings']
      tasks = _tasks(paths, settings['steps'], settings['repeats'])
      with futures.ProcessPoolExecutor(
          1, multiprocessing.get_context('spawn')
      ) as pool:
        found = pool.submit(*tasks[settings['row']]).result()
      add(case, found if isinstance(found, dict) else _summary(found))


def _tasks(paths, steps, repeats):
  """Functions and arguments by name of the row."""
  few = max(20, repeats // 10)
  return {
      **{
          f'read {name}': (_read, path, repeats)
          for name, path in paths.items()
          if name != 'classes'
      },
      'read labels': (_read_labels, paths['classes'], repeats),
      'read examples jpeg': (_read_examples, paths['jpeg'], repeats),
      'read examples records': (_read_examples, paths['records'], repeats),
      'train jpeg': (_train, paths['jpeg'], steps),
      'train records': (_train, paths['records'], steps),
      'evaluate': (_evaluate, paths['png'], repeats),
      'evaluate draws': (_evaluate_draws, paths['png'], repeats),
      'sample': (_sample, paths['png'], few),
      'initialise': (_initialise, paths['png'], few),
      'checkpoints': (_checkpoints, repeats),
      'tensorboard': (_tensorboard, paths['png'], repeats),
      '4096 crops of 16': (_first_4096, paths['jpeg'], 16),
      '4096 crops of 64': (_first_4096, paths['records'], 64),
  }


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


def _repeat(action, times):
  """Rows of a number of repetitions and resident MiB after them."""
  rows = []
  for i in range(1, times + 1):
    action()
    if i % max(1, times // 20) == 0:
      rows.append((i, _resident_mib()))
  return rows


def _flow(size=_SIZE):
  return fo.image_flow([size, size, 3], 2, 1, 16)


def _images(path, **kwargs):
  return fo.training.ImageDataset(path, _SIZE, flip=True, **kwargs)


def _read(path, repeats, **kwargs):
  batches = iter(_images(path, **kwargs).batches(_BATCH_SIZE, seed=0))
  return _repeat(lambda: next(batches), repeats)


def _read_labels(path, repeats):
  return _read(path, repeats, labels='folders')


def _read_examples(path, repeats):
  images = _images(path)
  return _repeat(lambda: list(images.examples(8, _SEED)), repeats)


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
  return fo.training.Trainer(_flow(), train, held_out, workdir, config)


def _train(path, steps):
  with tempfile.TemporaryDirectory() as workdir:
    trainer = _trainer(path, workdir, steps)
    train_step, rows = trainer._train_step, []

    def watched(images, stop):
      result = train_step(images, stop)
      if (trainer.step + 1) % max(1, steps // 20) == 0:
        rows.append((trainer.step + 1, _resident_mib()))
      return result

    trainer._train_step = watched
    trainer.train()
  return rows


def _evaluate(path, repeats):
  with tempfile.TemporaryDirectory() as workdir:
    return _repeat(_trainer(path, workdir, 100).evaluate, repeats)


def _evaluate_draws(path, repeats):
  with tempfile.TemporaryDirectory() as workdir:
    trainer = _trainer(path, workdir, 100)
    return _repeat(lambda: trainer.evaluate_draws(32, 1), repeats)


def _sample(path, repeats):
  flow = _flow()
  images = fo.training.ImageDataset(path, _SIZE).examples(64, _SEED)
  x = fo.flows.dequantize(images.batch(64).get_single_element())
  fo.flows.initialize_at_optimum(flow, x)

  def sample():
    z = fo.flows.sample_at_temperature(flow, 4, _SEED, 0.7)
    flow.log_prob(z)

  return _repeat(sample, repeats)


def _initialise(path, repeats):
  images = fo.training.ImageDataset(path, _SIZE)

  def initialise():
    examples = images.examples(64, _SEED).batch(32)
    fo.flows.initialize_at_optimum(_flow(), examples.map(fo.flows.dequantize))

  return _repeat(initialise, repeats)


def _checkpoints(repeats):
  with tempfile.TemporaryDirectory() as folder:
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(flow=_flow()), folder, max_to_keep=3
    )
    return _repeat(manager.save, repeats)


def _tensorboard(path, repeats):
  images = fo.training.ImageDataset(path, _SIZE).examples(10, _SEED)
  rows = [('data', images.batch(10).get_single_element())]
  with (
      tempfile.TemporaryDirectory() as folder,
      fo.training.TensorBoardWriter(folder) as writer,
  ):

    def write():
      writer.scalars(0, bits_per_dim=1.0)
      writer.samples(0, rows)

    return _repeat(write, repeats)


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
