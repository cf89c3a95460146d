"""The versions that setup.py allows, and those that the matrix tests."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import run_matrix

ROOT = pathlib.Path(__file__).parents[1]
SETUP = (ROOT / 'setup.py').read_text()
JUNIT = """<testsuites>
<testsuite tests="7" failures="1" errors="2" skipped="1"></testsuite>
</testsuites>"""


def metadata(tmp_path, **environment):
  """Lines of what `setup.py` writes of itself."""
  subprocess.run(
      [sys.executable, 'setup.py', '--quiet', 'egg_info',
       '--egg-base', str(tmp_path)],
      cwd=ROOT, env=dict(os.environ, **environment), check=True)
  (folder,) = tmp_path.glob('*.egg-info')
  name = re.search('^Name: (.*)$', (folder / 'PKG-INFO').read_text(), re.M)
  required = (folder / 'requires.txt').read_text().split('[')[0].split()
  return name.group(1), required


def test_the_release_of_tfp_or_its_nightly_never_both(tmp_path):
  (tmp_path / 'release').mkdir()
  name, required = metadata(tmp_path / 'release', TFP_NIGHTLY='0')
  assert name == 'tfp-flowopt'
  assert 'numpy<2.4' in required
  assert not [line for line in required if line.startswith('tfp-nightly')]
  (tmp_path / 'nightly').mkdir()
  name, required = metadata(tmp_path / 'nightly', TFP_NIGHTLY='1')
  assert name == 'tfp-flowopt-nightly'
  assert 'numpy' in required
  assert [line for line in required if line.startswith('tfp-nightly>')]
  assert not [line for line in required if 'tensorflow-probability' in line]


def test_each_python_that_setup_names_has_a_row():
  named = set(re.findall(r'Python :: (3\.\d+)', SETUP))
  assert named == {row.python for row in run_matrix.ROWS}


def test_the_oldest_row_is_what_setup_allows_at_least():
  (oldest,) = (row for row in run_matrix.ROWS if row.name == 'oldest')
  pins = dict(package.split('==') for package in oldest.packages)
  for name, version in pins.items():
    least = re.search(rf"'{name}>=([\d.]+)", SETUP).group(1)
    assert version.startswith(least), (name, version, least)


def test_counts_of_a_run(tmp_path):
  report = tmp_path / 'report.xml'
  report.write_text(JUNIT)
  assert run_matrix.counts(report) == {'passed': 3, 'failed': 3, 'skipped': 1}


def test_a_row_without_its_python_is_left_out(
    tmp_path, monkeypatch, capsys):
  row = run_matrix.Row('future', '3.99', ('tensorflow==9.9',))
  monkeypatch.setattr(run_matrix, 'ROWS', (row,))
  monkeypatch.setattr(sys, 'argv', ['run_matrix', f'--folder={tmp_path}'])
  assert run_matrix.main() == 0
  assert 'no Python 3.99' in capsys.readouterr().out


def test_an_unknown_row(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['run_matrix', '--rows=newest'])
  with pytest.raises(SystemExit):
    run_matrix.main()
  assert "--rows: 'newest' is none of oldest" in capsys.readouterr().err


def test_the_table_has_a_row_for_each_result():
  result = {'row': 'nightly', 'python': '3.12.1', 'tensorflow': '2.21.0',
            'tfp-nightly': '0.26.0.dev1', 'numpy': '2.4.6', 'passed': 1234,
            'failed': 0, 'skipped': 2}
  last = run_matrix.table([result]).splitlines()[-1]
  assert last == '| 3.12.1 | 2.21.0 | 0.26.0.dev1 | 2.4.6 | 1,234 | 0 | 2 |'
