"""What is public is documented."""

import importlib
import inspect
import pkgutil

import pytest

import tfp_flowopt as fo


def packages():
  """The package and those in it that have a face, by name."""
  names = [fo.__name__]
  for module in pkgutil.iter_modules(fo.__path__, f'{fo.__name__}.'):
    if module.ispkg and importlib.import_module(module.name).__all__:
      names.append(module.name)
  return names


def public(package):
  module = importlib.import_module(package)
  return {name: getattr(module, name) for name in module.__all__}


def members(cls):
  """Public methods and properties that a class of ours defines itself."""
  for name, member in vars(cls).items():
    if not name.startswith('_') and (
        inspect.isfunction(member)
        or isinstance(member, (property, classmethod, staticmethod))
    ):
      yield name, member


@pytest.mark.parametrize('package', packages())
def test_every_public_name_has_a_docstring(package):
  missing = []
  for name, value in public(package).items():
    if inspect.ismodule(value) or not callable(value):
      continue
    if not inspect.getdoc(value):
      missing.append(name)
    if inspect.isclass(value) and value.__module__.startswith(fo.__name__):
      missing.extend(
          f'{name}.{member}'
          for member, function in members(value)
          if not inspect.getdoc(getattr(function, '__func__', function))
      )
  assert not missing


@pytest.mark.parametrize('package', packages())
def test_arguments_of_public_functions_are_described(package):
  """Each argument has its line in the docstring."""
  missing = []
  for name, value in public(package).items():
    if inspect.isfunction(value):
      described = inspect.getdoc(value)
      arguments = inspect.signature(value).parameters
    elif (
        inspect.isclass(value)
        and value.__module__.startswith(fo.__name__)
        and '__init__' in vars(value)
    ):
      described = inspect.getdoc(value) + (
          inspect.getdoc(value.__init__) or ''
      )
      arguments = dict(inspect.signature(value).parameters)
    else:
      continue
    missing.extend(
        f'{name}({argument})'
        for argument in arguments
        if argument not in ('self', 'name', 'args', 'kwargs')
        and f'{argument}:' not in described
        and f'`{argument}`' not in described
    )
  assert not missing


def test_faces_are_sorted_by_kind_and_complete():
  """What a package imports into its face is in `__all__`."""
  for package in packages()[1:]:
    module = importlib.import_module(package)
    ours = {
        name
        for name, value in vars(module).items()
        if not name.startswith('_')
        and not inspect.ismodule(value)
        and getattr(value, '__module__', '').startswith(fo.__name__)
    }
    assert ours <= set(module.__all__), package
