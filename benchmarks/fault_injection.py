"""Breaks training runs in every way that comes to mind, and starts them again.

A round starts a small run, breaks it at a random moment, starts it again, and
compares what it leaves with an uninterrupted run: the log (all columns but the
clock), the weights to the last bit, and the images that every step used.

  python benchmarks/fault_injection.py --rounds=33
"""

import contextlib
import csv
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import cluster
import numpy as np
import tensorflow as tf

_ROUNDS = flags.DEFINE_integer('rounds', 33, 'Rounds.', lower_bound=1)
_KINDS = flags.DEFINE_list('kinds', None, 'Only these kinds of fault.')
_STEPS = flags.DEFINE_integer('steps', 60, 'Steps of a run.', lower_bound=20)
_SEED = flags.DEFINE_integer('seed', 0, 'Of what happens when.')
_OUTPUT = flags.DEFINE_string('output', None, 'JSON file of the table.')

_SUBJECT = pathlib.Path(__file__).parent / 'arms' / 'fault_subject.py'
_IMAGES, _HELD_OUT_EVERY = 40, 5
_PATIENCE = 300.0


class Run:
  """Processes that train in one directory."""

  def __init__(self, folder, data, workers=1):
    """Describes the run, without starting it.

    Args:
      folder: The working directory.
      data: Folder of images.
      workers: Number of processes.
    """
    self.folder = folder
    self._data = data
    self._workers = workers
    self.processes = []

  def start(self):
    """Starts all processes."""
    self.folder.parent.mkdir(parents=True, exist_ok=True)
    self.processes = []
    for i, variables in enumerate(cluster.environments(self._workers)):
      with (self.folder.parent / f'{self.folder.name}.{i}.txt').open('a') as f:
        self.processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    _SUBJECT,
                    'workers' if self._workers > 1 else 'default',
                    self._data,
                    self.folder,
                    str(_STEPS.value),
                ],
                stdout=f,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    'TF_CPP_MIN_LOG_LEVEL': '3',
                    **variables,
                },
            )
        )

  def text(self):
    """What the processes have printed."""
    return ''.join(
        (self.folder.parent / f'{self.folder.name}.{i}.txt').read_text(
            errors='replace'
        )
        for i in range(self._workers)
    )

  def wait(self):
    """Waits for all processes; returns how they ended."""
    return [p.wait(timeout=_PATIENCE) for p in self.processes]

  def wait_until(self, condition):
    """Waits for a condition, or for the end of a process."""
    deadline = time.monotonic() + _PATIENCE
    while not condition() and all(p.poll() is None for p in self.processes):
      if time.monotonic() > deadline:
        raise TimeoutError(f'Nothing happens in {self.folder}:\n{self.text()}')
      time.sleep(0.002)

  def kill(self, index=0):
    """Kills a process for good."""
    self.processes[index].send_signal(signal.SIGKILL)

  def steps_begun(self):
    """Number of steps whose batch was taken, at least."""
    return len(_lines(self.folder / 'used.0.csv'))

  def newest(self):
    """Name of the newest checkpoint."""
    paths = self.folder.glob('checkpoints/ckpt-*.index')
    return max(paths, key=lambda p: int(p.stem.split('-')[1])).with_suffix('')


def _kill_at_step(run, rng):
  step = rng.randrange(1, _STEPS.value - 1)
  run.wait_until(lambda: run.steps_begun() > step)
  run.kill()
  return f'at step {step}'


def _kill_at_start(run, rng):
  delay = rng.uniform(1.0, 8.0)
  time.sleep(delay)
  run.kill()
  return f'after {delay:.1f} s'


def _kill_in_evaluation(run, rng):
  # The batch of an evaluated step is taken after the evaluation.
  step = 10 * rng.randrange(1, _STEPS.value // 10)
  run.wait_until(lambda: run.steps_begun() >= step)
  time.sleep(rng.uniform(0.0, 0.03))
  run.kill()
  return f'before step {step}'


def _kill_while_saving(run, rng):
  after = rng.randrange(0, _STEPS.value - 10)
  run.wait_until(lambda: run.steps_begun() > after)
  run.wait_until(lambda: list(run.folder.glob('checkpoints/*_temp*')))
  time.sleep(rng.uniform(0.0, 0.004))
  run.kill()
  left = [path.name for path in run.folder.glob('checkpoints/*temp*')]
  return f'after step {after}, left {left or "nothing"}'


def _sigterm(run, rng):
  step = rng.randrange(1, _STEPS.value - 1)
  run.wait_until(lambda: run.steps_begun() > step)
  run.processes[0].send_signal(signal.SIGTERM)
  (code,) = run.wait()
  if code or 'steps, which are saved' not in run.text():
    raise AssertionError(f'SIGTERM: ended with {code}\n{run.text()}')
  return f'at step {step}'


def _damage(run, rng):
  step = rng.randrange(16, _STEPS.value - 1)
  run.wait_until(lambda: run.steps_begun() > step)
  run.kill()
  run.wait()
  suffix = rng.choice(['.data-00000-of-00001', '.index'])
  path = pathlib.Path(f'{run.newest()}{suffix}')
  content = bytearray(path.read_bytes())
  how = rng.choice(['flipped', 'truncated'])
  place = rng.randrange(len(content))
  if how == 'flipped':
    content[place] ^= 1 << rng.randrange(8)
  else:
    del content[place:]
  path.write_bytes(content)
  return f'{path.name} {how} at byte {place}'


def _damage_list(run, rng):
  step = rng.randrange(16, _STEPS.value - 1)
  run.wait_until(lambda: run.steps_begun() > step)
  run.kill()
  run.wait()
  path = run.folder / 'checkpoints' / 'checkpoint'
  content = path.read_bytes()
  path.write_bytes(content[: rng.randrange(len(content))])
  return f'list of checkpoints truncated at step {step}'


def _full_disk(run, rng):
  """In a workdir that is a small file system of its own."""
  step = rng.randrange(8, _STEPS.value - 10)
  run.wait_until(lambda: run.steps_begun() > step)
  ballast = run.folder / 'ballast'
  with contextlib.suppress(OSError), ballast.open('wb') as f:
    while True:
      f.write(bytes(2**12))
      f.flush()
  (code,) = run.wait()
  if not code or 'Cannot write to' not in run.text():
    raise AssertionError(f'Full disk: ended with {code}\n{run.text()}')
  ballast.unlink()
  return f'at step {step}'


def _bad_image(run, rng):
  """A file that was good when the run began."""
  step = rng.randrange(4, _STEPS.value // 2)
  paths = sorted(run.data.glob('*.png'))
  good = {path: path.read_bytes() for path in paths}
  run.wait_until(lambda: run.steps_begun() > step)
  for path, content in good.items():
    path.write_bytes(content[: rng.randrange(len(content) - 20)])
  (code,) = run.wait()
  if not code:
    raise AssertionError(f'Bad images: ended with {code}\n{run.text()}')
  run.start()
  (code,) = run.wait()
  if not code or f'{len(paths)} bad images' not in run.text():
    raise AssertionError(f'Bad images: ended with {code}\n{run.text()}')
  for path, content in good.items():
    path.write_bytes(content)
  return f'all truncated at step {step}, named, and mended'


def _kill_one_of_two(run, rng, index):
  step = rng.randrange(1, _STEPS.value - 1)
  run.wait_until(lambda: run.steps_begun() > step)
  run.kill(index)
  began = time.monotonic()
  codes = run.wait()
  seconds = time.monotonic() - began
  if not all(codes):
    raise AssertionError(f'Of two, one lost: {codes}\n{run.text()}')
  return f'at step {step}, the other ended after {seconds:.0f} s'


def _kill_worker(run, rng):
  return _kill_one_of_two(run, rng, 1)


def _kill_chief(run, rng):
  return _kill_one_of_two(run, rng, 0)


def _sigterm_of_one(run, rng):
  """All workers save and end when one of them is asked to."""
  step = rng.randrange(1, _STEPS.value - 2)
  run.wait_until(lambda: run.steps_begun() > step)
  run.processes[1].send_signal(signal.SIGTERM)
  codes = run.wait()
  if any(codes) or run.text().count('steps, which are saved') != 2:
    raise AssertionError(f'SIGTERM of one: {codes}\n{run.text()}')
  return f'at step {step}'


def _stop_one_of_two(run, rng):
  """A worker that hangs; the scheduler kills it in the end."""
  step = rng.randrange(1, _STEPS.value - 1)
  run.wait_until(lambda: run.steps_begun() > step)
  run.processes[1].send_signal(signal.SIGSTOP)
  began = time.monotonic()
  try:
    code = run.processes[0].wait(timeout=_PATIENCE)
  finally:
    seconds = time.monotonic() - began
    run.kill(1)
  if not code:
    raise AssertionError(f'Of two, one hung: {code}\n{run.text()}')
  return f'at step {step}, the other ended after {seconds:.0f} s'


# Name: what is done, number of processes.
_FAULTS = {
    'kill -9 at a step': (_kill_at_step, 1),
    'kill -9 while saving': (_kill_while_saving, 1),
    'kill -9 in evaluation': (_kill_in_evaluation, 1),
    'kill -9 at the start': (_kill_at_start, 1),
    'SIGTERM': (_sigterm, 1),
    'checkpoint damaged': (_damage, 1),
    'list damaged': (_damage_list, 1),
    'disk full': (_full_disk, 1),
    'images damaged': (_bad_image, 1),
    'kill -9 of a worker': (_kill_worker, 2),
    'kill -9 of the chief': (_kill_chief, 2),
    'SIGTERM of a worker': (_sigterm_of_one, 2),
    'worker hangs': (_stop_one_of_two, 2),
}


def _lines(path):
  """Complete lines of a file."""
  if not path.exists():
    return []
  text = path.read_text()
  return text[: text.rfind('\n') + 1].splitlines()


def _write_images(folder):
  """Numbered images, otherwise noise."""
  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  for i in range(_IMAGES):
    image = rng.normal(128, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
    image[0, 0, 0] = i
    (folder / f'{i:02}.png').write_bytes(tf.io.encode_png(image).numpy())


def _log(folder):
  with (folder / 'training_log.csv').open() as f:
    return [
        {name: x for name, x in row.items() if name != 'seconds'}
        for row in csv.DictReader(f)
    ]


def _used(folder):
  """Numbers of the images that made each step, the last time it was taken."""
  steps = {}
  for path in sorted(folder.glob('used.*.csv')):
    own = {}
    for line in _lines(path):
      step, numbers = line.split(',')
      own[int(step)] = [int(x) for x in numbers.split()]
    for step, numbers in own.items():
      steps.setdefault(step, []).extend(numbers)
  return [steps[step] for step in range(_STEPS.value)]


def _check(folder, want):
  """Raises an `AssertionError` unless two runs left the same."""
  if _log(folder) != _log(want):
    raise AssertionError('The log is another one.')
  with np.load(folder / 'weights.npz') as a, np.load(want / 'weights.npz') as b:
    if any(np.any(a[name] != b[name]) for name in b.files):
      raise AssertionError('The weights are other ones.')
  used = _used(folder)
  if used != _used(want):
    raise AssertionError('Other images were used.')
  order = [number for batch in used for number in batch]
  size = _IMAGES - _IMAGES // _HELD_OUT_EVERY
  for i in range(0, len(order) - size + 1, size):
    if len(set(order[i : i + size])) != size:
      raise AssertionError(f'Epoch {i // size} has an image twice.')


def _mount(folder):
  """A small file system in memory, if this user may mount one."""
  folder.mkdir(parents=True)
  return not subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder],
      check=False,
      capture_output=True,
  ).returncode


def _round(kind, folder, straight, rng):
  """Breaks a run, starts it again, and compares; returns what was done."""
  inject, workers = _FAULTS[kind]
  data = folder / 'data'
  shutil.copytree(straight / 'data', data)
  run = Run(folder / 'run', data, workers)
  run.data = data
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
    _check(run.folder, straight / f'run_{workers}')
    return what
  finally:
    for process in run.processes:
      process.kill()
    if mounted:
      subprocess.run(['umount', '-l', run.folder], check=False)


def main(argv):
  """Runs all rounds, prints the table."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  kinds = _KINDS.value or list(_FAULTS)
  rng = random.Random(_SEED.value)
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    straight = folder / 'straight'
    _write_images(straight / 'data')
    for workers in sorted({_FAULTS[kind][1] for kind in kinds}):
      run = Run(straight / f'run_{workers}', straight / 'data', workers)
      run.start()
      if any(run.wait()):
        raise SystemExit(f'The uninterrupted run failed:\n{run.text()}')
    for i in range(_ROUNDS.value):
      kind = kinds[i % len(kinds)]
      began = time.monotonic()
      try:
        what, ok = _round(kind, folder / str(i), straight, rng), True
      except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
        what, ok = str(e), False
      rows.append({'fault': kind, 'what': what, 'ok': ok})
      print(
          f'{i + 1:3} {"same" if ok else "DIFFERENT":<10}{kind:<24}'
          f'{time.monotonic() - began:5.0f} s  {what}',
          flush=True,
      )
  bad = sum(not row['ok'] for row in rows)
  print(f'{len(rows)} rounds, {bad} of them not as if nothing had happened.')
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).write_text(json.dumps(rows, indent=2) + '\n')
  if bad:
    raise SystemExit(1)


if __name__ == '__main__':
  app.run(main)
