"""What is public says its types, and they are those that a checker sees."""

import ast
import inspect
import os
import pathlib
import re
import subprocess
import sys
import types
import typing

import pytest
import test_arguments
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


def may_be_none(function):
  """Names of arguments, and `return`, that are or may be said to be `None`."""
  for argument in inspect.signature(function).parameters.values():
    if argument.default is None:
      yield argument.name
  words = inspect.getdoc(function) or ''
  _, _, arguments = words.partition('\nArgs:\n')
  arguments = re.split(r'\n\n|\Z', arguments)[0]
  for name, said in re.findall(
      r'^  (\w+): (.*(?:\n    .*)*)', arguments, re.MULTILINE
  ):
    if '`None`' in said:
      yield name
  if re.search(r'or `None`|`None` (?:for|if|with)', words.partition('\n')[0]):
    yield 'return'


@pytest.mark.parametrize('package', packages())
def test_what_may_be_none_says_so(package):
  """By its default, or by the words of the docstring."""
  wrong = []
  for name, function in public_functions(package):
    hints = typing.get_type_hints(function)
    for argument in may_be_none(function):
      hint = hints[argument]
      if hint is not typing.Any and type(None) not in typing.get_args(hint):
        wrong.append(f'{name}({argument})')
  assert not wrong


CHOICES = re.compile(r'one of \[(.*?)\]')


def choices(hint):
  """The strings of a `Literal`, alone or beside `None`."""
  return {
      value
      for part in (hint, *typing.get_args(hint))
      if typing.get_origin(part) is typing.Literal
      for value in typing.get_args(part)
  }


def test_choices_are_those_that_are_accepted():
  """By the error for another one, which lists them."""
  compared = 0
  for name, entry in test_arguments.ENTRIES.items():
    function = entry.function
    function = function.__init__ if inspect.isclass(function) else function
    for argument, hint in typing.get_type_hints(function).items():
      if not choices(hint):
        continue
      arguments = {**entry.right(), argument: 'another'}
      with pytest.raises(ValueError, match='one of') as caught:
        entry.function(**arguments)
      accepted = ast.literal_eval(f'[{CHOICES.search(str(caught.value))[1]}]')
      assert choices(hint) == {*accepted} - {None}, f'{name}({argument})'
      compared += 1
  assert compared > 15


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
