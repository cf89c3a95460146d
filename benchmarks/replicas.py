"""The same run on one device, on several, and in several processes.

Trains a small flow for some steps, with one global batch and seed, and compares
losses and weights with those of one device; `tfb.Glow` beside it, whose
replicas drift apart.

  python benchmarks/replicas.py --steps=50
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import cluster
import numpy as np

_STEPS = flags.DEFINE_integer('steps', 50, 'Steps of a run.', lower_bound=10)
_LEARNING_RATE = flags.DEFINE_float('learning_rate', 3e-3, 'Of the flow.')
_GLOW = flags.DEFINE_bool('glow', True, 'Whether to look at tfb.Glow, too.')
_OUTPUT = flags.DEFINE_string('output', 'replicas.json', 'JSON.')

_ROOT = pathlib.Path(__file__).parents[1]
_SUBJECT = _ROOT / 'tests' / 'support' / 'train_replicas.py'
_GLOW_SUBJECT = pathlib.Path(__file__).parent / 'arms' / 'glow_replicas.py'
# Name: argument of the program, further settings, number of processes.
_RUNS = {
    '1 device': ('default', {}, 1),
    '1 device, in 4 parts': ('default', {'accumulation': 4}, 1),
    '2 devices': ('mirrored-2', {}, 1),
    '4 devices': ('mirrored-4', {}, 1),
    '2 processes': ('workers', {}, 2),
    '4 processes': ('workers', {}, 4),
}


def _environment(**more):
  path = os.pathsep.join([str(_ROOT), str(_ROOT / 'tests')])
  return {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONPATH': path, **more}


def _train(name, folder):
  """Runs one of `_RUNS`; returns its results, and all checksums."""
  strategy, overrides, processes = _RUNS[name]
  folder.mkdir()
  output = folder / 'result.npz'
  settings = {
      'train_steps': _STEPS.value,
      'learning_rate': _LEARNING_RATE.value,
      'eval_every': 10,
      **overrides,
  }
  running = []
  for i, variables in enumerate(cluster.environments(processes)):
    with (folder / f'{i}.txt').open('w') as f:
      running.append(
          subprocess.Popen(
              [
                  sys.executable,
                  _SUBJECT,
                  strategy,
                  folder / 'run',
                  output,
                  json.dumps(settings),
              ],
              env=_environment(**variables),
              stdout=f,
              stderr=subprocess.STDOUT,
          )
      )
  if any(process.wait() for process in running):
    texts = (path.read_text()[-2000:] for path in folder.glob('*.txt'))
    raise SystemExit(f'{name} failed:\n' + '\n'.join(texts))
  with np.load(output) as arrays:
    result = dict(arrays)
  checksums = set()
  for path in folder.glob('result.npz.*'):
    checksums |= set(path.read_text().split())
  return result, checksums


def main(argv):
  """Runs all, prints the table, writes the JSON file."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  rows, one = [], None
  for line in (
      ('', 'loss', 'held out', 'weights', '', '  replicas'),
      ('', 'relative', 'relative', 'median', '> 1e-4', ''),
  ):
    print('{:<22}{:>10}{:>10}{:>10}{:>10}{}'.format(*line))
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for i, name in enumerate(_RUNS):
      began = time.monotonic()
      result, checksums = _train(name, folder / str(i))
      one = one or result
      difference = np.abs(result['weights'] - one['weights'])
      rows.append({
          'run': name,
          'loss': float(np.max(np.abs(result['losses'] / one['losses'] - 1))),
          'held_out': float(
              np.max(np.abs(result['held_out'] / one['held_out'] - 1))
          ),
          'weights_median': float(np.median(difference)),
          'weights_largest': float(np.max(difference)),
          'weights_beyond': float(np.mean(difference > 1e-4)),
          'checksums': sorted(checksums),
          'seconds': time.monotonic() - began,
      })
      row = rows[-1]
      same = 'the same bits' if len(checksums) == 1 else 'DIFFERENT'
      print(
          f'{name:<22}{row["loss"]:10.1e}{row["held_out"]:10.1e}'
          f'{row["weights_median"]:10.1e}{row["weights_beyond"]:10.2%}  {same}',
          flush=True,
      )
    glow = []
    if _GLOW.value:
      path = folder / 'glow.json'
      subprocess.run(
          [sys.executable, _GLOW_SUBJECT, str(_STEPS.value), path],
          env=_environment(),
          check=True,
          capture_output=True,
      )
      glow = json.loads(path.read_text())
      print('\ntfb.Glow on 2 devices:')
      for row in glow:
        print(
            f'  step {row["step"]:3}: {row["variables_that_differ"]} of '
            f'{row["variables"]} variables differ between the replicas, by up '
            f'to {row["largest_difference"]:.2g}'
        )
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps({'runs': rows, 'tfb.Glow': glow}, indent=2) + '\n'
  )


if __name__ == '__main__':
  app.run(main)
