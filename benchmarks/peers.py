"""The environment of the packages that benchmarks compare with."""

import pathlib
import subprocess
import sys

__all__ = ['python_of_peers']

_PACKAGES = ['torch==2.13.0', 'normflows==1.7.3', 'numpy<2.4']


def python_of_peers(path):
  """Python of the peers' virtual environment; made if it is missing.

  Args:
    path: Directory of the environment.

  Returns:
    Path of the interpreter.
  """
  python = pathlib.Path(path) / 'bin' / 'python'
  if not python.exists():
    print(f'Installing {_PACKAGES} in {path} ...', flush=True)
    subprocess.run([sys.executable, '-m', 'venv', path], check=True)
    subprocess.run(
        [python, '-m', 'pip', 'install', '--quiet', *_PACKAGES], check=True
    )
  return python
