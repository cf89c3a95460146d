"""Suites of measurements, and the cases that they consist of."""

import itertools
import json
from typing import NamedTuple

__all__ = ['Cases', 'Suite', 'expanded']


class Cases(NamedTuple):
  """All combinations of the values of a grid.

  A key `'a,b'` of the grid has a list of pairs.
  """

  measure: str  # a module in `measures`
  settings: dict
  grid: dict = {}  # noqa: RUF012
  seeds: tuple = (0,)


class Suite(NamedTuple):
  """Cases whose results are in one file, and what they are about."""

  about: str
  groups: list


def expanded(name, suite, overrides):
  """The cases of a suite.

  Args:
    name: Its name.
    suite: The `Suite`.
    overrides: Strings `setting=value`; a value is JSON, or text. A list may
      also be written with commas, and where settings go together, as in
      `arm,learning_rate=ours,1e-3;tfb.Glow,3e-3`, with semicolons.

  Returns:
    List of dictionaries `suite`, `measure`, `settings`, `seed`, no two alike.

  Raises:
    ValueError: If the suite has no such setting.
  """
  found, known = [], set()
  changes = [text.partition('=')[::2] for text in overrides]
  for measure, settings, grid, seeds in suite.groups:
    settings, grid = dict(settings), {**grid, 'seed': seeds}
    known |= {*settings, *grid}
    for key, text in changes:
      if key in grid:
        grid[key] = _values(key, text)
      elif key in settings:
        is_list = isinstance(settings[key], list)
        settings[key] = _values('', text) if is_list else _value(text)
    for combination in itertools.product(*grid.values()):
      chosen = dict(settings)
      for keys, values in zip(grid, combination, strict=True):
        values = values if ',' in keys else [values]
        chosen.update(zip(keys.split(','), values, strict=True))
      case = {'suite': name, 'measure': measure, 'seed': chosen.pop('seed')}
      # In JSON's types.
      case = json.loads(json.dumps({**case, 'settings': chosen}))
      # With overrides two groups may have the same cases.
      if case not in found:
        found.append(case)
  for key, _ in changes:
    if key not in known:
      raise ValueError(
          f'Suite {name!r} has no setting {key!r}, but {sorted(known)}.'
      )
  return found


def _values(key, text):
  """The list that a text means."""
  if text.startswith('['):
    return json.loads(text)
  if ',' in key:
    return [_values('', item) for item in text.split(';') if item]
  return [_value(item) for item in text.split(',')] if text else []


def _value(text):
  """JSON, `none`, or the text itself."""
  try:
    return json.loads('null' if text == 'none' else text)
  except json.JSONDecodeError:
    return text
