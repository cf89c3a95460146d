"""A short version of the benchmark of that name.

Damaged checkpoints and images, full disks and SIGTERM are in `test_resuming`,
`test_image_dataset` and `test_train_image_flow`, in one process.
"""

import os
import subprocess
import sys

from support import programs


def test_a_killed_run_ends_like_an_unbroken_one(tmp_path):
  script = programs.ROOT / 'benchmarks' / 'run.py'
  result = subprocess.run(
      [
          sys.executable,
          script,
          '--suites=fault_injection',
          f'--output={tmp_path / "results"}',
          '--set=rounds=1',
          '--set=steps=20',
          '--set=kinds=kill -9 while saving',
      ],
      capture_output=True,
      text=True,
      timeout=programs.PATIENCE,
      check=False,
      env={
          **os.environ,
          'TF_CPP_MIN_LOG_LEVEL': '3',
          'PYTHONPATH': str(programs.ROOT),
          'TMPDIR': str(tmp_path),
      },
  )
  assert result.returncode == 0, result.stdout + result.stderr[-2000:]
  assert result.stdout.count('same') == 1, result.stdout
