"""Whether a long run keeps the memory it has.

Trains a flow on squares of the photographs of scikit-learn, read from a `.npy`
file, and looks at the resident memory of the process every 100 steps.

  python benchmarks/resident_memory.py --steps=2000
"""

import json
import os
import pathlib
import tempfile

from absl import app
from absl import flags
import numpy as np
from sklearn import datasets

import tfp_flowopt as fo

_STEPS = flags.DEFINE_integer('steps', 2000, 'Steps.', lower_bound=300)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 16, 'Side, even.')
_OUTPUT = flags.DEFINE_string('output', 'resident_memory.json', 'JSON.')

# Steps until graphs are traced and caches full.
_SETTLED, _EVERY = 200, 100


def _resident_mib():
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def main(argv):
  """Trains, prints the table, writes the JSON file."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  size = _IMAGE_SIZE.value
  squares = np.concatenate([
      fo.training.image_tiles(photograph, size)
      for photograph in datasets.load_sample_images().images
  ])
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    np.save(folder / 'squares.npy', squares)
    images = fo.training.ImageDataset(folder / 'squares.npy', size, flip=True)
    train, held_out = images.split()
    trainer = fo.training.Trainer(
        fo.image_flow([size, size, 3], 2, 2, 32),
        train,
        held_out,
        folder / 'run',
        fo.training.TrainConfig(train_steps=_STEPS.value, eval_every=250),
    )

    def watched(images, stop, step=trainer._train_step):
      result = step(images, stop)
      if trainer.step % _EVERY == 0:
        rows.append({'step': trainer.step, 'resident_mib': _resident_mib()})
      return result

    trainer._train_step = watched
    trainer.train()
  settled = [r['resident_mib'] for r in rows if r['step'] >= _SETTLED]
  growth = [x / settled[0] - 1 for x in settled]
  for row in rows:
    print(f'step {row["step"]:6}: {row["resident_mib"]:7.0f} MiB')
  print(f'After step {_SETTLED}: {min(growth):+.1%} to {max(growth):+.1%}')
  pathlib.Path(_OUTPUT.value).write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  app.run(main)
