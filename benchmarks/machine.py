"""What a benchmark ran on."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess

__all__ = ['commit', 'description']

_PACKAGES = ('tensorflow', 'tensorflow-probability')


def commit():
  """The commit that is checked out; `None` if there is none."""
  result = subprocess.run(
      ['git', 'rev-parse', '--short', 'HEAD'],
      cwd=pathlib.Path(__file__).parent,
      capture_output=True,
      text=True,
      check=False,
  )
  return result.stdout.strip() or None


def description():
  """Processor, cores and versions, in words."""
  versions = [
      f'{name} {importlib.metadata.version(name)}' for name in _PACKAGES
  ]
  return ', '.join([
      f'{os.cpu_count()} cores of {_processor()}',
      f'Python {platform.python_version()}',
      *versions,
  ])


def _processor():
  """The model's name where Linux says it, else the architecture."""
  path = pathlib.Path('/proc/cpuinfo')
  if path.exists():
    for line in path.read_text(encoding='utf-8').splitlines():
      key, _, value = line.partition(':')
      if key.strip() == 'model name':
        return value.strip()
  return platform.machine()
