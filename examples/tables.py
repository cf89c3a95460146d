"""Tables of numbers, from CSV files or as scikit-learn ships them."""

import csv
import math
import pathlib

import numpy as np

__all__ = ['NAMES', 'read', 'split_and_standardize']

NAMES = ('breast_cancer', 'diabetes', 'iris', 'wine')


def read(name):
  """Names of the columns and float64 rows.

  Args:
    name: One of `NAMES`, whose last column is what is to be predicted there; or
      a CSV file whose first line has the names.

  Raises:
    SystemExit: If there is no such table, it is not numbers, or scikit-learn is
      missing (the `[examples]` extra).
  """
  if name in NAMES:
    try:
      from sklearn import datasets
    except ImportError as e:
      raise SystemExit(
          f'{name} needs scikit-learn: pip install "tfp-flowopt[examples]".'
      ) from e
    table = getattr(datasets, f'load_{name}')()
    return (
        [*map(str, table.feature_names), 'target'],
        np.column_stack([table.data, table.target]).astype(np.float64),
    )
  try:
    # `-sig`: spreadsheets put a mark before the first name.
    with pathlib.Path(name).open(encoding='utf-8-sig', newline='') as file:
      reader = csv.reader(file)
      return _checked([
          (reader.line_num, cells)
          for cells in reader
          if any(map(str.strip, cells)) and not cells[0].startswith('#')
      ])
  except (OSError, ValueError, csv.Error) as e:
    raise SystemExit(
        f'--data={name} is none of {", ".join(NAMES)}, and no CSV file of '
        f'numbers below a line of names: {e}'
    ) from e


def _checked(lines):
  """Names and numbers of numbered lines of cells, or a `ValueError`."""
  if len(lines) < 2:
    raise ValueError(f'it has {len(lines)} lines.')
  names, rows = [name.strip() for name in lines[0][1]], []
  if all(map(_is_number, names)):
    raise ValueError('its first line is numbers, not names.')
  for number, cells in lines[1:]:
    if len(cells) != len(names):
      raise ValueError(
          f'line {number} has {len(cells)} cells, not {len(names)}.'
      )
    for name, cell in zip(names, cells, strict=True):
      if not _is_number(cell):
        raise ValueError(f'line {number} has {cell!r} for {name}.')
    rows.append([float(cell) for cell in cells])
  return names, np.array(rows)


def _is_number(cell):
  try:  # of Python's numbers, without `1_000`
    return '_' not in cell and math.isfinite(float(cell))
  except ValueError:
    return False


def split_and_standardize(rows, held_out, seed):
  """Rows to train on and held out, float32, and mean and scale of the first."""
  rows = np.random.default_rng(seed).permutation(rows)
  num = round(held_out * len(rows))
  # What is left is divided again, to see when training should end.
  if num < 2 or len(rows) - num < 8:
    raise SystemExit(
        f'A table of {len(rows)} rows is too small: two must be held out, and '
        'eight others be there.'
    )
  mean, scale = rows[num:].mean(axis=0), rows[num:].std(axis=0)
  if not np.all(scale > 0):
    raise SystemExit('A column of the table is constant: leave it out.')
  rows = ((rows - mean) / scale).astype(np.float32)
  return rows[num:], rows[:num], mean, scale
