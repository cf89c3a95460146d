"""Runs example binaries in processes of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
# Seconds after which a program hangs: on a busy machine it may well take ten
# times as long as alone.
PATIENCE = 1800.0


def run(*arguments):
  """Runs Python with arguments; `examples` and the package can be imported."""
  return subprocess.run(
      [sys.executable, *arguments],
      capture_output=True,
      text=True,
      timeout=PATIENCE,
      check=False,
      env={
          **os.environ,
          'TF_CPP_MIN_LOG_LEVEL': '3',
          'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'examples')]),
      },
  )
