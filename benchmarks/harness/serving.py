"""How a benchmark talks to a model in a process of its own.

Needs nothing but Python, as the peers' environment has no TensorFlow. `serve`
is the model's side, `Arm` the benchmark's.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

__all__ = [
    'Arm', 'inference_gym', 'peak_mib', 'python_of_eclipse',
    'python_of_peers', 'serve'
]

_BENCHMARKS = pathlib.Path(__file__).resolve().parents[1]
_PEERS = ['torch==2.13.0', 'normflows==1.7.3', 'zuko==1.6.0', 'numpy<2.4']
_ECLIPSE = ['torch==2.13.0', 'eclipse-nn==0.1.7']


def peak_mib():
  """Peak resident memory of this process (not of the one that made it)."""
  status = pathlib.Path('/proc/self/status').read_text(encoding='utf-8')
  return int(status.split('VmHWM:')[1].split()[0]) / 1024


def _python_with(packages, path):
  """Python of a virtual environment, made if it is missing."""
  path = pathlib.Path(path).absolute()
  python = path / 'bin' / 'python'
  if not python.exists():
    print(f'Installing {packages} in {path} ...', flush=True)
    subprocess.run([sys.executable, '-m', 'venv', path], check=True)
    subprocess.run(
        [python, '-m', 'pip', 'install', '--quiet', *packages], check=True
    )
  return python


def python_of_peers(path):
  """Python of the peers' virtual environment, made if it is missing."""
  return _python_with(_PEERS, path)


def python_of_eclipse(peers):
  """Python of `eclipse-nn`, which brings solvers, beside the peers'."""
  return _python_with(_ECLIPSE, f'{peers}-eclipse')


def inference_gym(peers):
  """Folder of the package of that name, for TensorFlow; made if missing.

  It stands beside the peers' environment, which has no TensorFlow.
  """
  path = pathlib.Path(f'{peers}-gym').absolute()
  if not path.exists():
    subprocess.run(
        [
            sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
            f'--target={path}', 'inference-gym==0.0.5',
        ],
        check=True,
    )
  return path


def archive(package, folder):
  """The file of `NAME==VERSION` that pip fetches into the folder, once."""
  name, version = package.split('==')
  found = list(pathlib.Path(folder).glob(f'{name}-{version}[-.]*'))
  if not found:
    print(f'Fetching {package} ...', flush=True)
    subprocess.run(
        [
            sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
            '--dest', folder, package,
        ],
        check=True,
    )
    found = list(pathlib.Path(folder).glob(f'{name}-{version}[-.]*'))
  return found[0]


def serve(make_model):
  """Answers commands on standard input until it ends.

  Args:
    make_model: Function of the settings (the first argument of the program, as
      JSON) that returns an object whose methods are the commands. One more
      command, `setup_seconds`, says how long this function took.
  """
  # Libraries print; answers go where only the benchmark listens.
  answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  start = time.perf_counter()
  model = make_model(json.loads(sys.argv[1]))
  setup_seconds = time.perf_counter() - start
  model.setup_seconds = lambda: setup_seconds
  for line in sys.stdin:
    command, arguments = json.loads(line)
    start, value, error = time.perf_counter(), None, None
    try:
      value = getattr(model, command)(**arguments)
    except Exception as e:  # pylint: disable=broad-exception-caught
      error = f'{type(e).__name__}: {str(e)[:300]}'
    answer = {
        'seconds': time.perf_counter() - start,
        'value': value,
        'error': error,
        'peak_mib': peak_mib(),
    }
    print(json.dumps(answer), file=answers, flush=True)


class Arm:
  """A model that runs in a process of its own."""

  def __init__(self, python, program, settings, num_threads=None):
    """Starts the process; the model is made there.

    Args:
      python: Interpreter to run.
      program: Name of a script in the folder `arms`, which calls `serve`.
      settings: Dictionary for its `make_model`.
      num_threads: Threads that it computes with, for arms beside each other;
        by default one for each processor.
    """
    path = [_BENCHMARKS, _BENCHMARKS.parent, os.environ.get('PYTHONPATH', '')]
    variables = {
        'TF_CPP_MIN_LOG_LEVEL': '3',
        'PYTHONPATH': os.pathsep.join(map(str, path)),
    }
    if num_threads is not None:
      for name in ('TF_NUM_INTRAOP', 'TF_NUM_INTEROP', 'OMP_NUM'):
        variables[f'{name}_THREADS'] = str(num_threads)
    self._process = subprocess.Popen(
        [python, _BENCHMARKS / 'arms' / program, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )

  def ask(self, command, **arguments):
    """Runs a method of the model.

    Args:
      command: Its name.
      **arguments: Of the method; what JSON can hold.

    Returns:
      Dictionary: `seconds` it took, `value`, `error` (`None` if it went well)
      and `peak_mib`, the peak resident memory of the process so far.
    """
    try:
      self._process.stdin.write(json.dumps([command, arguments]) + '\n')
      self._process.stdin.flush()
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ''
    if line:
      return json.loads(line)
    error = f'the process ended with code {self._process.wait()}'
    return {'seconds': None, 'value': None, 'error': error, 'peak_mib': None}

  def value(self, command, **arguments):
    """The value alone; a `RuntimeError` if there was an error."""
    answer = self.ask(command, **arguments)
    if answer['error']:
      raise RuntimeError(f'{command}: {answer["error"]}')
    return answer['value']

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
