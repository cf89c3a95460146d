"""Records of benchmarks, and cells of the tables made of them."""

import re


def record(
    arm='ours', rate=1e-3, seed=0, start=5.0, end=3.0, settings=(), **values
):
  """A run of training; `values` are measured."""
  return {
      'suite': 'stability',
      'measure': 'training_run',
      'settings': {
          'image_size': 16,
          'num_levels': 2,
          'num_steps': 4,
          'batch_size': 32,
          'train_steps': 300,
          'seconds': None,
          'schedule': 'constant',
          'arm': arm,
          'learning_rate': rate,
          **dict(settings),
      },
      'seed': seed,
      'commit': None,
      'machine': None,
      'versions': None,
      'values': {
          'parameters': 100,
          'finite': end is not None,
          'start': start,
          'end': end,
          'worst_excursion': 1.0,
          'reconstruction': {'held out': 1e-6, 'noise': 1e-5},
          **values,
      },
  }


def cells(section, first):
  """The cells of the row of a table that starts with a cell."""
  (row,) = re.findall(rf'^\| {re.escape(first)} \|.*$', section, re.MULTILINE)
  return [cell.strip() for cell in row.strip('|').split('|')]
