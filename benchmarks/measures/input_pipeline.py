"""How many images a second `ImageDataset` gives, with no training behind it.

Out of photographs squares are cut that are a quarter larger than the crops, and
written in each format; then batches of random crops, half of them mirrored, are
read for some seconds. The last row reads crops from the photographs themselves.
"""

import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

import tfp_flowopt as fo


def measure(settings, seed, context):
  """See `run.py`."""
  side = settings['image_size'] * 5 // 4
  photos = str(context.folder('photos'))
  photographs, _ = fo.training.load_images(photos, side, True)
  squares = np.stack([
      fo.training.image_tiles(
          photographs[i % len(photographs)], side, 'random', seed=i
      )[0]
      for i in range(settings['num_images'])
  ])
  del photographs
  with tempfile.TemporaryDirectory() as folder:
    paths = {**_write(squares, pathlib.Path(folder)), 'photographs': photos}
    return {
        name: _rates(path, settings, seed) for name, path in paths.items()
    }


def _write(squares, folder):
  """Writes the squares in each format; returns what to open, by name."""
  encoders = {
      'PNG': ('png', tf.io.encode_png),
      'JPEG': ('jpeg', lambda x: tf.io.encode_jpeg(x, quality=95)),
  }
  paths = {f'{name} files': folder / name for name in encoders}
  for name, (suffix, encode) in encoders.items():
    (folder / name).mkdir()
    for i, square in enumerate(squares):
      path = folder / name / f'{i:05}.{suffix}'
      path.write_bytes(encode(square).numpy())
    paths[f'TFRecord of {name}'] = folder / f'records_{suffix}'
    fo.training.convert_images(
        folder / name, folder / f'records_{suffix}', image_format=suffix
    )
  paths['npy'] = folder / 'x.npy'
  np.save(paths['npy'], squares)
  return paths


def _rates(path, settings, seed):
  """Images a second of random crops, and of the scan."""
  start = time.monotonic()
  data = fo.training.ImageDataset(
      path, settings['image_size'], flip=True, bad_images='skip'
  )
  scan = time.monotonic() - start
  batches = iter(data.batches(settings['batch_size'], seed=seed))
  for _ in range(4):  # what was read ahead, and threads that start
    next(batches)
  start, count = time.monotonic(), 0
  while time.monotonic() - start < settings['seconds']:
    next(batches)
    count += settings['batch_size']
  return {
      'images_per_second': count / (time.monotonic() - start),
      'scanned_per_second': len(data) / scan,
  }
