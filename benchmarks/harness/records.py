"""Results: one JSON object a line, with all that is needed to read it again.

Fields of a record:

* suite, measure: names (see `suites.py`);
* settings: dictionary of what was asked for;
* seed: of weights, order and noise;
* commit: that was checked out;
* machine: dictionary of `cores` and `processor`;
* versions: dictionary of Python's and packages' versions;
* values: what was measured;
* note: what else there is to know, if anything.

What is not known of an old result is `null`.
"""

import importlib.metadata
import json
import math
import os
import pathlib
import platform
import re
import subprocess
import threading

__all__ = ['Records', 'finite', 'read']

# Those that are there: TFP is a release or its nightly.
_PACKAGES = ('numpy', 'tensorflow', 'tensorflow-probability', 'tfp-nightly')


def _environment():
  """The fields `commit`, `machine` and `versions` of a new record."""
  result = subprocess.run(
      ['git', 'describe', '--always', '--dirty', '--exclude=*'],
      cwd=pathlib.Path(__file__).parent,
      capture_output=True,
      text=True,
      check=False,
  )
  installed = {
      distribution.metadata['Name']: distribution.version
      for distribution in importlib.metadata.distributions()
  }
  return {
      'commit': result.stdout.strip() or None,
      'machine': {'cores': os.cpu_count(), 'processor': _processor()},
      'versions': {
          'python': platform.python_version(),
          **{
              name: installed[name] for name in _PACKAGES if name in installed
          },
      },
  }


def _processor():
  """The model's name where Linux says it, else the architecture."""
  path = pathlib.Path('/proc/cpuinfo')
  text = path.read_text(encoding='utf-8') if path.exists() else ''
  model = re.search(r'^model name\s*: (.*)', text, re.MULTILINE)
  return model[1].strip() if model else platform.machine()


def finite(value):
  """A copy with `None` for what is not finite, and no NumPy in it."""
  if isinstance(value, dict):
    return {str(key): finite(item) for key, item in value.items()}
  if hasattr(value, 'tolist'):
    value = value.tolist()
  if isinstance(value, (list, tuple)):
    return [finite(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def read(path):
  """The records of a file; none if there is no such file."""
  path = pathlib.Path(path)
  if not path.exists():
    return []
  return [json.loads(x) for x in path.read_text('utf-8').splitlines()]


class Records:
  """A file of records that is added to, from several threads too."""

  def __init__(self, path):
    self._path = pathlib.Path(path)
    self._lock = threading.Lock()
    self._environment = _environment()
    self._done = set(map(_key, read(path)))

  def __contains__(self, case):
    return _key(case) in self._done

  def add(self, case, values):
    """Writes what was measured of a case at once; NaN as `null`."""
    record = {**case, **self._environment, 'values': finite(values)}
    with self._lock, self._path.open('a', encoding='utf-8') as f:
      f.write(json.dumps(record) + '\n')


def _key(case):
  """What makes two cases the same."""
  return json.dumps(
      [case['measure'], case['settings'], case['seed']], sort_keys=True
  )
