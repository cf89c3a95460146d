"""Breaks training runs in every way that comes to mind, and starts them again.

A round starts a small run, breaks it at a random moment, starts it again, and
compares what it leaves with an uninterrupted run: the log (all columns but the
clock), the weights to the last bit, and the images that every step used.
"""

import csv
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

from harness import breakable_run
from harness import faults
import numpy as np
import tensorflow as tf

__all__ = ['failures', 'measure']

_IMAGES, _HELD_OUT_EVERY = 40, 5


def measure(settings, seed, context):
  """See `run.py`; `kinds` of faults, all by default; at least 20 `steps`."""
  del context
  kinds = settings['kinds'] or list(faults.FAULTS)
  rng, steps, rows = random.Random(seed), settings['steps'], []
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    straight = folder / 'straight'
    _write_images(straight / 'data')
    for workers in sorted({faults.FAULTS[kind][1] for kind in kinds}):
      run = breakable_run.Run(
          straight / f'run_{workers}', straight / 'data', steps, workers
      )
      run.start()
      if any(run.wait()):
        raise RuntimeError(f'The uninterrupted run failed:\n{run.text()}')
    for i in range(settings['rounds']):
      kind = kinds[i % len(kinds)]
      began = time.monotonic()
      try:
        what = _round(kind, folder / str(i), straight, steps, rng)
        ok = True
      except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
        what, ok = str(e), False
      rows.append({'fault': kind, 'what': what, 'ok': ok})
      print(
          f'{i + 1:3} {"same" if ok else "DIFFERENT":<10}{kind:<24}'
          f'{time.monotonic() - began:5.0f} s  {what}',
          flush=True,
      )
  return {'rounds': rows}


def failures(values):
  """Rounds that did not end as if nothing had happened."""
  rounds = values['rounds']
  return [f'{r["fault"]}: {r["what"]}' for r in rounds if not r['ok']]


def _write_images(folder):
  """Numbered images, otherwise noise."""
  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  for i in range(_IMAGES):
    image = rng.normal(128, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
    image[0, 0, 0] = i
    (folder / f'{i:02}.png').write_bytes(tf.io.encode_png(image).numpy())


def _mount(folder):
  """A small file system in memory, if this user may mount one."""
  folder.mkdir(parents=True)
  return not subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder],
      check=False,
      capture_output=True,
  ).returncode


def _round(kind, folder, straight, num_steps, rng):
  """Breaks a run, starts it again, and compares; returns what was done."""
  inject, workers = faults.FAULTS[kind]
  data = folder / 'data'
  shutil.copytree(straight / 'data', data)
  run = breakable_run.Run(folder / 'run', data, num_steps, workers)
  mounted = kind == 'disk full' and _mount(run.folder)
  if kind == 'disk full' and not mounted:
    return 'not done: no file system may be mounted here'
  try:
    run.start()
    what = inject(run, rng)
    run.wait()
    run.start()
    codes = run.wait()
    if any(codes):
      raise AssertionError(f'Started again, it ended with {codes}.')
    _compare(run.folder, straight / f'run_{workers}', num_steps)
    return what
  finally:
    for process in run.processes:
      process.kill()
    if mounted:
      subprocess.run(['umount', '-l', run.folder], check=False)


def _compare(folder, want, num_steps):
  """Raises an `AssertionError` unless two runs left the same."""
  if _log(folder) != _log(want):
    raise AssertionError('The log is another one.')
  with np.load(folder / 'weights.npz') as a, np.load(want / 'weights.npz') as b:
    if any(np.any(a[name] != b[name]) for name in b.files):
      raise AssertionError('The weights are other ones.')
  used = _used(folder, num_steps)
  if used != _used(want, num_steps):
    raise AssertionError('Other images were used.')
  order = [number for batch in used for number in batch]
  size = _IMAGES - _IMAGES // _HELD_OUT_EVERY
  for i in range(0, len(order) - size + 1, size):
    if len(set(order[i : i + size])) != size:
      raise AssertionError(f'Epoch {i // size} has an image twice.')


def _log(folder):
  with (folder / 'training_log.csv').open() as f:
    return [
        {name: x for name, x in row.items() if name != 'seconds'}
        for row in csv.DictReader(f)
    ]


def _used(folder, num_steps):
  """Numbers of the images that made each step, the last time it was taken."""
  steps = {}
  for path in sorted(folder.glob('used.*.csv')):
    own = {}
    for line in breakable_run.complete_lines(path):
      step, numbers = line.split(',')
      own[int(step)] = [int(x) for x in numbers.split()]
    for step, numbers in own.items():
      steps.setdefault(step, []).extend(numbers)
  return [steps[step] for step in range(num_steps)]
