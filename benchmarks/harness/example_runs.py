"""Runs of the example program that trains image flows."""

import pathlib
import subprocess
import sys

__all__ = ['run']

_PROGRAM = pathlib.Path(__file__).parents[2] / 'examples/train_image_flow.py'


def run(workdir, **flags):
  """Runs the program; returns what it prints, which is shown, too."""
  command = [sys.executable, _PROGRAM, f'--workdir={workdir}']
  command += [f'--{name}={value}' for name, value in flags.items()]
  lines = []
  with subprocess.Popen(
      command, stdout=subprocess.PIPE, text=True
  ) as process:
    for line in process.stdout:
      print(line, end='', flush=True)
      lines.append(line)
  if process.returncode:
    raise RuntimeError(f'{command} ended with code {process.returncode}.')
  return ''.join(lines)
