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
"""

from concurrent import futures
import multiprocessing

from absl import app
from absl import flags
from harness import records
from harness import suite_run
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


def main(argv):
  """Runs the suites, each in a process of its own."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  if _LIST.value or not _SUITES.value:
    for name, suite in suites.SUITES.items():
      print(f'{name:<22}{len(suites.cases(name)):>5} cases  {suite.about}')
    return 0
  context = suite_run.Context(
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
          suite_run.run_suite, name, _SET.value, _OUTPUT.value, context
      ).result()
    failed += failures
    from report import tables

    print(f'\n{tables.of_suite(records.read(path))}\n\nWritten: {path}')
  for failure in failed:
    print(f'FAILED: {failure}')
  return 1 if failed else 0


if __name__ == '__main__':
  app.run(main)
