"""The code of the README runs."""

import pathlib
import re

import pytest

import tfp_flowopt as fo

README = pathlib.Path(__file__).parents[1] / 'README.md'


@pytest.mark.slow
def test_code_blocks_run_in_order(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  blocks = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
  assert len(blocks) == 5
  namespace = {}
  for block in blocks:
    exec(compile(block, str(README), 'exec'), namespace)
  assert (tmp_path / 'my_flow' / 'saved_model.pb').exists()
  assert 'LipschitzBounds' in capsys.readouterr().out


def test_pictures_and_commands_exist():
  text = README.read_text()
  for picture in re.findall(r'!\[[^\]]*\]\(([^)]*)\)', text):
    assert (README.parent / picture).is_file()
  makefile = (README.parent / 'Makefile').read_text()
  for target in re.findall(r'^make (\w+)', text, re.MULTILINE):
    assert f'\n{target}:' in makefile


def test_public_names_are_there():
  for name in fo.__all__:
    assert getattr(fo, name) is not None
