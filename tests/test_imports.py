"""Imports flow down, never up, and nothing imports itself around a corner."""

import ast
import re

import pytest
from support import programs

ROOT = programs.ROOT / 'tfp_flowopt'
# What each package may import, besides itself.
BELOW = {
    'internal': (),
    'data': ('internal',),
    'parameters': ('internal',),
    'lipschitz': ('parameters', 'internal'),
    'networks': ('lipschitz', 'parameters', 'internal'),
    'bijectors': ('networks', 'lipschitz', 'parameters', 'internal'),
    'optimum': ('bijectors', 'lipschitz', 'internal'),
    'flows': (
        'bijectors', 'networks', 'lipschitz', 'optimum', 'data', 'internal'
    ),
    'local': (
        'bijectors', 'optimum', 'lipschitz', 'parameters', 'internal'
    ),
    'diagnostics': (
        'flows',
        'local',
        'bijectors',
        'lipschitz',
        'parameters',
        'optimum',
        'internal',
    ),
    'training': (
        'diagnostics',
        'flows',
        'bijectors',
        'lipschitz',
        'optimum',
        'data',
        'internal',
    ),
    'export': (
        'diagnostics',
        'flows',
        'bijectors',
        'lipschitz',
        'optimum',
        'internal',
    ),
}


def imports(path):
  """Names of the modules of this library that a file imports."""
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.ImportFrom) and node.module.startswith(ROOT.name):
      for alias in node.names:
        whole = f'{node.module}.{alias.name}'
        file = ROOT.parent / f'{whole.replace(".", "/")}.py'
        is_module = file.exists() or file.with_suffix('').is_dir()
        yield whole if is_module else node.module
    elif isinstance(node, ast.Import):
      for alias in node.names:
        if alias.name.startswith(ROOT.name):
          yield alias.name


def module_name(path):
  relative = path.relative_to(ROOT.parent).with_suffix('')
  return '.'.join(relative.parts).removesuffix('.__init__')


FILES = {module_name(path): path for path in sorted(ROOT.rglob('*.py'))}


@pytest.mark.parametrize('package', BELOW)
def test_a_package_imports_what_is_below(package):
  allowed = {ROOT.name + '.' + name for name in (package, *BELOW[package])}
  wrong = {
      f'{name} imports {other}'
      for name, path in FILES.items()
      if name.split('.')[1:2] == [package]
      for other in imports(path)
      if '.'.join(other.split('.')[:2]) not in allowed
  }
  assert not wrong


def test_every_package_is_known():
  packages = {path.parent.name for path in ROOT.glob('*/__init__.py')}
  assert packages == set(BELOW)


def test_targets_of_bazel_are_the_packages():
  """Each depends on what is below, maybe by way of others."""
  text = (ROOT / 'BUILD').read_text(encoding='utf-8')
  targets = dict(ast.literal_eval(
      re.search(r'PACKAGES = (\[.*?\n\])', text, re.DOTALL).group(1)
  ))
  assert set(targets) == set(BELOW)
  reached = {}
  for name in reversed(targets):  # imports go down the list
    reached[name] = {name}.union(*(reached[other] for other in targets[name]))
    assert set(BELOW[name]) <= reached[name]


def test_there_is_no_cycle():
  graph = {
      name: set(imports(path)) & set(FILES) for name, path in FILES.items()
  }
  done, open_ = set(), []

  def visit(name):
    assert name not in open_, ' -> '.join([*open_[open_.index(name):], name])
    if name in done:
      return
    open_.append(name)
    for other in sorted(graph[name] - {name}):
      visit(other)
    open_.pop()
    done.add(name)

  for name in graph:
    visit(name)


def test_files_are_small():
  """One concept a file."""
  lengths = {
      str(path.relative_to(programs.ROOT)): len(path.read_text().splitlines())
      for folder in ('tfp_flowopt', 'examples', 'benchmarks', 'tests')
      for path in (programs.ROOT / folder).rglob('*.py')
  }
  assert not {path: n for path, n in lengths.items() if n > 350}
