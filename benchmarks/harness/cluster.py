"""Programs of ours, alone or as workers of a cluster on this machine."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

__all__ = ['environments', 'start']

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def environments(count):
  """Dictionaries of variables, with `TF_CONFIG` if there are several."""
  if count == 1:
    return [{}]
  with contextlib.ExitStack() as stack:
    # All open at once, so that no port is given twice.
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for s in sockets:
      s.bind(('localhost', 0))
    workers = [f'localhost:{s.getsockname()[1]}' for s in sockets]
  tasks = [{'type': 'worker', 'index': i} for i in range(count)]
  return [
      {'TF_CONFIG': json.dumps({'cluster': {'worker': workers}, 'task': task})}
      for task in tasks
  ]


def start(command, outputs):
  """Starts a Python program, a process for each file that takes its output."""
  path = [str(_ROOT / name) for name in ('', 'tests', 'benchmarks')]
  own = {'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONPATH': os.pathsep.join(path)}
  processes = []
  for output, variables in zip(
      outputs, environments(len(outputs)), strict=True
  ):
    with output.open('a') as f:
      processes.append(subprocess.Popen(
          [sys.executable, *command], stdout=f, stderr=subprocess.STDOUT,
          env={**os.environ, **own, **variables},
      ))
  return processes
