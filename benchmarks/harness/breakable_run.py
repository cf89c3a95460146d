"""A small training run in processes of its own, to be broken."""

import os
import pathlib
import subprocess
import sys
import time

from harness import cluster

__all__ = ['PATIENCE', 'Run', 'complete_lines']

_BENCHMARKS = pathlib.Path(__file__).resolve().parents[1]
_SUBJECT = _BENCHMARKS / 'arms' / 'fault_subject.py'
# Seconds in which something has to happen.
PATIENCE = 1800.0


class Run:
  """Processes that train in one directory."""

  def __init__(self, folder, data, num_steps, workers=1):
    """Describes the run, without starting it."""
    self.folder = folder
    self.data = data
    self.num_steps = num_steps
    self.processes = []
    self._workers = workers
    self._outputs = [
        folder.parent / f'{folder.name}.{i}.txt' for i in range(workers)
    ]

  def start(self):
    """Starts all processes."""
    self.folder.parent.mkdir(parents=True, exist_ok=True)
    self.processes = []
    command = [
        sys.executable,
        _SUBJECT,
        'workers' if self._workers > 1 else 'default',
        self.data,
        self.folder,
        str(self.num_steps),
    ]
    environments = cluster.environments(self._workers)
    for path, variables in zip(self._outputs, environments, strict=True):
      variables = {
          **os.environ,
          'TF_CPP_MIN_LOG_LEVEL': '3',
          'PYTHONPATH': str(_BENCHMARKS.parent),
          **variables,
      }
      with path.open('a') as f:
        self.processes.append(
            subprocess.Popen(
                command, stdout=f, stderr=subprocess.STDOUT, env=variables
            )
        )

  def text(self):
    """What the processes have printed."""
    return ''.join(p.read_text(errors='replace') for p in self._outputs)

  def wait(self):
    """Waits for all processes; returns how they ended."""
    return [p.wait(timeout=PATIENCE) for p in self.processes]

  def wait_until(self, condition):
    """Waits for a condition, or for the end of a process."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and all(p.poll() is None for p in self.processes):
      if time.monotonic() > deadline:
        raise TimeoutError(f'Nothing happens in {self.folder}:\n{self.text()}')
      time.sleep(0.002)

  def steps_begun(self):
    """Number of steps whose batch was taken, at least."""
    return len(complete_lines(self.folder / 'used.0.csv'))

  def newest(self):
    """Name of the newest checkpoint."""
    paths = self.folder.glob('checkpoints/ckpt-*.index')
    return max(paths, key=lambda p: int(p.stem.split('-')[1])).with_suffix('')


def complete_lines(path):
  """Complete lines of a file."""
  if not path.exists():
    return []
  text = path.read_text()
  return text[: text.rfind('\n') + 1].splitlines()
