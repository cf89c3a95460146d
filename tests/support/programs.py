"""Runs example binaries in processes of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments):
  """Runs Python with arguments; `examples` and the package can be imported."""
  return subprocess.run(
      [sys.executable, *arguments],
      capture_output=True,
      text=True,
      timeout=300,
      check=False,
      env={
          **os.environ,
          'TF_CPP_MIN_LOG_LEVEL': '3',
          'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'examples')]),
      },
  )
