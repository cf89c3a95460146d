"""The recipe for Fashion-MNIST: trains, and evaluates all test images.

Runs `examples/train_image_flow.py`, which goes on where a run in the same
directory was. 8-bit uniform dequantisation, mean over four draws of the noise.

  python benchmarks/fashion_mnist.py --images=FOLDER --workdir=fashion
"""

import csv
import json
import os
import pathlib
import re
import subprocess
import sys

from absl import app
from absl import flags

_IMAGES = flags.DEFINE_string('images', None, 'Folder of the idx files.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Directory of the run.')
_OUTPUT = flags.DEFINE_string('output', 'fashion_mnist.json', 'JSON to write.')
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 12_000, 'Steps.')
_DRAWS = flags.DEFINE_integer('draws', 4, 'Draws of noise.', lower_bound=2)

flags.mark_flags_as_required(['images', 'workdir'])

_RECIPE = {
    'image_size': 28,
    'channels': 1,
    'num_levels': 2,
    'num_steps': 12,
    'hidden_channels': 96,
    'gaussianize_marginals': True,
    'lipschitz_budget': 0,
    'memory': 'stored',
    'batch_size': 32,
    'schedule': 'cosine',
    'warmup_steps': 100,
    'ema_decay': 0.999,
    'eval_every': 1500,
    'checkpoint_every': 1500,
    'local_constants': False,
}


def _run(*arguments):
  """Runs the binary; returns what it prints, which is shown, too."""
  binary = (
      pathlib.Path(__file__).resolve().parents[1]
      / 'examples'
      / 'train_image_flow.py'
  )
  command = [sys.executable, binary, f'--workdir={_WORKDIR.value}', *arguments]
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  lines = []
  for line in process.stdout:
    print(line, end='', flush=True)
    lines.append(line)
  if process.wait():
    raise RuntimeError(f'{command} ended with code {process.returncode}.')
  return ''.join(lines)


def _recipe():
  """The flags of the run, in the order of the command line."""
  folder = pathlib.Path(_IMAGES.value)
  (train,) = folder.glob('train-images*ubyte*')
  (test,) = folder.glob('t10k-images*ubyte*')
  recipe = {
      'data': train,
      'held_out': test,
      **_RECIPE,
      'train_steps': _TRAIN_STEPS.value,
  }
  return [f'--{name}={value}' for name, value in recipe.items()]


def _held_out(path):
  """Steps, seconds and bits/dim of the evaluations of a training log."""
  with path.open(encoding='utf-8') as f:
    return [
        [
            int(row['step']),
            float(row['seconds']),
            float(row['held_out_bits_per_dim']),
        ]
        for row in csv.DictReader(f)
        if row['held_out_bits_per_dim']
    ]


def main(argv):
  """Trains, evaluates and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  workdir = pathlib.Path(_WORKDIR.value)
  _run(*_recipe())
  evaluations = {}
  for checkpoint in ('latest', 'best'):
    text = _run(
        '--mode=evaluate',
        f'--checkpoint={checkpoint}',
        f'--eval_draws={_DRAWS.value}',
    )
    number, value = re.search(
        r'(\d+) held-out images, .*: ([\d.]+) bits/dim', text
    ).groups()
    evaluations[checkpoint] = float(value)
  held_out = _held_out(workdir / 'training_log.csv')
  start = json.loads((workdir / 'start.json').read_text(encoding='utf-8'))
  result = {
      'recipe': _RECIPE,
      'train_steps': _TRAIN_STEPS.value,
      'cores': os.cpu_count(),
      'seconds': held_out[-1][1],
      'predicted': start['predicted'],
      'held_out': held_out,
      'test_images': int(number),
      'draws': _DRAWS.value,
      'test_bits_per_dim': evaluations,
  }
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(result, indent=1) + '\n', encoding='utf-8'
  )
  print(result)


if __name__ == '__main__':
  app.run(main)
