"""All code in docstrings and in the pages of docs/ runs."""

import ast
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from support import images as image_data
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

ROOT = pathlib.Path(__file__).parents[1]
BLOCK = re.compile(r'^ *```python\n(.*?)^ *```$', re.DOTALL | re.MULTILINE)
SIZE = 16


def docstring_blocks():
  """Pairs of `file:name`, and a number from the second one on, and code."""
  for path in sorted((ROOT / 'tfp_flowopt').rglob('*.py')):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
      if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.Module)):
        continue
      blocks = BLOCK.findall(ast.get_docstring(node) or '')
      for i, block in enumerate(blocks):
        where = f'{path.stem}:{getattr(node, "name", "")}'
        yield where + (f':{i + 1}' if i else ''), block


def page_blocks():
  """Pairs of page and all of its code, in order."""
  pages = [ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
  for path in pages:
    blocks = BLOCK.findall(path.read_text())
    if blocks:
      yield path.name, '\n'.join(map(textwrap.dedent, blocks))


@pytest.fixture(scope='module', name='names')
def _names():
  """What docstrings take for given."""
  images = image_data.preprocessed(64, SIZE)
  # One level and one tile: most of the time is to trace the flow.
  distribution = fo.image_flow(
      [SIZE, SIZE, 3],
      num_levels=1,
      num_steps=1,
      hidden_channels=8,
      tile_sizes=(2,),
  )
  fo.initialize_at_optimum(distribution, images)
  return {
      'distribution': distribution,
      'fo': fo,
      'images': images,
      'np': np,
      'spec': tf.TensorSpec([None, SIZE, SIZE, 3]),
      'tf': tf,
      'tfb': tfp.bijectors,
      'tfd': tfp.distributions,
      'tfp': tfp,
      'x': images,
  }


def crops(size, seed=0):
  return fo.training.ImageCrops([image_data.smooth_noise(seed, 72, 96)], size)


def vectors_on_replicas():
  dataset = tf.data.Dataset.from_tensor_slices(tf.random.normal([256, 784]))
  return {'dataset': dataset, 'strategy': tf.distribute.get_strategy()}


# What some docstrings take for something else, or besides.
SPECIAL = {
    'auto_correlation:AutoCorrelation': lambda: {
        'dataset': [tf.random.normal([8, 32, 32, 3])] * 3
    },
    'auto_correlation:AutoCorrelation:2': vectors_on_replicas,
    'bounds:lipschitz_bounds': lambda: {
        'MyBijector': type('MyBijector', (tfp.bijectors.Shift,), {})
    },
    'bounds:lipschitz_bounds:2': lambda: {
        'flow': fo.bijectors.ActNorm(3), 'images': tf.zeros([2, 8, 8, 3])
    },
    'saved_model:save': lambda: {'images': crops(SIZE).draw(4, [0, 1])},
    'linear_flow:LinearFlow': lambda: {
        'train_images': image_data.preprocessed(20, 64),
        'test_images': image_data.preprocessed(20, 64, seed=1),
    },
    'local_constants:local_lipschitz': lambda: {
        'images': image_data.preprocessed(1, SIZE)
    },
    'variational_dequantization:VariationalDequantization': lambda: {
        'images': crops(SIZE).draw(4, [0, 1])
    },
    'models:image_flow': lambda: {'images': image_data.preprocessed(200, 32)},
}


# Where a single step would be traced for a minute.
EAGER = ('examples.md', 'training.md')


def run(where, code, namespace):
  untraced = runs.untraced() if where in EAGER else contextlib.nullcontext()
  # Pictures of a run have tests of their own.
  with runs.no_pictures(), untraced:
    exec(compile(textwrap.dedent(code), where, 'exec'), namespace)


# Docstrings that a page has word for word, and which run there.
ELSEWHERE = {'trainer:Trainer': 'training.md'}


def cases(blocks):
  """One of each block; those that train take long."""
  found = []
  for where, code in blocks:
    if where in ELSEWHERE:
      continue
    trains = 'Trainer(' in code or 'image_flow(' in code
    marks = [pytest.mark.slow] if trains else []
    found.append(pytest.param(where, code, id=where, marks=marks))
  return found


def test_what_runs_elsewhere_is_there_word_for_word():
  docstrings, pages = dict(docstring_blocks()), dict(page_blocks())
  for where, page in ELSEWHERE.items():
    assert textwrap.dedent(docstrings[where]) in pages[page]


# That eager functions are not those of tf.data is well.
@pytest.mark.filterwarnings('ignore:Even though the:UserWarning')
@pytest.mark.parametrize(('where', 'code'), cases(docstring_blocks()))
def test_docstrings(where, code, names, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  run(where, code, {**names, **SPECIAL.get(where, dict)()})


@pytest.mark.filterwarnings('ignore:Even though the:UserWarning')
@pytest.mark.parametrize(('where', 'code'), cases(page_blocks()))
def test_pages(where, code, tmp_path, monkeypatch):
  """A page takes nothing for given: its blocks run as a reader pastes them."""
  monkeypatch.chdir(tmp_path)
  run(where, code, {})


def test_nothing_is_left_out():
  """Each fence of Python in the package is found."""
  fences = sum(
      path.read_text().count('```python')
      for path in (ROOT / 'tfp_flowopt').rglob('*.py')
  )
  assert len(list(docstring_blocks())) == fences > 20
  assert set(SPECIAL) <= {where for where, _ in docstring_blocks()}


def test_the_site_shows_the_version():
  site = (ROOT / 'mkdocs.yml').read_text()
  assert f'copyright: tfp_flowopt {fo.__version__}, ' in site
  assert f"version='{fo.__version__}'" in (ROOT / 'setup.py').read_text()


def test_the_site_is_built_without_a_warning(tmp_path):
  run = subprocess.run(
      [
          sys.executable,
          '-m',
          'mkdocs',
          'build',
          '--strict',
          '--site-dir',
          str(tmp_path / 'site'),
      ],
      cwd=ROOT,
      env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'},
      capture_output=True,
      text=True,
      check=False,
  )
  assert run.returncode == 0, run.stderr
  reference = tmp_path / 'site' / 'reference'
  for page in (ROOT / 'docs' / 'reference').glob('*.md'):
    if page.stem == 'index':
      continue
    html = (reference / page.stem / 'index.html').read_text()
    for name in getattr(fo, page.stem).__all__:
      # The second one if its file has the same name.
      names = name, f'{name}.{name}'
      assert any(
          f'id="tfp_flowopt.{page.stem}.{n}"' in html for n in names
      ), name
