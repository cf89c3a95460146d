"""A structure of linear flows is open to others."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.optimum import structures

PAGE = pathlib.Path(__file__).parents[2] / 'CONTRIBUTING.md'


def test_the_example_of_contributing_runs(monkeypatch):
  monkeypatch.setattr(structures, 'STRUCTURES', dict(structures.STRUCTURES))
  section = PAGE.read_text().partition('## A new structure')[2]
  (code,) = re.findall(
      r'```python\n(.*?)```', section.partition('\n## ')[0], re.DOTALL
  )
  assert code.count('\n') <= 60
  exec(compile(code, str(PAGE), 'exec'), {'__name__': 'example'})
  assert 'rowwise' in structures.STRUCTURES


@pytest.mark.parametrize('name', structures.STRUCTURES)
def test_an_object_takes_the_place_of_a_name(rng, name):
  x = rng.normal(size=[9, 4, 4, 2])
  structure = structures.STRUCTURES[name]()
  x = structure.as_events(x[:, :, :1] if name == 'dense' else x)
  for got, want in zip(
      fo.likelihood_optimum(x, structure, noise_variance=0.1),
      fo.likelihood_optimum(x, name, noise_variance=0.1),
      strict=True,
  ):
    np.testing.assert_array_equal(got, want)


def test_options_are_those_of_the_structure(rng):
  x = tf.constant(rng.normal(size=[9, 4, 4, 2]))
  pointwise = structures.Pointwise(block_size=2)
  np.testing.assert_array_equal(
      fo.likelihood_optimum(x, pointwise).log_likelihood,
      fo.likelihood_optimum(x, 'pointwise', block_size=2).log_likelihood,
  )
  with pytest.raises(ValueError, match=r'`block_size`.*"dense".*, got 2'):
    structures.structure_of('dense', block_size=2)
  with pytest.raises(ValueError, match=r'`frequency_pool` .*"circulant"'):
    structures.structure_of(pointwise, frequency_pool=2)
  with pytest.raises(ValueError, match='`block_size`'):
    structures.Pointwise(block_size=0)


def test_structures_are_compared_in_their_own_package_only():
  root = pathlib.Path(fo.__file__).parent
  files = [p for p in root.rglob('*.py') if p.parent.name != 'structures']
  assert len(files) > 50
  found = [
      path.name
      for path in files
      if re.search(r'\bif .*structure (==|!=|in|not in) ', path.read_text())
  ]
  assert not found
