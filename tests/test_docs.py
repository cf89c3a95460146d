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
  """What the examples take for given."""
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


def training_names():
  return {
      'config': fo.training.TrainConfig(
          train_steps=1,
          batch_size=2,
          eval_images=2,
          init_images=200,
          local_constants=False,
      ),
      'held_out_images': crops(32, 1),
      'train_images': crops(32),
      'workdir': 'run',
  }


def write_folders():
  """Folders of images that the pages name."""
  for folder, number, side in (
      ('my_images', 30, 257),
      ('pets/cat', 10, 65),
      ('pets/dog', 10, 65),
      ('held_out_pets/dog', 2, 65),
  ):
    path = pathlib.Path(folder)
    path.mkdir(parents=True)
    for i in range(number):
      encoded = tf.io.encode_jpeg(image_data.smooth_noise(i, side, side))
      (path / f'{i}.jpg').write_bytes(encoded.numpy())
  return {}


def vectors_on_replicas():
  dataset = tf.data.Dataset.from_tensor_slices(tf.random.normal([256, 784]))
  return {'dataset': dataset, 'strategy': tf.distribute.get_strategy()}


def small_flow():
  """Of which a step is traced in a moment."""
  return {
      'distribution': fo.image_flow([2, 2, 1], 1, 1, 2, tile_sizes=()),
      'images': tf.random.stateless_uniform([8, 2, 2, 1], [0, 0]) - 0.5,
  }


# What some of them take for something else, or besides.
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
    'data.md': write_folders,
    'examples.md': small_flow,
    'saved_model:save': lambda: {'images': crops(SIZE).draw(4, [0, 1])},
    'likelihood_optimum.md': lambda: {'event_size': SIZE * SIZE * 3},
    'linear_flow:LinearFlow': lambda: {
        'train_images': image_data.preprocessed(20, 64),
        'test_images': image_data.preprocessed(20, 64, seed=1),
    },
    'local_constants:local_lipschitz': lambda: {
        'images': image_data.preprocessed(1, SIZE)
    },
    'models:image_flow': lambda: {'images': image_data.preprocessed(200, 32)},
    'serving.md': lambda: {'images': crops(SIZE).draw(4, [0, 1])},
    'training.md': training_names,
}


# Where a single step would be traced for a minute.
EAGER = ('examples.md', 'training.md')


def run(where, code, names):
  namespace = {**names, **SPECIAL.get(where, dict)()}
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
  run(where, code, names)


@pytest.mark.filterwarnings('ignore:Even though the:UserWarning')
@pytest.mark.parametrize(('where', 'code'), cases(page_blocks()))
def test_pages(where, code, names, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  run(where, code, names)


def test_nothing_is_left_out():
  """Each fence of Python in the package is found."""
  fences = sum(
      path.read_text().count('```python')
      for path in (ROOT / 'tfp_flowopt').rglob('*.py')
  )
  assert len(list(docstring_blocks())) == fences > 20
  known = {where for where, _ in [*docstring_blocks(), *page_blocks()]}
  assert set(SPECIAL) <= known


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
  for package in ('bijectors', 'data', 'training'):
    page = (reference / package / 'index.html').read_text()
    for name in getattr(fo, package).__all__:
      assert f'id="tfp_flowopt.{package}.{name}"' in page, name
