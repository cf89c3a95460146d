"""Tables and cells in Markdown."""

import math

__all__ = ['error', 'table', 'value']


def table(header, rows):
  """A table.

  Args:
    header: String with `|` between the cells.
    rows: Lists of strings.

  Returns:
    Text, without a last newline.
  """
  header = header.split('|')
  lines = [f'| {" | ".join(row)} |' for row in (header, *rows)]
  return '\n'.join([lines[0], '|' + '---|' * len(header), *lines[1:]])


def value(x, spec='.3f', missing='not finite'):
  """A number; something else for one that is not finite or missing."""
  return format(x, spec) if x is not None and math.isfinite(x) else missing


def error(x):
  """A reconstruction error."""
  return value(x, '.1e')
