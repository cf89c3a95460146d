"""Runs benchmarks, and adds what they measure to files of results.

  python benchmarks/run.py --list
  python benchmarks/run.py --suites=train_step --output=my_results
  python benchmarks/run.py --suites=stability --set=num_steps=4 --set=seed=0,1

Each suite of `suites.py` has a file of its own in the output, `SUITE.jsonl`; a
line is a case (see `harness/records.py`). Cases that are there already are not
measured again, so that what was cut short goes on, and more can be added to it.
`--set` changes settings. Other virtual environments are made when they are
needed. Tables are printed at the end; the exit status is 1 if a case failed
what it must hold, such as a bound.

A module in `measures` has `measure(settings, seed, context)`, which returns a
dictionary of values, or `measure_cases(cases, context, add)`, which calls
`add(case, values)`; and maybe `failures(values)`, a list of what went wrong.
"""

from concurrent import futures
import importlib
import multiprocessing
import pathlib
import time
from typing import NamedTuple

from absl import app
from absl import flags
from absl import logging
from harness import records
import suites

_SUITES = flags.DEFINE_list('suites', [], 'What to run.')
_LIST = flags.DEFINE_bool('list', False, 'Only say which suites there are.')
_OUTPUT = flags.DEFINE_string('output', 'results', 'Folder of the results.')
_SET = flags.DEFINE_multi_string('set', [], 'SETTING=VALUE, of all suites run.')
_PHOTOS = flags.DEFINE_string('photos', None, 'Folder of photographs.')
_FASHION_MNIST = flags.DEFINE_string(
    'fashion_mnist', None, 'Folder of the idx files of Fashion-MNIST.'
)
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of normflows; "" for none.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Where a long run can go on; by default nowhere.'
)


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

  Args:
    name: Of the suite.
    overrides: See `suites.cases`.
    output: Folder of the results.
    context: `Context`.

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

  measures = {
      m: importlib.import_module(f'measures.{m}')
      for m in dict.fromkeys(case['measure'] for case in cases)
  }
  for measure, module in measures.items():
    own = [case for case in cases if case['measure'] == measure]
    if hasattr(module, 'measure_cases'):
      module.measure_cases(own, context, add)
      continue
    for case in own:
      add(case, module.measure(case['settings'], case['seed'], context))
  return path, failed


def _what_varies(case, cases):
  """The settings that tell a case from others of its measure."""
  others = [c for c in cases if c['measure'] == case['measure']]
  varying = {
      key: value
      for key, value in {**case['settings'], 'seed': case['seed']}.items()
      if any({**c['settings'], 'seed': c['seed']}[key] != value for c in others)
  }
  return ', '.join(f'{k} {v}' for k, v in varying.items()) or case['measure']


def main(argv):
  """Runs the suites, each in a process of its own."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  if _LIST.value or not _SUITES.value:
    for name, suite in suites.SUITES.items():
      print(f'{name:<22}{len(suites.cases(name)):>5} cases  {suite.about}')
    return 0
  context = Context(
      _PHOTOS.value, _FASHION_MNIST.value, _PEERS.value, _WORKDIR.value
  )
  for name in _SUITES.value:
    if name not in suites.SUITES:
      raise app.UsageError(f'--suites: there is no {name!r}; see --list.')
    try:
      suites.cases(name, _SET.value)
    except ValueError as e:
      raise app.UsageError(f'--set: {e}') from e
  failed = []
  for name in _SUITES.value:
    # What a suite changes in TensorFlow ends with it.
    with futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn')
    ) as pool:
      path, failures = pool.submit(
          run_suite, name, _SET.value, _OUTPUT.value, context
      ).result()
    failed += failures
    from report import tables

    print(f'\n{tables.of_suite(records.read(path))}\n\nWritten: {path}')
  for failure in failed:
    print(f'FAILED: {failure}')
  return 1 if failed else 0


if __name__ == '__main__':
  app.run(main)
