"""Writes BUILD files from what the Python files beside them import.

  python tools/update_build_files.py

A module becomes a `py_library`, a program a `py_binary`, a test file a
`pytest_test`; `__init__.py` has the name of its folder. They depend on what
they import themselves, and have as data the programs whose names are strings
in them ('program.py').

To import a module runs the `__init__.py` of its package first, which imports
the package's other modules, so that they cannot depend on it. Files outside of
the package do: all of it is there when they run.
"""

import ast
import pathlib
import posixpath

_FOLDERS = ('benchmarks', 'examples', 'tests', 'tfp_flowopt')
# Where imports are looked for, by pytest or as the folder of a program.
_SEARCH_PATH = ('.', 'benchmarks', 'benchmarks/arms', 'examples', 'tests')

# Folders of other files, and what else files read.
_FILES = {'benchmarks': 'results', 'examples': 'launch'}
_READ = {
    'benchmarks/results_page.py': {':results'},
    'benchmarks/scaling_measurements.py': {':results'},
    'benchmarks/scaling_prediction.py': {':results'},
    'tests/benchmarks/test_results_page.py': {'//:docs'},
    'tests/examples/test_launch.py': {'//examples:launch'},
    # A script in it imports this.
    'tests/examples/test_uniqueness.py': {'//examples:uniqueness'},
    'tests/test_readme.py': {'//:Makefile', '//:README.md', '//:docs'},
}
# They look at the whole source tree, of which a test in Bazel sees only what
# BUILD files name.
_NOT_IN_BAZEL = (
    'tests/test_build_files.py',
    'tests/test_docs.py',
    'tests/test_notebook.py',
    'tests/test_packaging.py',
)
# Tests that may take more than the 5 minutes of a medium one.
_SIZES = {
    'tests/bijectors/test_contract.py': '"large"',
    'tests/examples/test_train_image_flow.py': '"large"',
    'tests/training/test_resuming.py': '"large"',
    'tests/training/test_strategies.py': '"large"',
}


def build_files(root):
  """Returns the texts of all BUILD files.

  Args:
    root: Folder of the project, a `pathlib.Path`.

  Returns:
    Dictionary; its keys are paths relative to `root`, of type
    `pathlib.PurePosixPath`.
  """
  trees = {
      pathlib.PurePosixPath(path.relative_to(root)): ast.parse(
          path.read_text(encoding='utf-8')
      )
      for folder in _FOLDERS
      for path in (root / folder).rglob('*.py')
  }
  rules = {}
  for path in sorted(trees, key=_name):
    if str(path) not in _NOT_IN_BAZEL:
      rules.setdefault(path.parent, []).append(_rule(path, trees))
  return {
      folder / 'BUILD': '\n'.join(_head(folder, texts) + texts)
      for folder, texts in rules.items()
  }


def _head(folder, rules):
  parts = ['# Written by tools/update_build_files.py.\n']
  if any(rule.startswith('pytest_test(') for rule in rules):
    parts.append('load("//tools:pytest_test.bzl", "pytest_test")\n')
  parts.append('package(default_visibility = ["//:__subpackages__"])\n')
  parts.append('licenses(["notice"])\n')
  if name := _FILES.get(str(folder)):
    files = f'glob(["{name}/**"])'
    parts.append(_call('filegroup', name=f'"{name}"', srcs=files))
  return parts


def _rule(path, trees):
  data = {_label(x, path) for x in _named_programs(path, trees)}
  deps = {_label(x, path) for x in _dependencies(path, trees)}
  attributes = {
      'name': f'"{_name(path)}"',
      'size': _SIZES.get(str(path)),
      'srcs': f'["{path.name}"]',
      'data': _list(data | _READ.get(str(path), set())),
      'imports': _imports(path.parent),
      'deps': _list(deps),
  }
  if _is_test(path):
    return _call('pytest_test', **attributes)
  kind = 'py_binary' if _is_program(trees[path]) else 'py_library'
  return _call(kind, **attributes)


def _dependencies(path, trees):
  """What a file imports, and what that brings with it."""
  result = set()
  for name in _imported_names(trees[path]):
    if found := _find(name, trees):
      package = _find(name.partition('.')[0], trees)
      inside = package.parent in path.parents
      result |= {found} if inside else {found, package}
  for other in trees:
    if path.name == other.name == '__init__.py':
      # Packages in this one, also if nothing imports them by name.
      if other.parent.parent == path.parent:
        result.add(other)
    if _is_test(path) and other.name == 'conftest.py':
      if other.parent in path.parents:
        result.add(other)
  return result - {path}


def _imported_names(tree):
  """Dotted names, of modules or of what modules hold."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def _find(name, trees):
  """The file of a name; `None` if it is not one of ours."""
  path = name.replace('.', '/')
  for module in (path, posixpath.dirname(path)):
    for folder in _SEARCH_PATH:
      for ending in ('.py', '/__init__.py'):
        file = pathlib.PurePosixPath(folder, module + ending)
        if file in trees:
          return file
  return None


def _named_programs(path, trees):
  strings = {
      node.value
      for node in ast.walk(trees[path])
      if isinstance(node, ast.Constant) and isinstance(node.value, str)
  }
  for name in strings:
    found = [x for x in trees if x.name == name and x != path]
    if len(found) > 1:
      found = [x for x in found if x.parent.name in strings]
    yield from found


def _is_test(path):
  return path.name.startswith('test_')


def _is_program(tree):
  return any(
      isinstance(node, ast.If) and '__main__' in ast.dump(node.test)
      for node in tree.body
  )


def _name(path):
  return path.parent.name if path.name == '__init__.py' else path.stem


def _label(path, user):
  """How the rule of a file calls that of another one."""
  name = f':{_name(path)}'
  if path.parent == user.parent:
    return name
  return f'//{path.parent}{name if path.name != "__init__.py" else ""}'


def _imports(folder):
  """What is put into Python's path."""
  entries = [x for x in _SEARCH_PATH[1:] if folder.is_relative_to(x)]
  return entries and _list({posixpath.relpath(entries[-1], folder)})


def _list(strings):
  """Written as buildifier does."""
  if len(strings) < 2:
    return ''.join(f'["{x}"]' for x in strings)
  ordered = sorted(strings, key=lambda x: x.split(':'))
  return '[\n' + ''.join(f'        "{x}",\n' for x in ordered) + '    ]'


def _call(function, **arguments):
  lines = [f'    {k} = {v},\n' for k, v in arguments.items() if v]
  return f'{function}(\n{"".join(lines)})\n'


def main():
  """Writes the files."""
  root = pathlib.Path(__file__).parents[1]
  for path, text in build_files(root).items():
    (root / path).write_text(text, encoding='utf-8')


if __name__ == '__main__':
  main()
