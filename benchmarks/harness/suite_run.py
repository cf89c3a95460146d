"""One suite of benchmarks, and where it finds what it needs.

A module in `measures` has `measure(settings, seed, context)`, which returns a
dictionary of values, or `measure_cases(cases, context, add)`, which calls
`add(case, values)`; and maybe `failures(values)`, a list of what went wrong.
"""

import importlib
import pathlib
import time
from typing import NamedTuple

from absl import logging
import suites

from harness import records


class Context(NamedTuple):
  """Where things are on this machine; no part of a result."""

  photos: str | None = None
  fashion_mnist: str | None = None
  peers: str = ''
  workdir: str | None = None

  def folder(self, name):
    """A folder of data as a path; an error if the flag is missing."""
    if getattr(self, name) is None:
      raise ValueError(f'--{name} is needed: a folder.')
    return pathlib.Path(getattr(self, name))


def run_suite(name, overrides, output, context):
  """Measures what is missing.

  Returns:
    The file of results, and a list of strings: what failed.
  """
  logging.set_verbosity(logging.WARNING)
  path = pathlib.Path(output) / f'{name}.jsonl'
  path.parent.mkdir(parents=True, exist_ok=True)
  results = records.Records(path)
  cases = [c for c in suites.cases(name, overrides) if c not in results]
  failed, began = [], time.monotonic()

  def add(case, values):
    results.add(case, values)
    check = getattr(measures[case['measure']], 'failures', lambda _: [])
    failed.extend(f'{name}: {failure}' for failure in check(values))
    seconds = time.monotonic() - began
    print(f'{seconds:7.0f} s  {name}: {_what_varies(case, cases)}', flush=True)

  measures = {}
  for measure in dict.fromkeys(case['measure'] for case in cases):
    module = importlib.import_module(f'measures.{measure}')
    measures[measure] = module
    own = [case for case in cases if case['measure'] == measure]
    if hasattr(module, 'measure_cases'):
      module.measure_cases(own, context, add)
      continue
    for case in own:
      add(case, module.measure(case['settings'], case['seed'], context))
  return path, failed


def _what_varies(case, cases):
  """The settings that tell a case from others of its measure."""
  own, *others = [
      {**c['settings'], 'seed': c['seed']}
      for c in (case, *cases)
      if c['measure'] == case['measure']
  ]
  varying = [
      f'{key} {value}'
      for key, value in own.items()
      if any(other.get(key) != value for other in others)
  ]
  return ', '.join(varying) or case['measure']
