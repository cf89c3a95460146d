"""How all programs here start: a wrong flag ends in words, not in calls."""

import json
import math
import pathlib
import re

from absl import app
from absl import flags
from absl import logging

__all__ = [
    'check_even',
    'check_folder',
    'define_bad_images',
    'define_outputs',
    'explained',
    'run',
    'write_results',
]

# Flags are those of the program.
flags.disclaim_key_flags()
# What the package calls an argument that a flag was handed on as.
_ARGUMENT = re.compile(r'(?:^Argument )?`(\w+)`')


def run(main, parse=None):
  """`app.run`, with errors of flags, and of what flags name, in their words.

  Args:
    main: Function of the arguments that are no flags, of which there must be
      none but the name of the program.
    parse: Function of the command line that parses flags; by default absl's.
  """

  def parse_flags(arguments):
    try:
      left = (parse or flags.FLAGS)(arguments)
      _check_finite()
      return left
    except flags.Error as e:
      raise SystemExit(
          f'{e}\nPass --helpshort or --helpfull to see help on flags.'
      ) from None

  def checked(argv):
    if len(argv) > 1:
      raise SystemExit(f'There are no arguments but flags, got {argv[1:]}.')
    try:
      return main(argv)
    except ValueError as e:
      names = _ARGUMENT.findall(str(e))
      if not str(e).startswith('Argument ') or not any(
          name in flags.FLAGS for name in names
      ):
        raise
      raise SystemExit(explained(e)) from e

  logging.set_verbosity(logging.WARNING)  # TensorFlow's notes on saving
  app.run(checked, flags_parser=parse_flags)


def explained(error):
  """The words of an error of the package, with flags for its arguments."""
  text = _ARGUMENT.sub(
      lambda match: f'--{match[1]}' if match[1] in flags.FLAGS else match[0],
      str(error),
  )
  if 'bad images of' in text:
    text += '\n(--bad_images=skip leaves bad images out)'
  return text


def _check_finite():
  """Refuses NaN, which is within all bounds of absl."""
  for name in flags.FLAGS:
    value = flags.FLAGS[name].value
    if isinstance(value, float) and math.isnan(value):
      raise flags.IllegalFlagValueError(
          f'flag --{name}=nan: it must be a number'
      )


def check_even(holder):
  """Refuses odd values of a flag, a `FlagHolder`."""
  flags.register_validator(
      holder,
      lambda value: value % 2 == 0,
      message=f'--{holder.name} must be even',
  )


def define_bad_images():
  """Defines --bad_images; returns its `FlagHolder`."""
  return flags.DEFINE_enum(
      'bad_images',
      'strict',
      ['strict', 'skip'],
      'What to do with a file that is no image or too small: strict stops with '
      'its name, skip leaves it out and lists it.',
  )


def check_folder(holder):
  """Refuses paths in folders that do not exist, of a flag's `FlagHolder`."""
  flags.register_validator(
      holder,
      lambda value: value is None or pathlib.Path(value).parent.is_dir(),
      message=f'--{holder.name} must be a file in a folder that exists',
  )


def define_outputs():
  """Defines --picture and --results; returns the `FlagHolder` of the former."""
  picture, results = (
      flags.DEFINE_string(
          'picture', None, 'PNG file to write, if any; needs matplotlib.'
      ),
      flags.DEFINE_string('results', None, 'JSON file to write, if any.'),
  )
  check_folder(picture)
  check_folder(results)
  return picture


def write_results(results):
  """Writes what JSON has to the file of --results, if any."""
  if flags.FLAGS.results:
    pathlib.Path(flags.FLAGS.results).write_text(
        json.dumps(results, indent=2) + '\n', encoding='utf-8'
    )
