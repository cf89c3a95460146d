"""A short version of benchmarks/fault_injection.py.

Damaged checkpoints are in `test_resuming`.
"""

import os
import subprocess
import sys

from support import programs


def test_broken_runs_end_like_unbroken_ones(tmp_path):
  script = programs.ROOT / 'benchmarks' / 'fault_injection.py'
  result = subprocess.run(
      [
          sys.executable,
          script,
          '--rounds=2',
          '--steps=20',
          '--kinds=kill -9 while saving,images damaged',
      ],
      capture_output=True,
      text=True,
      timeout=600,
      check=False,
      env={
          **os.environ,
          'TF_CPP_MIN_LOG_LEVEL': '3',
          'PYTHONPATH': str(programs.ROOT),
          'TMPDIR': str(tmp_path),
      },
  )
  assert result.returncode == 0, result.stdout + result.stderr[-2000:]
  assert result.stdout.count('same') == 2, result.stdout
