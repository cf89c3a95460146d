"""What a wheel holds."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import tfp_flowopt as fo

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module', name='wheel')
def _wheel(tmp_path_factory):
  """A wheel built from a copy: building leaves files behind."""
  folder = tmp_path_factory.mktemp('package')
  source = folder / 'source'
  source.mkdir()
  for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  for name in ('tfp_flowopt', 'tests', 'examples'):
    shutil.copytree(
        ROOT / name,
        source / name,
        ignore=shutil.ignore_patterns('__pycache__', 'BUILD'),
    )
  run = subprocess.run(
      [
          sys.executable,
          '-m',
          'pip',
          'wheel',
          '--quiet',
          '--no-deps',
          '--no-build-isolation',
          '--wheel-dir',
          str(folder),
          str(source),
      ],
      capture_output=True,
      text=True,
      check=False,
  )
  assert run.returncode == 0, run.stderr
  (wheel,) = folder.glob('*.whl')
  return wheel


def test_it_holds_the_package_and_nothing_else(wheel):
  names = set(zipfile.ZipFile(wheel).namelist())
  modules = {
      str(path.relative_to(ROOT))
      for path in (ROOT / 'tfp_flowopt').rglob('*.py')
  }
  assert modules | {'tfp_flowopt/py.typed'} == {
      name for name in names if '.dist-info/' not in name
  }
  assert any(name.endswith('LICENSE') for name in names)


def test_its_metadata(wheel):
  archive = zipfile.ZipFile(wheel)
  (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
  lines = archive.read(name).decode().splitlines()
  assert f'Version: {fo.__version__}' in lines
  required = {
      line.split(':')[1].split(';')[0].strip(' ')
      for line in lines
      if line.startswith('Requires-Dist:') and 'extra ==' not in line
  }
  packages = {
      requirement.split('<')[0].split('>')[0] for requirement in required
  }
  assert packages == {
      'absl-py',
      'numpy',
      'tensorflow',
      'tensorflow-probability',
      'tf-keras',
  }
  extras = {
      line.split(': ')[1]
      for line in lines
      if line.startswith('Provides-Extra')
  }
  assert extras == {'dev', 'examples', 'plot', 'tensorboard', 'tfds'}


def test_it_works_from_elsewhere(wheel, tmp_path):
  run = subprocess.run(
      [
          sys.executable,
          '-c',
          'import sys; sys.path.insert(0, sys.argv[1])\n'
          'import tfp_flowopt as fo\n'
          'assert sys.argv[1] in fo.__file__, fo.__file__\n'
          'print(fo.bijectors.ActNorm(3).inverse([[[[1.0, 2.0, 3.0]]]]))',
          str(wheel),
      ],
      cwd=tmp_path,
      capture_output=True,
      text=True,
      check=False,
  )
  assert run.returncode == 0, run.stderr
  assert '[1. 2. 3.]' in run.stdout
