"""The CSV log of a run."""

import csv
import io
import math
import os
import pathlib

from tfp_flowopt.internal import atomic_files

__all__ = ['TrainingLog', 'column']


class TrainingLog:
  """A CSV file with a row for each step, in step with the checkpoints.

  Rows are buffered; `flush` writes and syncs them, and belongs before a
  checkpoint. On resume, `truncate` drops the rows of steps that will be run
  again. So the file never lacks or repeats a step.

  What is not a row in a damaged file is passed over; of rows of one step the
  last one counts. The first column is the step.
  """

  def __init__(self, path, columns):
    self._path = pathlib.Path(path)
    self._columns = columns
    self._buffer = []

  def truncate(self, first_step):
    """Keeps the rows of the steps before `first_step` only."""
    rows = [row for row in self.rows() if int(row['step']) < first_step]
    with atomic_files.atomic_path(self._path) as temporary:
      temporary.write_text(self._format(rows, header=True), encoding='utf-8')

  def append(self, **row):
    """Adds a row; columns that are not given stay empty."""
    self._buffer.append(row)

  def flush(self):
    """Writes what was added, down to the disk."""
    with self._path.open('a+b') as f:
      end = f.seek(0, os.SEEK_END)
      text = self._format(self._buffer, header=not end)
      if end:
        f.seek(end - 1)
        if f.read(1) != b'\n':
          text = '\n' + text  # not into a row that was cut off
      f.write(text.encode())
      f.flush()
      os.fsync(f.fileno())
    self._buffer = []

  def rows(self):
    """All complete rows on disk, by step, as dictionaries of strings."""
    if not self._path.exists():
      return []
    text = self._path.read_bytes().decode(errors='replace')
    # A line without an end was cut off by a crash.
    lines = text.split('\n')[:-1]
    columns = lines[0].split(',') if lines else []
    if columns[:1] != ['step'] or not set(columns) <= set(self._columns):
      columns = self._columns
    rows = {}
    for line in lines:
      values = line.split(',')
      if len(values) == len(columns) and _is_row(values):
        rows[int(values[0])] = dict(zip(columns, values, strict=True))
    return [rows[step] for step in sorted(rows)]

  def _format(self, rows, header):
    text = io.StringIO()
    writer = csv.DictWriter(text, self._columns, lineterminator='\n')
    if header:
      writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def column(rows, name):
  """The finite numbers of a column, by step."""
  given = (row for row in rows if row.get(name))
  numbers = {int(row['step']): float(row[name]) for row in given}
  return {step: x for step, x in numbers.items() if math.isfinite(x)}


def _is_row(values):
  """Whether the fields of a line are a step and numbers."""
  step, *others = values
  try:
    [float(value) for value in others if value]
  except ValueError:
    return False
  return step.isascii() and step.isdigit() and len(step) < 19  # of int64
