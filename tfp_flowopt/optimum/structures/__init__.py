"""Structures of linear flows, by name; a new one is a file and a line here."""

import dataclasses

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum.structures.base import Structure
from tfp_flowopt.optimum.structures.circulant import Circulant
from tfp_flowopt.optimum.structures.of_vectors import Dense
from tfp_flowopt.optimum.structures.of_vectors import Individual
from tfp_flowopt.optimum.structures.of_vectors import Pointwise

__all__ = [
    'STRUCTURES',
    'Circulant',
    'Dense',
    'Individual',
    'Pointwise',
    'Structure',
    'structure_of',
]

STRUCTURES = {
    cls.name: cls for cls in (Dense, Pointwise, Individual, Circulant)
}


def structure_of(
    structure: str | Structure,
    block_size: int = 1,
    frequency_pool: int | None = None,
) -> Structure:
  """The `Structure` of a name, or a `Structure` itself, with options.

  A `ValueError` if there is none of this name, or it has no such option.
  """
  if not isinstance(structure, Structure):
    name = arguments.check_choice('structure', structure, STRUCTURES)
    structure = STRUCTURES[name]()
  given = {}
  if arguments.check_int('block_size', block_size) != 1:
    given['block_size'] = block_size
  if frequency_pool is not None:
    given['frequency_pool'] = frequency_pool
  for option, value in given.items():
    if option not in _options(structure):
      takers = ' and '.join(
          f'"{name}"'
          for name, cls in STRUCTURES.items()
          if option in _options(cls)
      )
      raise ValueError(
          f'Argument `{option}` applies to {takers}; structure '
          f'"{structure.name}" needs {option}={getattr(Structure, option)}, '
          f'got {value!r}.'
      )
  # Subclasses are dataclasses.
  return dataclasses.replace(structure, **given)  # type: ignore[type-var]


def _options(structure):
  """Names of the options that a structure has."""
  return {field.name for field in dataclasses.fields(structure)}
