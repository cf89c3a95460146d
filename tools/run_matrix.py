"""Runs the tests with other versions of Python, TensorFlow, TFP and NumPy.

Each row of `ROWS` has a virtual environment of its own, in `--folder`, made
once. Rows whose Python this machine lacks are named and left out. Prints a
table of what passed and writes it, with the commit and the machine, as JSON.

```
python tools/run_matrix.py                       # all rows
python tools/run_matrix.py --rows=oldest,nightly -- -m "not slow"
```

What follows `--` is for pytest. Tests of our own tools (documentation,
notebook, packaging, types) are left out: they need the locked versions.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOOLS = ('absl-py', 'matplotlib', 'pillow', 'pytest', 'pytest-xdist',
         'scikit-learn', 'setuptools')
# Tests of the documentation and the package, not of the library.
LEFT_OUT = ('test_docs.py', 'test_notebook.py', 'test_packaging.py',
            'test_types.py')


@dataclasses.dataclass(frozen=True)
class Row:
  """Versions that go together.

  Attributes:
    name: of the row, and of its virtual environment.
    python: for example `'3.12'`; `python3.12` must be on the path.
    packages: what pip installs, beside `TOOLS`.
  """

  name: str
  python: str
  packages: tuple[str, ...]


ROWS = (
    # The oldest versions that setup.py allows.
    Row('oldest', '3.11', (
        'tensorflow==2.18.1',
        'tf-keras==2.18.0',
        'tensorflow-probability==0.25.0',
    )),
    Row('python-3.12', '3.12', (
        'tensorflow==2.19.1',
        'tf-keras==2.19.0',
        'tensorflow-probability==0.25.0',
    )),
    # TFP 0.25 breaks on NumPy 2.4.
    Row('python-3.13', '3.13', (
        'tensorflow==2.21.0',
        'tf-keras==2.21.0',
        'tensorflow-probability==0.25.0',
        'numpy<2.4',
    )),
    # What `TFP_NIGHTLY=1 pip install .` gives; the date is pinned.
    Row('nightly', '3.12', (
        'tensorflow==2.21.0',
        'tf-keras==2.21.0',
        'tfp-nightly==0.26.0.dev20261027',
        'numpy==2.4.6',
    )),
)


def interpreter(row: Row) -> str | None:
  """A path of the row's Python that runs, or None."""
  path = shutil.which(f'python{row.python}')
  if path is None:
    return None
  # A launcher of pyenv may lie there for a version that is not active.
  code = 'import sys; print(sys.executable)'
  run = subprocess.run([path, '-c', code], capture_output=True, text=True,
                       check=False)
  return run.stdout.strip() if run.returncode == 0 else None


def make_environment(row: Row, python: str, folder: pathlib.Path) -> str:
  """Makes the row's environment if it is not complete; its Python."""
  environment = folder / row.name
  complete = environment / 'installed.txt'
  wanted = '\n'.join((*row.packages, *TOOLS))
  if not complete.exists() or complete.read_text() != wanted:
    subprocess.run([python, '-m', 'venv', '--clear', environment], check=True)
    pip = [environment / 'bin' / 'python', '-m', 'pip', 'install', '--quiet']
    subprocess.run([*pip, *row.packages, *TOOLS], check=True)
    complete.write_text(wanted)
  return str(environment / 'bin' / 'python')


def installed(python: str) -> dict[str, str]:
  """Versions of Python and of the packages that matter."""
  code = (
      'import importlib.metadata as m, json, platform\n'
      'names = ("tensorflow", "tensorflow-probability", "tfp-nightly",'
      ' "tf-keras", "numpy")\n'
      'have = {d.metadata["Name"].lower(): d.version'
      ' for d in m.distributions()}\n'
      'print(json.dumps({"python": platform.python_version(),'
      ' **{n: have[n] for n in names if n in have}}))'
  )
  run = subprocess.run([python, '-c', code], capture_output=True, text=True,
                       check=True)
  return json.loads(run.stdout)


def counts(report: pathlib.Path) -> dict[str, int]:
  """Numbers of tests that passed, failed and were skipped."""
  suites = ElementTree.parse(report).getroot().iter('testsuite')
  total = {'tests': 0, 'failures': 0, 'errors': 0, 'skipped': 0}
  for suite in suites:
    for key in total:
      total[key] += int(suite.get(key, 0))
  failed = total['failures'] + total['errors']
  return {
      'passed': total['tests'] - failed - total['skipped'],
      'failed': failed,
      'skipped': total['skipped'],
  }


def run_tests(row: Row, python: str, folder: pathlib.Path,
              options: list[str]) -> dict:
  """Runs the suite; the row's result."""
  report = folder / f'{row.name}.xml'
  report.unlink(missing_ok=True)
  tests = [f'--ignore=tests/{name}' for name in LEFT_OUT]
  environment = dict(os.environ, PYTHONPATH=str(ROOT), TF_CPP_MIN_LOG_LEVEL='3')
  with open(folder / f'{row.name}.log', 'w') as log:
    subprocess.run(
        [python, '-m', 'pytest', '--numprocesses=2', '--dist=worksteal',
         f'--junit-xml={report}', 'tests', *tests, *options],
        cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        check=False)
  if not report.exists():
    raise RuntimeError(
        f'{row.name}: the tests did not start; see {folder / row.name}.log.')
  return {'row': row.name, **installed(python), **counts(report)}


def table(results: list[dict]) -> str:
  """Results as a Markdown table."""
  lines = ['| Python | TensorFlow | TFP | NumPy | passed | failed | skipped |',
           '|---|---|---|---|---|---|---|']
  for result in results:
    tfp = result.get('tensorflow-probability') or result['tfp-nightly']
    cells = [result['python'], result['tensorflow'], tfp, result['numpy'],
             *(f'{result[k]:,}' for k in ('passed', 'failed', 'skipped'))]
    lines.append('| ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def main() -> int:
  """Runs the rows that are asked for; 1 if a test failed."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
  names = [row.name for row in ROWS]
  parser.add_argument('--rows', default=','.join(names),
                      help='names, comma-separated')
  parser.add_argument('--folder', type=pathlib.Path,
                      default=ROOT / '.venv-matrix',
                      help='of the environments, logs and results')
  parser.add_argument('pytest', nargs='*', help='options of pytest, after --')
  arguments = parser.parse_args()
  wanted = arguments.rows.split(',')
  for name in wanted:
    if name not in names:
      parser.error(f'--rows: {name!r} is none of {", ".join(names)}.')
  folder = arguments.folder.resolve()
  folder.mkdir(parents=True, exist_ok=True)
  results = []
  for row in ROWS:
    if row.name not in wanted:
      continue
    python = interpreter(row)
    if python is None:
      print(f'{row.name}: no Python {row.python} here; left out.', flush=True)
      continue
    print(f'{row.name}: installs, then tests.', flush=True)
    result = run_tests(row, make_environment(row, python, folder), folder,
                       arguments.pytest)
    print('{row}: {passed:,} passed, {failed:,} failed, {skipped:,} skipped.'
          .format_map(result), flush=True)
    results.append(result)
  commit = subprocess.run(
      ['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True,
      check=False).stdout.strip()
  (folder / 'results.json').write_text(json.dumps({
      'commit': commit,
      'date': datetime.date.today().isoformat(),
      'machine': platform.platform(),
      'options': arguments.pytest,
      'results': results,
  }, indent=2))
  print(table(results))
  return int(any(result['failed'] for result in results))


if __name__ == '__main__':
  sys.exit(main())
