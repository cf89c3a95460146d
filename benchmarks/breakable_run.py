"""A small training run in processes of its own, to be broken."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import cluster

__all__ = ['PATIENCE', 'Run', 'complete_lines']

_SUBJECT = pathlib.Path(__file__).parent / 'arms' / 'fault_subject.py'
# Seconds in which something has to happen.
PATIENCE = 1800.0


class Run:
  """Processes that train in one directory."""

  def __init__(self, folder, data, num_steps, workers=1):
    """Describes the run, without starting it.

    Args:
      folder: The working directory.
      data: Folder of images.
      num_steps: Number of steps.
      workers: Number of processes.
    """
    self.folder = folder
    self.data = data
    self.num_steps = num_steps
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
                    self.data,
                    self.folder,
                    str(self.num_steps),
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
    return [p.wait(timeout=PATIENCE) for p in self.processes]

  def wait_until(self, condition):
    """Waits for a condition, or for the end of a process."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and all(p.poll() is None for p in self.processes):
      if time.monotonic() > deadline:
        raise TimeoutError(f'Nothing happens in {self.folder}:\n{self.text()}')
      time.sleep(0.002)

  def kill(self, index=0):
    """Kills a process for good."""
    self.processes[index].send_signal(signal.SIGKILL)

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
