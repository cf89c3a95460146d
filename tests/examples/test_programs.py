"""How programs start, and what they say of wrong flags."""

import ast
import pathlib
import sys

from absl import flags
import onednn
import programs
import pytest

_EXAMPLES = pathlib.Path(onednn.__file__).parent
_SOURCES = sorted(_EXAMPLES.glob('*.py'))
# What is called otherwise elsewhere.
_OTHER_NAMES = {'bad', 'crop_seed', 'input', 'num_blocks', 'tiles'}


@pytest.fixture
def start(monkeypatch):
  """Runs a main function with flags; returns what it ends with."""
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  width = flags.DEFINE_integer('width', 4, '', flag_values=values)
  flags.register_validator(
      width, lambda value: value > 0, '--width must be > 0', values
  )
  flags.DEFINE_float('rate', 0.5, '', 0.0, 1.0, flag_values=values)

  def run(main, *arguments):
    monkeypatch.setattr(sys, 'argv', ['program', *arguments])
    monkeypatch.setattr(
        programs.app,
        'run',
        lambda main, flags_parser: main(flags_parser(sys.argv)),
    )
    try:
      return programs.run(main)
    except SystemExit as e:
      return e.code

  return run


@pytest.mark.parametrize(
    ('argument', 'words'),
    [
        ('--width=0', 'flag --width=0: --width must be > 0'),
        ('--width=x', "flag --width=x: invalid literal for int() with base 10"),
        ('--wdth=1', "Unknown command line flag 'wdth'"),
        ('--rate=2', 'flag --rate=2: 2.0 is not a number in the range'),
        ('--rate=nan', 'flag --rate=nan: it must be a number'),
        ('what', "There are no arguments but flags, got ['what']."),
    ],
)
def test_a_wrong_flag_ends_a_program_in_a_line_or_two(start, argument, words):
  text = start(lambda argv: pytest.fail('it began'), argument)
  assert text.startswith(words)
  assert len(text.splitlines()) <= 2


def test_arguments_of_the_package_are_flags(start):
  def main(argv):
    raise ValueError(f'Argument `{name}` must be even, got 3.')

  name = 'width'
  assert start(main) == '--width must be even, got 3.'
  name = 'shape` for `width'
  assert start(main) == 'Argument `shape` for --width must be even, got 3.'
  # Of anything else, one wants to know where it is.
  name = 'height'
  with pytest.raises(ValueError, match='height'):
    start(main)
  assert start(lambda argv: 0) is None


def test_bad_images_come_with_advice():
  text = programs.explained(ValueError('2 bad images of 9:\n  a\n  b'))
  assert text.endswith('\n(--bad_images=skip leaves bad images out)')


def _calls(path):
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Call):
      yield ast.unparse(node.func), node


@pytest.mark.parametrize('path', _SOURCES, ids=lambda path: path.name)
def test_all_programs_start_so_and_share_names_of_flags(path):
  calls = list(_calls(path))
  names = [name for name, _ in calls]
  if "__name__ == '__main__'" in path.read_text(encoding='utf-8'):
    assert 'programs.run' in names and 'app.run' not in names
  defined = {
      node.args[0].value
      for name, node in calls
      if name.startswith('flags.DEFINE') and isinstance(
          node.args[0], ast.Constant
      )
  }
  assert not defined & _OTHER_NAMES
  if path.name != 'programs.py':
    # There is one definition of these.
    assert not defined & {'bad_images', 'picture', 'results'}
