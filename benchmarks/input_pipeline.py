"""How many images a second `ImageDataset` gives, with no training behind it.

Out of photographs squares are cut that are a quarter larger than the crops, and
written in each format; then batches of random crops, half of them mirrored, are
read for some seconds. The last row reads crops from the photographs themselves.

  python benchmarks/input_pipeline.py --photos=real_data/photos
"""

import json
import os
import pathlib
import tempfile
import time

from absl import app
from absl import flags
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

_PHOTOS = flags.DEFINE_string('photos', None, 'Folder of photographs.')
_OUTPUT = flags.DEFINE_string('output', 'input_pipeline.json', 'JSON.')
_SECONDS = flags.DEFINE_float(
    'seconds', 4.0, 'Time for each number.', lower_bound=0.1
)

flags.mark_flag_as_required('photos')

# Side of the crops: number of squares, batch size.
_SIZES = {64: (1000, 64), 256: (150, 16), 1024: (16, 4)}


def _squares(photographs, side, num):
  """Squares at random places, an array `[num, side, side, 3]`."""
  squares = []
  for i in range(num):
    photograph = photographs[i % len(photographs)]
    squares.append(
        fo.training.image_tiles(photograph, side, 'random', seed=i)[0]
    )
  return np.stack(squares)


def _write(squares, folder):
  """Writes the squares in each format; returns what to open, by name."""
  encoders = {
      'PNG files': ('png', tf.io.encode_png),
      'JPEG files': ('jpg', lambda x: tf.io.encode_jpeg(x, quality=95)),
  }
  paths = {}
  for name, (suffix, encode) in encoders.items():
    paths[name] = folder / suffix
    paths[name].mkdir(parents=True)
    for i, square in enumerate(squares):
      (paths[name] / f'{i:05}.{suffix}').write_bytes(encode(square).numpy())
  for name, image_format in (('PNG', 'png'), ('JPEG', 'jpeg')):
    paths[f'TFRecord of {name}'] = folder / f'records_{image_format}'
    fo.training.convert_images(
        paths[f'{name} files'],
        folder / f'records_{image_format}',
        image_format=image_format,
    )
  paths['npy'] = folder / 'x.npy'
  np.save(paths['npy'], squares)
  return paths


def _measure(path, size, batch_size):
  """Images a second of random crops, and seconds of the scan."""
  start = time.monotonic()
  data = fo.training.ImageDataset(path, size, flip=True, bad_images='skip')
  scan = time.monotonic() - start
  batches = iter(data.batches(batch_size, seed=0))
  for _ in range(4):  # what was read ahead, and threads that start
    next(batches)
  start, count = time.monotonic(), 0
  while time.monotonic() - start < _SECONDS.value:
    next(batches)
    count += batch_size
  return {
      'images_per_second': count / (time.monotonic() - start),
      'scanned_per_second': len(data) / scan,
  }


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  results = {}
  for size, (num, batch_size) in _SIZES.items():
    side = size * 5 // 4
    photographs, _ = fo.training.load_images(_PHOTOS.value, side, True)
    squares = _squares(photographs, side, num)
    del photographs
    with tempfile.TemporaryDirectory() as folder:
      paths = _write(squares, pathlib.Path(folder))
      paths['photographs'] = _PHOTOS.value
      for name, path in paths.items():
        results.setdefault(name, {})[size] = _measure(path, size, batch_size)
  print(f'\n{"images/s":<18}' + ''.join(f'{s:>10}' for s in _SIZES))
  for name, row in results.items():
    print(
        f'{name:<18}'
        + ''.join(f'{x["images_per_second"]:10.1f}' for x in row.values())
    )
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps({'cores': os.cpu_count(), 'results': results}, indent=2)
      + '\n',
      encoding='utf-8',
  )


if __name__ == '__main__':
  app.run(main)
