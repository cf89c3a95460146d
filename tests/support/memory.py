"""What memory grows by while something is done again and again."""

import gc
import os
import pathlib

import pytest

_STATM = pathlib.Path('/proc/self/statm')


def _resident():
  gc.collect()
  pages = int(_STATM.read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE')


def growth(action, warm_up, times):
  """Bytes of resident memory that are more after `times` than before.

  Args:
    action: Function without arguments.
    warm_up: How often it is called before.
    times: How often it is called then.

  Returns:
    Python `int`.
  """
  if not _STATM.exists():
    pytest.skip('Only Linux says how much memory is resident.')
  for _ in range(warm_up):
    action()
  before = _resident()
  for _ in range(times):
    action()
  return _resident() - before


def new_objects(action, warm_up, times):
  """How many more Python objects there are for each time; see `growth`.

  Of graphs, functions and what else Python holds on to.
  """
  for _ in range(warm_up):
    action()
  gc.collect()
  before = len(gc.get_objects())
  for _ in range(times):
    action()
  gc.collect()
  return (len(gc.get_objects()) - before) / times
