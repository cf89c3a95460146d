"""Tables of numbers, from CSV files or as scikit-learn ships them."""

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
    header, _, body = pathlib.Path(name).read_text('utf-8').partition('\n')
    rows = np.loadtxt(body.splitlines(), delimiter=',', ndmin=2)
  except (OSError, ValueError) as e:
    raise SystemExit(
        f'--data={name} is none of {", ".join(NAMES)}, and no CSV file of '
        f'numbers below a line of names: {e}'
    ) from e
  return [column.strip() for column in header.split(',')], rows


def split_and_standardize(rows, held_out, seed):
  """Rows to train on and held out, float32, and mean and scale of the first."""
  rows = np.random.default_rng(seed).permutation(rows)
  num = round(held_out * len(rows))
  mean, scale = rows[num:].mean(axis=0), rows[num:].std(axis=0)
  if not np.all(scale > 0):
    raise SystemExit('A column of the table is constant: leave it out.')
  rows = ((rows - mean) / scale).astype(np.float32)
  return rows[num:], rows[:num], mean, scale
