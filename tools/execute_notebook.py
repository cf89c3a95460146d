"""Executes the tutorial notebook and keeps its outputs.

`python tools/execute_notebook.py docs/tutorial.ipynb`, or `make notebook`.
"""

import os
import pathlib

from absl import app
import nbclient
import nbformat

__all__ = ['execute', 'texts']


def execute(path):
  """Executes a notebook.

  Args:
    path: Of an .ipynb file.

  Returns:
    The notebook with its outputs, without what was written to stderr: it is
    about this machine.

  Raises:
    nbclient.exceptions.CellExecutionError: If a cell fails.
  """
  notebook = nbformat.read(path, as_version=4)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  client = nbclient.NotebookClient(
      notebook,
      timeout=600,
      kernel_name='python3',
      record_timing=False,
      # To look for garbage while graphs are traced takes a tenth of the time.
      extra_arguments=[
          '--IPKernelApp.exec_lines=import gc; gc.set_threshold(100_000, 50)'
      ],
  )
  client.execute()
  for cell in _code(notebook):
    cell.outputs = [o for o in cell.outputs if o.get('name') != 'stderr']
  return notebook


def _code(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def texts(notebook):
  """What each cell printed, in order."""
  return [
      ''.join(o['text'] for o in cell.outputs if o.output_type == 'stream')
      for cell in _code(notebook)
  ]


def main(argv):
  """Executes the notebooks that are named."""
  if len(argv) < 2:
    raise app.UsageError('Name at least one notebook.')
  for path in map(pathlib.Path, argv[1:]):
    nbformat.write(execute(path), path)


if __name__ == '__main__':
  app.run(main)
