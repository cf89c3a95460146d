"""oneDNN is on in all examples, unless a user says otherwise."""

import ast
import importlib
import os
import pathlib

import onednn
import pytest

_EXAMPLES = pathlib.Path(onednn.__file__).parent
_TENSORFLOW = {
    'tensorflow', 'tensorflow_probability', 'tf_keras', 'tfp_flowopt'
}


def _imports(path):
  """Modules that a file imports, in this order."""
  for node in ast.parse(path.read_text(encoding='utf-8')).body:
    if isinstance(node, ast.Import):
      yield from (alias.name.split('.')[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module.split('.')[0]


@pytest.mark.parametrize(
    'path', sorted(_EXAMPLES.glob('*.py')), ids=lambda path: path.name
)
def test_it_is_imported_before_tensorflow(path):
  names = list(_imports(path))
  first = [i for i, name in enumerate(names) if name in _TENSORFLOW]
  assert not first or 'onednn' in names[: first[0]]


@pytest.mark.parametrize(('given', 'used'), [(None, '1'), ('0', '0')])
def test_a_user_has_the_last_word(given, used, monkeypatch):
  monkeypatch.delenv('TF_ENABLE_ONEDNN_OPTS', raising=False)
  if given is not None:
    monkeypatch.setenv('TF_ENABLE_ONEDNN_OPTS', given)
  importlib.reload(onednn)
  assert os.environ['TF_ENABLE_ONEDNN_OPTS'] == used
