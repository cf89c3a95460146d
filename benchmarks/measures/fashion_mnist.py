"""The recipe for Fashion-MNIST: trains, and evaluates all test images.

Runs `examples/train_image_flow.py`, which goes on where a run in the same
directory was (`--workdir`). 8-bit uniform dequantisation, mean over some draws
of the noise.
"""

import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile

__all__ = ['RECIPE', 'measure']

_BINARY = (
    pathlib.Path(__file__).resolve().parents[2]
    / 'examples'
    / 'train_image_flow.py'
)
RECIPE = {
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


def measure(settings, seed, context):
  """See `run.py`."""
  folder = context.folder('fashion_mnist')
  (train,) = folder.glob('train-images*ubyte*')
  (test,) = folder.glob('t10k-images*ubyte*')
  recipe = {
      'data': train,
      'held_out': test,
      **RECIPE,
      'train_steps': settings['train_steps'],
      'seed': seed,
  }
  with tempfile.TemporaryDirectory() as temporary:
    workdir = pathlib.Path(context.workdir or temporary)
    _run(workdir, *(f'--{name}={value}' for name, value in recipe.items()))
    test_bits_per_dim = {}
    for checkpoint in ('latest', 'best'):
      text = _run(
          workdir,
          '--mode=evaluate',
          f'--checkpoint={checkpoint}',
          f'--eval_draws={settings["draws"]}',
      )
      number, value = re.search(
          r'(\d+) held-out images, .*: ([\d.]+) bits/dim', text
      ).groups()
      test_bits_per_dim[checkpoint] = float(value)
    with (workdir / 'training_log.csv').open(encoding='utf-8') as f:
      names = ('step', 'seconds', 'held_out_bits_per_dim')
      held_out = [
          [json.loads(row[name]) for name in names]
          for row in csv.DictReader(f)
          if row['held_out_bits_per_dim']
      ]
    start = json.loads((workdir / 'start.json').read_text(encoding='utf-8'))
  return {
      'recipe': RECIPE,
      'seconds': held_out[-1][1],
      'predicted': start['predicted'],
      'held_out': held_out,
      'test_images': int(number),
      'test_bits_per_dim': test_bits_per_dim,
  }


def _run(workdir, *arguments):
  """Runs the binary; returns what it prints, which is shown, too."""
  command = [sys.executable, _BINARY, f'--workdir={workdir}', *arguments]
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  lines = []
  for line in process.stdout:
    print(line, end='', flush=True)
    lines.append(line)
  if process.wait():
    raise RuntimeError(f'{command} ended with code {process.returncode}.')
  return ''.join(lines)
