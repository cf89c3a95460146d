"""Tables that the examples read from CSV files."""

import numpy as np
import pytest
import tables


def test_names_numbers_and_marks_of_spreadsheets(tmp_path):
  path = tmp_path / 'table.csv'
  path.write_bytes(
      b'\xef\xbb\xbfa, b ,"c, in m"\r\n1,2,3e-1\r\n\r\n# no,row\r\n , , \r\n'
      b'4, 5,-6\r\n'
  )
  names, rows = tables.read(path)
  assert names == ['a', 'b', 'c, in m']
  np.testing.assert_allclose(rows, [[1.0, 2.0, 0.3], [4.0, 5.0, -6.0]])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'it has 0 lines'),
        ('a,b\n', 'it has 1 lines'),
        ('a,b\n1,2\n3\n', 'line 3 has 1 cells, not 2'),
        ('a,b\n1,2,3\n', 'line 2 has 3 cells, not 2'),
        ('a,b\n1,2\n\n3,\n', "line 4 has '' for b"),
        ('a,b\n1_0,2\n', "line 2 has '1_0' for a"),
        ('a,b\n1,nan\n', "line 2 has 'nan' for b"),
        ('a,b\n1,-inf\n', "line 2 has '-inf' for b"),
        ('a;b\n1;2\n', "line 2 has '1;2' for a;b"),
        ('1,2\n3,4\n', 'its first line is numbers'),
    ],
)
def test_what_is_no_table(text, message, tmp_path):
  path = tmp_path / 'table.csv'
  path.write_text(text)
  with pytest.raises(SystemExit, match=f'no CSV file of .*{message}'):
    tables.read(path)


def test_tables_that_are_too_small_or_constant():
  rows = np.random.default_rng(0).normal(size=[9, 2])
  with pytest.raises(SystemExit, match='of 9 rows is too small'):
    tables.split_and_standardize(rows, 0.2, 0)
  rows = np.concatenate([rows, rows + 1.0, rows - 1.0])
  assert len(tables.split_and_standardize(rows, 0.2, 0)[0]) == 22
  rows[:, 1] = 3.0
  with pytest.raises(SystemExit, match='is constant'):
    tables.split_and_standardize(rows, 0.2, 0)
