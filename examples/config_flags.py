"""Flags from the fields of a configuration, and from files."""

import dataclasses
import inspect
import json
import re
import types
import typing

from absl import flags

__all__ = ['arguments_in', 'check', 'define', 'settings']

# Flags are those of the module that asks for them.
flags.disclaim_key_flags()

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
}


def define(config_class, names, **defaults):
  """Defines flags, named and described as fields of a dataclass.

  Args:
    config_class: Frozen dataclass whose docstring has a section `Attributes`.
    names: Names of the fields.
    **defaults: Defaults that are others here.

  Returns:
    Dictionary from names to `absl.flags.FlagHolder`s.
  """
  helps = _attributes(config_class)
  holders = {}
  for field in dataclasses.fields(config_class):
    if field.name not in names:
      continue
    default = defaults.get(field.name, field.default)
    arguments = field.name, default, helps[field.name]
    if typing.get_origin(field.type) is typing.Literal:
      holders[field.name] = flags.DEFINE_enum(
          arguments[0], default, typing.get_args(field.type), arguments[2]
      )
    else:
      kind = field.type
      if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
      holders[field.name] = _DEFINE[kind](*arguments)
  return holders


def settings(names):
  """The values of flags, by their names."""
  return {name: flags.FLAGS[name].value for name in names}


def check(config_class, holders):
  """Has each flag refused as its field would be.

  Args:
    config_class: Dataclass that raises a `ValueError` for wrong values.
    holders: What `define` returned.
  """
  for name, holder in holders.items():
    flags.register_validator(holder, _checked(config_class, name))


def _checked(config_class, name):
  """A validator of one flag, by the field of its name."""

  def validator(value):
    if value is None:
      return True
    try:
      config_class(**{name: value})
    except ValueError as e:
      words = re.sub(r'^Argument ', '', str(e))
      raise flags.ValidationError(re.sub(r'`(\w+)`', r'--\1', words)) from e
    return True

  return validator


def _attributes(config_class):
  """What the docstring of a class says of each of its attributes."""
  _, _, section = inspect.getdoc(config_class).partition('Attributes:\n')
  section = section.split('\n\n')[0]
  words = re.split(r'^  (\w+): ', section, flags=re.MULTILINE)[1:]
  return {
      name: ' '.join(text.split())
      for name, text in zip(words[::2], words[1::2], strict=True)
  }


def arguments_in(path):
  """The flags of a JSON file, as arguments of a command line.

  Args:
    path: `pathlib.Path`.

  Returns:
    List of strings.

  Raises:
    flags.Error: If it holds anything else.
  """
  try:
    values = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as e:
    raise flags.Error(
        f'{path} must hold flags as JSON: {e}. Of a run whose file is damaged, '
        'delete it, and give the flags again; wrong ones are refused by name.'
    ) from e
  if not isinstance(values, dict):
    raise flags.Error(f'{path} must hold a JSON object, {{"flag": value}}.')
  for name in values:
    if name not in flags.FLAGS or name in ('workdir', 'config'):
      raise flags.Error(f'{path}: there is no flag {name} to be read there.')
  return [
      f'--{name}={str(value).lower() if isinstance(value, bool) else value}'
      for name, value in values.items()
      if value is not None
  ]
