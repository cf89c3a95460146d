"""Breaks training runs in every way that comes to mind, and starts them again.

A round starts a small run, breaks it at a random moment, starts it again, and
compares what it leaves with an uninterrupted run: the log (all columns but the
clock), the weights to the last bit, and the images that every step used.
"""

import contextlib
import csv
import functools
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

from harness import cluster
import numpy as np
import tensorflow as tf

_SUBJECT = pathlib.Path(__file__).parents[1] / 'arms' / 'fault_subject.py'
_IMAGES, _HELD_OUT_EVERY = 40, 5
# Seconds in which something has to happen.
_PATIENCE = 1800.0


def measure(settings, seed, context):
  """See `run.py`; `kinds` of faults, all by default; at least 20 `steps`."""
  del context
  kinds = settings['kinds'] or list(_FAULTS)
  rng, steps, rows = random.Random(seed), settings['steps'], []
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    straight = folder / 'straight'
    _write_images(straight / 'data')
    for workers in sorted({_FAULTS[kind][1] for kind in kinds}):
      run = _Run(straight / f'run_{workers}', straight / 'data', steps, workers)
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


class _Run:
  """Processes that train in one directory."""

  def __init__(self, folder, data, num_steps, workers):
    self.folder, self.data, self.num_steps = folder, data, num_steps
    self.processes = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    self._outputs = [
        folder.with_name(f'{folder.name}.{i}.txt') for i in range(workers)
    ]

  def start(self):
    strategy = 'workers' if len(self._outputs) > 1 else 'default'
    self.processes = cluster.start(
        [_SUBJECT, strategy, self.data, self.folder, str(self.num_steps)],
        self._outputs,
    )

  def text(self):
    """What the processes have printed."""
    return ''.join(p.read_text(errors='replace') for p in self._outputs)

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

  def wait_for_step(self, step):
    """Waits until the batch of a step was taken, at least."""
    path = self.folder / 'used.0.csv'
    self.wait_until(lambda: len(_complete_lines(path)) > step)
    return f'at step {step}'

  def check(self, holds, what):
    """Raises an error that shows what the processes printed."""
    if not holds:
      codes = [p.returncode for p in self.processes]
      raise AssertionError(f'{what}: ended with {codes}\n{self.text()}')


def _complete_lines(path):
  text = path.read_text() if path.exists() else ''
  return text[: text.rfind('\n') + 1].splitlines()


def _round(kind, folder, straight, num_steps, rng):
  """Breaks a run, starts it again, and compares; returns what was done."""
  inject, workers = _FAULTS[kind]
  data = folder / 'data'
  shutil.copytree(straight / 'data', data)
  run = _Run(folder / 'run', data, num_steps, workers)
  mounted = kind == 'disk full' and _mount(run.folder)
  if kind == 'disk full' and not mounted:
    return 'not done: no file system may be mounted here'
  try:
    run.start()
    what = inject(run, rng)
    run.wait()
    run.start()
    run.check(not any(run.wait()), 'Started again')
    _compare(run.folder, straight / f'run_{workers}', num_steps)
    return what
  finally:
    for process in run.processes:
      process.kill()
    if mounted:
      subprocess.run(['umount', '-l', run.folder], check=False)


def _mount(folder):
  """A small file system in memory, if this user may mount one."""
  folder.mkdir(parents=True)
  command = ['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder]
  return not subprocess.run(
      command, check=False, capture_output=True
  ).returncode


def _compare(folder, want, num_steps):
  """Raises an `AssertionError` unless two runs left the same."""
  if _log(folder) != _log(want):
    raise AssertionError('The log is another one.')
  with np.load(folder / 'weights.npz') as a, np.load(want / 'weights.npz') as b:
    if not all(np.array_equal(a[name], b[name]) for name in b.files):
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
    return [{**row, 'seconds': None} for row in csv.DictReader(f)]


def _used(folder, num_steps):
  """Numbers of the images that made each step, the last time it was taken."""
  steps = {}
  for path in sorted(folder.glob('used.*.csv')):
    own = dict(line.split(',') for line in _complete_lines(path))
    for step, numbers in own.items():
      steps.setdefault(int(step), []).extend(numbers.split())
  return [steps[step] for step in range(num_steps)]


# The faults: each waits for its moment in a run that was started, breaks it,
# and says what it did.


def _reach_step(run, rng, first=1, spare=1):
  """Waits for a random step, at least `first`, with `spare` ones after it."""
  return run.wait_for_step(rng.randrange(first, run.num_steps - spare))


def _kill_at_step(run, rng):
  what = _reach_step(run, rng)
  run.processes[0].kill()
  return what


def _kill_at_start(run, rng):
  delay = rng.uniform(1.0, 8.0)
  time.sleep(delay)
  run.processes[0].kill()
  return f'after {delay:.1f} s'


def _kill_in_evaluation(run, rng):
  # The batch of an evaluated step is taken after the evaluation.
  step = 10 * rng.randrange(1, run.num_steps // 10)
  run.wait_for_step(step - 1)
  time.sleep(rng.uniform(0.0, 0.03))
  run.processes[0].kill()
  return f'before step {step}'


def _kill_while_saving(run, rng):
  what = _reach_step(run, rng, 0, spare=10)
  run.wait_until(lambda: list(run.folder.glob('checkpoints/*_temp*')))
  time.sleep(rng.uniform(0.0, 0.004))
  run.processes[0].kill()
  left = [path.name for path in run.folder.glob('checkpoints/*temp*')]
  return f'{what} or later, left {left or "nothing"}'


def _sigterm(run, rng):
  """All workers save and end when the last one is asked to."""
  what = _reach_step(run, rng, spare=2)
  run.processes[-1].terminate()
  codes = run.wait()
  saved = run.text().count('steps, which are saved') == len(codes)
  run.check(saved and not any(codes), 'SIGTERM')
  return what


def _damage(run, rng):
  _reach_step(run, rng, 16)
  run.processes[0].kill()
  run.wait()
  newest = tf.train.latest_checkpoint(run.folder / 'checkpoints')
  suffix = rng.choice(['.data-00000-of-00001', '.index'])
  path = pathlib.Path(f'{newest}{suffix}')
  content = bytearray(path.read_bytes())
  how = rng.choice(['flipped', 'truncated'])
  place = rng.randrange(len(content))
  if how == 'flipped':
    content[place] ^= 1 << rng.randrange(8)
  else:
    del content[place:]
  path.write_bytes(content)
  return f'{path.name} {how} at byte {place}'


def _truncate(path, rng, spare=0):
  content = path.read_bytes()
  path.write_bytes(content[: rng.randrange(len(content) - spare)])


def _damage_list(run, rng):
  what = _reach_step(run, rng, 16)
  run.processes[0].kill()
  run.wait()
  _truncate(run.folder / 'checkpoints' / 'checkpoint', rng)
  return f'list of checkpoints truncated {what}'


def _full_disk(run, rng):
  """In a workdir that is a small file system of its own."""
  what = _reach_step(run, rng, 8, spare=10)
  ballast = run.folder / 'ballast'
  with contextlib.suppress(OSError), ballast.open('wb') as f:
    while True:
      f.write(bytes(2**12))
      f.flush()
  run.check(any(run.wait()) and 'Cannot write to' in run.text(), 'Full disk')
  ballast.unlink()
  return what


def _bad_image(run, rng):
  """Files that were good when the run began."""
  step = rng.randrange(4, run.num_steps // 2)
  good = {path: path.read_bytes() for path in sorted(run.data.glob('*.png'))}
  what = run.wait_for_step(step)
  for path in good:
    _truncate(path, rng, spare=20)
  run.check(any(run.wait()), 'Bad images')
  run.start()
  named = f'{len(good)} bad images'
  run.check(any(run.wait()) and named in run.text(), 'Bad images')
  for path, content in good.items():
    path.write_bytes(content)
  return f'all truncated {what}, named, and mended'


def _lose_one_of_two(run, rng, index, number):
  """The other one ends by itself, whether it is killed or hangs (SIGSTOP)."""
  what = _reach_step(run, rng)
  run.processes[index].send_signal(number)
  began = time.monotonic()
  try:
    code = run.processes[1 - index].wait(timeout=_PATIENCE)
  finally:
    seconds = time.monotonic() - began
    # A scheduler kills what hangs in the end.
    run.processes[index].kill()
  run.check(code, 'Of two, one lost')
  return f'{what}, the other ended after {seconds:.0f} s'


_lose = functools.partial(functools.partial, _lose_one_of_two)

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
    'kill -9 of a worker': (_lose(index=1, number=signal.SIGKILL), 2),
    'kill -9 of the chief': (_lose(index=0, number=signal.SIGKILL), 2),
    'SIGTERM of a worker': (_sigterm, 2),
    'worker hangs': (_lose(index=1, number=signal.SIGSTOP), 2),
}
