"""Runs benchmarks, and adds what they measure to files of results.

  python benchmarks/run.py --list
  python benchmarks/run.py --suites=train_step --output=my_results
  python benchmarks/run.py --suites=stability --set=num_steps=4 --set=seed=0,1

Each suite of `suites.py` has a file of its own in the output, `SUITE.jsonl`; a
line is a case (see `harness/records.py`). Cases that are there already are not
measured again, so that what was cut short goes on, and more can be added to it.
`python benchmarks/report` shows in docs/ what is in `benchmarks/results`.

`--set` changes settings. A virtual environment for normflows is made when it is
needed. Tables are printed at the end; the exit status is 1 if a case failed
what it must hold, such as a bound.

A module in `measures` has `measure(settings, seed, context)`, which returns a
dictionary of values, or `measure_cases(cases, context, add)`, which calls
`add(case, values)`; and maybe `failures(values)`, a list of what went wrong.
"""

import argparse
from concurrent import futures
import importlib
import multiprocessing
import os
import pathlib
import sys
import time
from typing import NamedTuple

from absl import logging
from harness import records
import suites


class FlagError(ValueError):
  """A flag is missing or wrong."""


class Context(NamedTuple):
  """Where things are on this machine; no part of a result."""

  photos: str | None = None
  fashion_mnist: str | None = None
  peers: str = ''
  workdir: str | None = None

  def folder(self, name):
    """A folder of data as a path; an error if the flag is missing."""
    if getattr(self, name) is None:
      raise FlagError(f'--{name} is needed: a folder.')
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
  for measure in dict.fromkeys(case['measure'] for case in cases):
    module = importlib.import_module(f'measures.{measure}')
    own = [case for case in cases if case['measure'] == measure]
    check = getattr(module, 'failures', lambda _: [])

    def add(case, values, own=own, check=check):
      results.add(case, values)
      failed.extend(f'{name}: {failure}' for failure in check(values))
      seconds = time.monotonic() - began
      print(f'{seconds:7.0f} s  {name}: {_what_varies(case, own)}', flush=True)

    if hasattr(module, 'measure_cases'):
      module.measure_cases(own, context, add)
      continue
    for case in own:
      add(case, module.measure(case['settings'], case['seed'], context))
  return path, failed


def _what_varies(case, cases):
  """The settings that tell a case from others of its measure."""
  own, *others = [{**c['settings'], 'seed': c['seed']} for c in (case, *cases)]
  varying = [
      f'{key} {value}'
      for key, value in own.items()
      if any(other.get(key) != value for other in others)
  ]
  return ', '.join(varying) or case['measure']


def main():
  """Runs the suites, each in a process of its own."""
  # All arms have TensorFlow's fast kernels, on every processor.
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
  parser = argparse.ArgumentParser(
      description=__doc__,
      formatter_class=argparse.RawTextHelpFormatter,
      usage='%(prog)s --suites=NAME,NAME [flags]',
  )
  for name, text, settings in (
      ('suites', 'What to run, with commas.', {'default': ''}),
      ('list', 'Only say which suites there are.', {'action': 'store_true'}),
      ('output', 'Folder of the results.', {'default': 'results'}),
      ('set', 'SETTING=VALUE, of all suites run.',
       {'action': 'append', 'default': []}),
      ('photos', 'Folder of photographs.', {}),
      ('fashion_mnist', 'Folder of the idx files of Fashion-MNIST.', {}),
      ('peers', 'Virtual environment of normflows; "" for none.',
       {'default': '.venv-peers'}),
      ('workdir', 'Where a long run can go on; by default nowhere.', {}),
  ):
    parser.add_argument(f'--{name}', help=text, **settings)
  flags = parser.parse_args()
  if flags.list or not flags.suites:
    for name, suite in suites.SUITES.items():
      print(f'{name:<22}{len(suites.cases(name)):>5} cases  {suite.about}')
    return 0
  names = flags.suites.split(',')
  for name in names:
    if name not in suites.SUITES:
      parser.error(f'--suites: there is no {name!r}; see --list.')
    try:
      suites.cases(name, flags.set)
    except ValueError as e:
      parser.error(f'--set: {e}')
  for name in ('photos', 'fashion_mnist'):
    value = getattr(flags, name)
    if value is not None and not pathlib.Path(value).is_dir():
      parser.error(f'--{name} must be a folder that exists, got {value!r}.')
  context = Context(*(getattr(flags, name) for name in Context._fields))
  failed = []
  # What a suite changes in TensorFlow ends with its process.
  with futures.ProcessPoolExecutor(
      1, multiprocessing.get_context('spawn'), max_tasks_per_child=1
  ) as pool:
    for name in names:
      try:
        path, failures = pool.submit(
            run_suite, name, flags.set, flags.output, context
        ).result()
      except FlagError as e:
        parser.error(str(e))
      failed += failures
      from report import tables

      print(f'\n{tables.of_suite(records.read(path))}\n\nWritten: {path}')
  for failure in failed:
    print(f'FAILED: {failure}')
  return 1 if failed else 0


if __name__ == '__main__':
  sys.exit(main())
