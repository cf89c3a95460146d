"""What is public says its types, and they are those that a checker sees."""

import inspect
import os
import pathlib
import subprocess
import sys
import types
import typing

import pytest
from test_public_names import packages
from test_public_names import public

import tfp_flowopt as fo

ROOT = pathlib.Path(__file__).parents[1]
# Methods that Python calls for what users write.
SYNTAX = {
    '__call__',
    '__enter__',
    '__exit__',
    '__getitem__',
    '__init__',
    '__iter__',
    '__len__',
}


def functions_of(cls):
  """Functions behind the public members of a class, its bases' too, by name."""
  for owner in cls.__mro__:
    if not owner.__module__.startswith(cls.__module__.partition('.')[0]):
      continue
    for name, member in vars(owner).items():
      if name.startswith('_') and name not in SYNTAX:
        continue
      if isinstance(member, property):
        member = member.fget
      function = inspect.unwrap(getattr(member, '__func__', member))
      # Those of named tuples and dataclasses are made from their fields.
      if isinstance(function, types.FunctionType) and (
          function.__module__ == owner.__module__
      ):
        yield f'{owner.__name__}.{name}', function


def without_type(function):
  """Names of arguments without a type, and `return`."""
  signature = inspect.signature(function)
  missing = [
      name
      for name, argument in signature.parameters.items()
      if argument.annotation is argument.empty and name not in ('self', 'cls')
  ]
  if signature.return_annotation is signature.empty:
    missing.append('return')
  return missing


def ours(package):
  """Public functions and classes of this library, by name."""
  for name, value in public(package).items():
    if callable(value) and value.__module__.startswith(fo.__name__):
      yield name, value


def public_functions(package):
  for name, value in ours(package):
    if inspect.isclass(value):
      yield from functions_of(value)
    else:
      yield name, inspect.unwrap(value)


@pytest.mark.parametrize('package', packages())
def test_every_public_argument_and_result_has_a_type(package):
  missing = {
      name: without_type(function)
      for name, function in public_functions(package)
  }
  assert missing
  assert not {name: names for name, names in missing.items() if names}


@pytest.mark.parametrize('package', packages())
def test_types_are_known_where_they_stand(package):
  """Names in quotes, too."""
  for name, function in public_functions(package):
    hints = typing.get_type_hints(function)
    assert len(hints) >= len(inspect.signature(function).parameters) - 1, name
  for _, value in ours(package):
    if inspect.isclass(value):
      typing.get_type_hints(value)


@pytest.mark.parametrize('package', packages())
def test_only_defaults_of_none_are_none(package):
  for name, function in public_functions(package):
    hints = typing.get_type_hints(function)
    for argument in inspect.signature(function).parameters.values():
      if argument.default is not None or argument.name not in hints:
        continue
      hint = hints[argument.name]
      assert hint is typing.Any or type(None) in typing.get_args(hint), (
          f'{name}({argument.name})'
      )


def test_what_lacks_a_type_is_found():
  class Base:

    def method(self, x):
      """Has none."""

  class Derived(Base):

    def __init__(self, size: int, name='a') -> None:
      """Lacks one."""

    @property
    def size(self):
      """Lacks that of its result."""

    @classmethod
    def of(cls, size: int) -> int:
      """Lacks nothing."""

  assert {
      name.partition('.')[2]: without_type(function)
      for name, function in functions_of(Derived)
  } == {
      '__init__': ['name'],
      'size': ['return'],
      'of': [],
      'method': ['x', 'return'],
  }


PROGRAM = """
import tfp_flowopt as fo

distribution = fo.vector_flow(2, coupling='spline', conditioning=[3])
result = fo.training.fit(distribution, [[0.0, 1.0]], train_steps=10)
best: int = result.best_step
bounds = fo.lipschitz.lipschitz_bounds(distribution.bijector)
both: fo.lipschitz.LipschitzBounds = bounds.then(bounds.inverted())
bits: float = fo.bits_per_dim(-1.0, 2)

@fo.lipschitz.lipschitz_bounds.register
def _(bijector: int):
  return bounds
"""
WRONG = """
fo.vector_flow('2')
fo.vector_flow(2, coupling='splines')
fo.image_flow([8, 8, 3], num_levels=None)
loss: str = result.validation
fo.optimum.gaussian_knots([1, 2])
"""


@pytest.mark.slow
def test_a_checker_sees_them(tmp_path):
  """In a program of a user, of whom it knows where the package is."""
  pytest.importorskip('mypy')
  right, wrong = tmp_path / 'right.py', tmp_path / 'wrong.py'
  right.write_text(PROGRAM)
  wrong.write_text(PROGRAM + WRONG)
  path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
  run = subprocess.run(
      [
          sys.executable,
          '-m',
          'mypy',
          '--ignore-missing-imports',
          '--follow-imports=silent',
          '--cache-dir',
          str(tmp_path / 'cache'),
          str(right),
          str(wrong),
      ],
      cwd=tmp_path,
      env={**os.environ, 'MYPYPATH': str(ROOT), 'PYTHONPATH': path},
      capture_output=True,
      text=True,
      check=False,
  )
  lines = run.stdout.splitlines()
  first = PROGRAM.count('\n') + 2
  found = {
      (int(line.split(':')[1]), line.rpartition('[')[2].rstrip(']'))
      for line in lines
      if 'error:' in line and line.startswith('wrong.py')
  }
  assert not [line for line in lines if line.startswith('right.py')]
  assert found == {
      (first, 'arg-type'),
      (first + 1, 'arg-type'),
      (first + 2, 'arg-type'),
      (first + 3, 'assignment'),
      (first + 4, 'call-arg'),
  }, run.stdout + run.stderr
