"""The CSV log of a run."""

import csv
import io
import os
import pathlib

from tfp_flowopt.training import files

__all__ = ['TrainingLog']


class TrainingLog:
  """A CSV file with a row for each step, in step with the checkpoints.

  Rows are buffered; `flush` writes and syncs them, and belongs before a
  checkpoint. On resume, `truncate` drops the rows of steps that will be run
  again. So the file never lacks or repeats a step.
  """

  def __init__(self, path, columns):
    """Opens a log, or starts one.

    Args:
      path: Of the CSV file.
      columns: Names of the columns; the first one is the step.
    """
    self._path = pathlib.Path(path)
    self._columns = columns
    self._buffer = []

  def truncate(self, first_step):
    """Keeps the rows of the steps before `first_step` only."""
    rows = [row for row in self.rows() if int(row['step']) < first_step]
    with files.atomic_path(self._path) as temporary:
      temporary.write_text(self._format(rows, header=True), encoding='utf-8')

  def append(self, **row):
    """Adds a row; columns that are not given stay empty."""
    self._buffer.append(row)

  def flush(self):
    """Writes what was added, down to the disk."""
    with self._path.open('a', encoding='utf-8') as f:
      f.write(self._format(self._buffer, header=False))
      f.flush()
      os.fsync(f.fileno())
    self._buffer = []

  def rows(self):
    """All complete rows on disk, as dictionaries of strings."""
    if not self._path.exists():
      return []
    text = self._path.read_text(encoding='utf-8')
    # A line without an end was cut off by a crash.
    complete = text[: text.rfind('\n') + 1]
    return list(csv.DictReader(io.StringIO(complete)))

  def _format(self, rows, header):
    text = io.StringIO()
    writer = csv.DictWriter(text, self._columns, lineterminator='\n')
    if header:
      writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
