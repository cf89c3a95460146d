"""Runs programs in processes of their own, which find TensorFlow imported.

To import it takes four seconds, most of a small program. So each process is
forked from one that has imported it and done nothing else.
"""

import atexit
import gc
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

import pytest
from tensorflow.python.framework import traceable_stack
from tensorflow.python.util import tf_stack

ROOT = pathlib.Path(__file__).parents[2]
# Seconds after which a program hangs: on a busy machine it may well take ten
# times as long as alone.
PATIENCE = 1800.0
_ENVIRONMENT = {
    'TF_CPP_MIN_LOG_LEVEL': '3',
    'XLA_FLAGS': '',
    'PYTHONPATH': os.pathsep.join(
        str(ROOT / name) for name in ('', 'examples', 'tests')
    ),
}
_FORKS = multiprocessing.get_context('forkserver')
# TFP and tf_keras are imported where they are first used.
_FORKS.set_forkserver_preload(
    ['tensorflow', 'tf_keras', 'tensorflow_probability.python']
)


def forget_stacks():
  """Lets the operations of graphs not note where they were made.

  That is a walk up a hundred frames of pytest and TensorFlow for each, a sixth
  of the time to trace a graph; and to number the line of each scope's caller.
  """
  here = tf_stack.extract_stack()
  tf_stack.extract_stack = lambda stacklevel=1: here
  scope = traceable_stack.TraceableObject
  scope.set_filename_and_line_from_caller = lambda self, offset=0: scope.FAILURE


class Program:
  """A process, as `subprocess.Popen` has it."""

  def __init__(self, *arguments, merge=True, output=None, **environment):
    """Starts Python.

    Args:
      *arguments: Of Python: a file, or `-c` or `-m`, and what follows it.
        `examples`, `tests` and the package can be imported.
      merge: Whether errors go where the output goes.
      output: File that this is added to; by default one of its own.
      **environment: What is other than here.
    """
    self._files = [
        output.open('ab+') if output else tempfile.NamedTemporaryFile()
        for _ in range(1 if merge else 2)
    ]
    self._process = _FORKS.Process(
        target=_main,
        args=(
            list(map(str, arguments)),
            {**os.environ, **_ENVIRONMENT, **environment},
            [self._files[0].name, self._files[-1].name],
        ),
        daemon=True,
    )
    with pytest.MonkeyPatch.context() as patch:
      # As the examples have it; what forks keeps it.
      patch.setenv('TF_ENABLE_ONEDNN_OPTS', '1')
      patch.setenv('TF_CPP_MIN_LOG_LEVEL', '3')
      self._process.start()

  @property
  def returncode(self):
    return self._process.exitcode

  poll = returncode.fget

  def send_signal(self, number):
    os.kill(self._process.pid, number)

  def kill(self):
    self._process.kill()

  def wait(self, timeout=PATIENCE):
    """Waits for the end; returns the exit status."""
    self.communicate(timeout)
    return self.returncode

  def communicate(self, timeout=PATIENCE):
    """Waits for the end; returns output and errors, if apart."""
    self._process.join(timeout)
    if self.returncode is None:
      self._process.kill()
      raise subprocess.TimeoutExpired(self._process.name, timeout)
    texts = []
    for file in self._files:
      file.seek(0)
      texts.append(file.read().decode())
    return texts[0], texts[1] if texts[1:] else None


def run(*arguments):
  """Runs Python with arguments to the end; errors are apart."""
  program = Program(*arguments, merge=False)
  output, errors = program.communicate()
  return subprocess.CompletedProcess(
      arguments, program.returncode, output, errors
  )


def _main(arguments, environment, files):
  """What the process does: as `python` does with these arguments."""
  for number, path in enumerate(files, 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
  os.environ.clear()
  os.environ.update(environment)
  # As in conftest.
  gc.freeze()
  gc.set_threshold(100_000, 50, 50)
  forget_stacks()
  first, *sys.argv = arguments
  # Without what pytest has added.
  added = {str(ROOT / name) for name in ('benchmarks', 'examples', 'tools')}
  sys.path[:] = [
      *environment['PYTHONPATH'].split(os.pathsep),
      *(path for path in sys.path if path not in added),
  ]
  try:
    if first == '-c':
      code, sys.argv = sys.argv[0], ['-c', *sys.argv[1:]]
      exec(compile(code, '<string>', 'exec'), vars(sys.modules['__main__']))
    elif first == '-m':
      runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
    else:
      sys.argv.insert(0, first)
      sys.path.insert(0, os.path.dirname(first))
      runpy.run_path(first, run_name='__main__')
  finally:
    atexit._run_exitfuncs()
