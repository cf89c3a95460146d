"""What a wheel holds."""

import ast
import email
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

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


@pytest.fixture(scope='module', name='metadata')
def _metadata(wheel):
  archive = zipfile.ZipFile(wheel)
  (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
  return archive.read(name).decode()


def test_its_metadata(metadata):
  lines = metadata.splitlines()
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
  assert extras == {
      'all', 'dev', 'examples', 'onnx', 'plot', 'report', 'tensorboard', 'tfds'
  }


def test_what_an_index_shows(metadata):
  headers = email.message_from_string(metadata)
  names = {url.split(', ')[0] for url in headers.get_all('Project-URL')}
  assert 'Paper' in names
  assert all(
      url.split(', ')[1].startswith('https://')
      for url in headers.get_all('Project-URL')
  )
  classifiers = headers.get_all('Classifier')
  assert 'Typing :: Typed' in classifiers
  least = headers['Requires-Python'].removeprefix('>=')
  assert f'Programming Language :: Python :: {least}' in classifiers
  assert headers['Summary'] and headers['Keywords']
  assert 'Apache-2.0' in (headers['License'], headers['License-Expression'])
  assert headers.get_payload().startswith('# tfp_flowopt')


# What is installed for a module that is imported.
DISTRIBUTIONS = {
    'array_record': 'tensorflow-datasets',
    'matplotlib': 'matplotlib',
    'onnx': 'onnx',
    'onnxruntime': 'onnxruntime',
    'sklearn': 'scikit-learn',
    'tensorflow_datasets': 'tensorflow-datasets',
    'tf2onnx': 'tf2onnx',
}


def required(metadata, extra):
  """Names of what an extra installs."""
  return {
      line.split(': ')[1].split(';')[0].split('>')[0].strip()
      for line in metadata.splitlines()
      if line.startswith('Requires-Dist:') and f'extra == "{extra}"' in line
  }


def test_what_the_library_imports_where_it_uses_it_is_an_extra(metadata):
  found = set()
  for path in (ROOT / 'tfp_flowopt').rglob('*.py'):
    for function in ast.walk(ast.parse(path.read_text())):
      if not isinstance(function, ast.FunctionDef):
        continue
      for node in ast.walk(function):
        if isinstance(node, ast.Import):
          found |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
          found.add(node.module.partition('.')[0])
  known = {'tf_keras', 'tfp_flowopt', *sys.stdlib_module_names}
  needed = {DISTRIBUTIONS[name] for name in found - known}
  assert needed == set(DISTRIBUTIONS.values())
  assert needed <= required(metadata, 'all')
  each = [
      required(metadata, extra)
      for extra in ('onnx', 'plot', 'report', 'tensorboard', 'tfds')
  ]
  assert set.union(*each) == required(metadata, 'all')


def test_how_to_cite_it():
  citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
  assert citation['cff-version'] == '1.2.0'
  assert {'message', 'title', 'authors', 'license'} <= set(citation)
  assert citation['version'] == fo.__version__
  (paper,) = citation['references']
  assert paper['title'] == 'Jacobian Determinant of Normalizing Flows'
  names = [author['family-names'] for author in paper['authors']]
  assert names == ['Liao', 'He']
  assert '2102.06539' in paper['url']


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
