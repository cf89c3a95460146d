"""How a benchmark talks to a model in a process of its own.

Needs nothing but Python, as the peers' environment has no TensorFlow. `serve`
is the model's side, `Arm` the benchmark's.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import time

__all__ = ['Arm', 'serve']


def serve(make_model):
  """Answers commands on standard input until it ends.

  Args:
    make_model: Function of the settings (a dictionary, the first argument of
      the program, as JSON) that returns an object whose methods are the
      commands; arguments and results are what JSON can hold. One more
      command, `setup_seconds`, says how long this function took.
  """
  # Libraries print; answers go where only the benchmark listens.
  answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  start = time.perf_counter()
  model = make_model(json.loads(sys.argv[1]))
  setup_seconds = time.perf_counter() - start
  for line in sys.stdin:
    command, arguments = json.loads(line)
    start = time.perf_counter()
    try:
      if command == 'setup_seconds':
        value, error = setup_seconds, None
      else:
        value, error = getattr(model, command)(**arguments), None
    except Exception as e:  # pylint: disable=broad-exception-caught
      value, error = None, f'{type(e).__name__}: {str(e)[:300]}'
    answer = {
        'seconds': time.perf_counter() - start,
        'value': value,
        'error': error,
        # Linux counts in KiB.
        'peak_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
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
    threads = {}
    if num_threads is not None:
      names = ('TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')
      threads = dict.fromkeys((*names, 'OMP_NUM_THREADS'), str(num_threads))
    here = pathlib.Path(__file__).resolve().parent
    self._process = subprocess.Popen(
        [python, here / 'arms' / program, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            **threads,
            'TF_CPP_MIN_LOG_LEVEL': '3',
            'PYTHONPATH': os.pathsep.join(
                [str(here), os.environ.get('PYTHONPATH', '')]
            ),
        },
    )

  def ask(self, command, **arguments):
    """Runs a command there.

    Args:
      command: Name of a method of the model.
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
    if not line:
      code = self._process.wait()
      return {
          'seconds': None,
          'value': None,
          'error': f'the process ended with code {code}',
          'peak_mib': None,
      }
    return json.loads(line)

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
