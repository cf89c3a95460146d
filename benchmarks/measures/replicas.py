"""The same run on one device, on several, and in several processes.

Trains a small flow for some steps, with one global batch and seed, and compares
losses and weights with those of one device; `tfb.Glow` beside it, on two, whose
replicas drift apart.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from harness import cluster
import numpy as np

__all__ = ['failures', 'measure']

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SUBJECT = _ROOT / 'tests' / 'support' / 'train_replicas.py'
_GLOW = _ROOT / 'benchmarks' / 'arms' / 'glow_replicas.py'
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
  """Variables for a program that imports ours."""
  path = [str(_ROOT / name) for name in ('', 'tests', 'benchmarks')]
  return {
      **os.environ,
      'TF_CPP_MIN_LOG_LEVEL': '3',
      'PYTHONPATH': os.pathsep.join(path),
      **more,
  }


def measure(settings, seed, context):
  """See `run.py`."""
  del seed, context
  if settings['arm'] == 'tfb.Glow':
    return _glow(settings['steps'])
  values, one = {}, None
  with tempfile.TemporaryDirectory() as folder:
    for i, name in enumerate(_RUNS):
      began = time.monotonic()
      result, checksums = _train(name, pathlib.Path(folder) / str(i), settings)
      one = one or result
      difference = np.abs(result['weights'] - one['weights'])
      values[name] = {
          'loss': np.max(np.abs(result['losses'] / one['losses'] - 1)),
          'held_out': np.max(np.abs(result['held_out'] / one['held_out'] - 1)),
          'weights_median': np.median(difference),
          'weights_largest': np.max(difference),
          'weights_beyond': np.mean(difference > 1e-4),
          'checksums': sorted(checksums),
          'seconds': time.monotonic() - began,
      }
  return values


def failures(values):
  """Runs whose replicas differ."""
  return [
      f'{name}: weights differ between replicas'
      for name, row in values.items()
      # Of tfb.Glow nothing is promised.
      if name in _RUNS and len(row['checksums']) > 1
  ]


def _glow(num_steps):
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'glow.json'
    subprocess.run(
        [sys.executable, _GLOW, str(num_steps), path],
        env=_environment(),
        check=True,
        capture_output=True,
    )
    return {'evaluations': json.loads(path.read_text())}


def _train(name, folder, settings):
  """Runs one of `_RUNS`; returns its results, and all checksums."""
  strategy, overrides, processes = _RUNS[name]
  folder.mkdir()
  output = folder / 'result.npz'
  config = {
      'train_steps': settings['steps'],
      'learning_rate': settings['learning_rate'],
      'eval_every': 10,
      **overrides,
  }
  command = [
      sys.executable, _SUBJECT, strategy, folder / 'run', output,
      json.dumps(config),
  ]
  running = []
  for i, variables in enumerate(cluster.environments(processes)):
    with (folder / f'{i}.txt').open('w') as f:
      running.append(
          subprocess.Popen(
              command,
              env=_environment(**variables),
              stdout=f,
              stderr=subprocess.STDOUT,
          )
      )
  # All of them: one that is left would hang.
  if any([process.wait() for process in running]):
    texts = (path.read_text()[-2000:] for path in folder.glob('*.txt'))
    raise RuntimeError(f'{name} failed:\n' + '\n'.join(texts))
  with np.load(output) as arrays:
    result = dict(arrays)
  checksums = set()
  for path in folder.glob('result.npz.*'):
    checksums |= set(path.read_text().split())
  return result, checksums
