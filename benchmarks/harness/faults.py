"""What can break a training run.

Each fault waits for its moment in a run that was started, breaks it, and says
what it did.
"""

import contextlib
import functools
import pathlib
import signal
import time

from harness import breakable_run

__all__ = ['FAULTS']


def _reach_step(run, rng, first=1, spare=1):
  """Waits for a random step, at least `first`, with `spare` ones after it."""
  step = rng.randrange(first, run.num_steps - spare)
  run.wait_until(lambda: run.steps_begun() > step)
  return step


def _check(holds, what, run, codes):
  """Raises an error that shows what the processes printed."""
  if not holds:
    raise AssertionError(f'{what}: ended with {codes}\n{run.text()}')


def _kill_at_step(run, rng):
  step = _reach_step(run, rng)
  run.processes[0].kill()
  return f'at step {step}'


def _kill_at_start(run, rng):
  delay = rng.uniform(1.0, 8.0)
  time.sleep(delay)
  run.processes[0].kill()
  return f'after {delay:.1f} s'


def _kill_in_evaluation(run, rng):
  # The batch of an evaluated step is taken after the evaluation.
  step = 10 * rng.randrange(1, run.num_steps // 10)
  run.wait_until(lambda: run.steps_begun() >= step)
  time.sleep(rng.uniform(0.0, 0.03))
  run.processes[0].kill()
  return f'before step {step}'


def _kill_while_saving(run, rng):
  after = _reach_step(run, rng, 0, spare=10)
  run.wait_until(lambda: list(run.folder.glob('checkpoints/*_temp*')))
  time.sleep(rng.uniform(0.0, 0.004))
  run.processes[0].kill()
  left = [path.name for path in run.folder.glob('checkpoints/*temp*')]
  return f'after step {after}, left {left or "nothing"}'


def _sigterm(run, rng):
  """All workers save and end when the last one is asked to."""
  step = _reach_step(run, rng, spare=2)
  run.processes[-1].terminate()
  codes = run.wait()
  saved = run.text().count('steps, which are saved') == len(codes)
  _check(saved and not any(codes), 'SIGTERM', run, codes)
  return f'at step {step}'


def _damage(run, rng):
  _reach_step(run, rng, 16)
  run.processes[0].kill()
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
  step = _reach_step(run, rng, 16)
  run.processes[0].kill()
  run.wait()
  path = run.folder / 'checkpoints' / 'checkpoint'
  content = path.read_bytes()
  path.write_bytes(content[: rng.randrange(len(content))])
  return f'list of checkpoints truncated at step {step}'


def _full_disk(run, rng):
  """In a workdir that is a small file system of its own."""
  step = _reach_step(run, rng, 8, spare=10)
  ballast = run.folder / 'ballast'
  with contextlib.suppress(OSError), ballast.open('wb') as f:
    while True:
      f.write(bytes(2**12))
      f.flush()
  (code,) = run.wait()
  _check(code and 'Cannot write to' in run.text(), 'Full disk', run, code)
  ballast.unlink()
  return f'at step {step}'


def _bad_image(run, rng):
  """A file that was good when the run began."""
  step = rng.randrange(4, run.num_steps // 2)
  paths = sorted(run.data.glob('*.png'))
  good = {path: path.read_bytes() for path in paths}
  run.wait_until(lambda: run.steps_begun() > step)
  for path, content in good.items():
    path.write_bytes(content[: rng.randrange(len(content) - 20)])
  (code,) = run.wait()
  _check(code, 'Bad images', run, code)
  run.start()
  (code,) = run.wait()
  named = f'{len(paths)} bad images' in run.text()
  _check(code and named, 'Bad images', run, code)
  for path, content in good.items():
    path.write_bytes(content)
  return f'all truncated at step {step}, named, and mended'


def _lose_one_of_two(run, rng, index, number):
  """The other one ends by itself, whether it is killed or hangs (SIGSTOP)."""
  step = _reach_step(run, rng)
  run.processes[index].send_signal(number)
  began = time.monotonic()
  try:
    code = run.processes[1 - index].wait(timeout=breakable_run.PATIENCE)
  finally:
    seconds = time.monotonic() - began
    # A scheduler kills what hangs in the end.
    run.processes[index].kill()
  _check(code, 'Of two, one lost', run, code)
  return f'at step {step}, the other ended after {seconds:.0f} s'


_lose = functools.partial(functools.partial, _lose_one_of_two)

# Name: what is done, number of processes.
FAULTS = {
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
